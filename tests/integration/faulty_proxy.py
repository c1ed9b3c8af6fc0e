"""A faulty network of TCP links: a process between validators that delays, throttles, stalls, cuts and resets.

`python -m tests.integration.faulty_proxy` takes one JSON command a line on standard input and answers each with a line.
The first one opens the routes. It ends when standard input does, so that it outlives nobody.

What it does to bytes is what a network below TCP does to them: they are late, in order, or the connection is reset.
What a cut link holds arrives when the link is healed, as retransmissions do; only connections overtake each other.
"""

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from time import monotonic

import msgspec
import uvloop

HOST = "127.0.0.1"
CHUNK_BYTES = 16 * 1024
"""The finest that is delayed: a message of agreement is smaller, a fetched block takes a few."""
CHUNKS_IN_FLIGHT_MAX = 64
"""1 MB in each direction of a connection, then the sender feels it: what a kernel keeps for a slow path."""
COMMAND_BYTES_MAX = 1024 * 1024
"""A full mesh of 80 validators takes 500 kB."""


class Weather(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happens to the bytes of one direction; the defaults are a perfect wire.

    ``spread_ms`` is drawn once for each connection, so that a newer one may overtake an older one. A stall is what a
    lost packet costs above TCP: the bytes wait for ``stall_ms``, and everything behind them.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    spread_ms: float = 0.0
    bytes_per_s: int = 0
    stall_chance: float = 0.0
    stall_ms: float = 0.0
    is_cut: bool = False


class Route(msgspec.Struct, frozen=True):
    """Whoever connects to ``port`` is ``source`` and wants ``target``, which listens on ``target_port``."""

    source: str
    target: str
    port: int
    target_port: int


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first command."""

    seed: int
    routes: tuple[Route, ...]


class SetWeather(msgspec.Struct, frozen=True, tag=True):
    """From now on, in one direction."""

    source: str
    target: str
    weather: Weather


class Reset(msgspec.Struct, frozen=True, tag=True):
    """Break every connection between two validators, whoever dialled."""

    source: str
    target: str


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Ask only."""


class Hits(msgspec.Struct):
    """What the proxy did until now; the answer to every command."""

    connections: int = 0
    bytes: int = 0
    delayed: int = 0
    stalled: int = 0
    held: int = 0
    reset: int = 0


Command = SetWeather | Reset | Tell


class Link:
    """One direction between two validators, shared by all their connections."""

    def __init__(self, hits: Hits, chance: random.Random) -> None:
        self.weather = Weather()
        self.hits = hits
        self.opened = asyncio.Event()
        self.opened.set()
        self._chance = chance
        self._busy_until_s = 0.0

    def change(self, weather: Weather) -> None:
        """Take the weather; what is on its way keeps its time, unless the link is cut."""
        self.weather = weather
        if weather.is_cut:
            self.opened.clear()
        else:
            self.opened.set()

    def draw_spread_s(self) -> float:
        """Return how much later a new connection is than others."""
        return self._chance.random() * self.weather.spread_ms / 1000

    def compute_arrival_s(self, size: int, spread_s: float) -> float:
        """Return when bytes that are read now arrive."""
        weather, now_s = self.weather, monotonic()
        sent_s = now_s
        if weather.bytes_per_s:
            sent_s = max(now_s, self._busy_until_s) + size / weather.bytes_per_s
            self._busy_until_s = sent_s
        late_s = weather.delay_ms / 1000 + spread_s
        late_s += self._chance.uniform(-weather.jitter_ms, weather.jitter_ms) / 1000
        if weather.stall_chance and self._chance.random() < weather.stall_chance:
            late_s += weather.stall_ms / 1000
            self.hits.stalled += 1
        arrival_s = sent_s + max(0.0, late_s)
        self.hits.delayed += arrival_s > now_s
        self.hits.bytes += size
        return arrival_s


class Wire:
    """One TCP connection through the proxy."""

    def __init__(self, route: Route, forth: Link, back: Link) -> None:
        self._route = route
        self._forth = forth
        self._back = back
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry both directions until both have ended, or one breaks; a cut link delays the connection itself."""
        self._writers = [writer]
        try:
            await self._forth.opened.wait()
            await self._back.opened.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, self._route.target_port)
            self._writers.append(far_writer)
            self._forth.hits.connections += 1
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_carry(reader, far_writer, self._forth))
                tasks.create_task(_carry(far_reader, writer, self._back))
        except* OSError:
            pass  # a side is gone, or the target does not run: the other side sees its connection end
        finally:
            self.abort()

    def abort(self) -> None:
        """Break both sides at once."""
        for writer in self._writers:
            writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
    """Take what one side says and give it to the other when it arrives, the end included."""
    flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT_MAX)
    spread_s = link.draw_spread_s()

    async def take() -> None:
        content = b"?"
        while content:
            content = await reader.read(CHUNK_BYTES)
            await flight.put((link.compute_arrival_s(len(content), spread_s), content))

    async def give() -> None:
        while True:
            arrival_s, content = await flight.get()
            if arrival_s > monotonic():
                await asyncio.sleep(arrival_s - monotonic())
            link.hits.held += not link.opened.is_set()
            await link.opened.wait()
            if writer.is_closing():
                raise BrokenPipeError
            if not content:
                writer.write_eof()
                return
            writer.write(content)
            await writer.drain()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take())
        tasks.create_task(give())


class Mesh:
    """All routes, and the wires on them."""

    def __init__(self, setup: Open) -> None:
        self.hits = Hits()
        chance = random.Random(setup.seed)
        ends = [(route.source, route.target) for route in setup.routes]
        pairs = sorted({*ends, *((target, source) for source, target in ends)})
        self._links = {pair: Link(self.hits, random.Random(chance.random())) for pair in pairs}
        self._routes = setup.routes
        self._wires: dict[Wire, Route] = {}

    async def open(self, stack: AsyncExitStack) -> None:
        """Listen on every route until the stack ends."""
        for route in self._routes:
            server = await asyncio.start_server(self._build_taker(route), HOST, route.port)
            stack.callback(server.close)

    def perform(self, command: Command) -> None:
        """Do what a command says."""
        match command:
            case SetWeather(source, target, weather):
                self._links[source, target].change(weather)
            case Reset(source, target):
                for wire in list(self._find_wires({source, target})):
                    wire.abort()
                    self.hits.reset += 1
            case Tell():
                pass

    def _find_wires(self, ends: set[str]) -> Iterator[Wire]:
        return (wire for wire, route in self._wires.items() if {route.source, route.target} == ends)

    def _build_taker(self, route: Route):  # type: ignore[no-untyped-def]  # noqa: ANN202  # asyncio's own shape
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            forth = self._links[route.source, route.target]
            wire = Wire(route, forth, self._links[route.target, route.source])
            self._wires[wire] = route
            try:
                await wire.run(reader, writer)
            finally:
                del self._wires[wire]

        return take


async def main() -> None:
    """Open the routes of the first line and obey the others."""
    commands = asyncio.StreamReader(limit=COMMAND_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    mesh = Mesh(msgspec.json.decode(await commands.readline(), type=Open))
    async with AsyncExitStack() as stack:
        await mesh.open(stack)
        while True:
            _say(mesh.hits)
            line = await commands.readline()
            if not line:
                return
            mesh.perform(msgspec.json.decode(line, type=Command))


def _say(hits: Hits) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(hits) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(main())
