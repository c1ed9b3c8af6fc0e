"""The links between the validators of a community, made faulty on demand; here by a proxy process."""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import permutations

import msgspec

from tests.integration.faulty_proxy import Command, Hits, Open, Reset, Route, SetWeather, Tell, Weather
from tests.integration.validator import DEADLINE_S, REPOSITORY

CALM = Weather()
CUT = Weather(is_cut=True)


class Links(ABC):
    """Every direction between every two validators; all are perfect in the beginning. ``kind`` says what makes them."""

    kind: str

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._weather: dict[tuple[str, str], Weather] = {}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All directions, (source, target), in one order."""
        return list(permutations(self.names, 2))

    def get_weather(self, source: str, target: str) -> Weather:
        """Return what one direction is like now."""
        return self._weather.get((source, target), CALM)

    async def set(self, weather: Weather, pairs: Iterable[tuple[str, str]] | None = None) -> None:
        """Give some directions, or all, this weather."""
        for source, target in self.pairs if pairs is None else pairs:
            if self.get_weather(source, target) != weather:
                await self.change(source, target, weather)
                self._weather[source, target] = weather

    async def heal(self) -> None:
        """Make every direction perfect again; what was held arrives."""
        await self.set(CALM)

    async def isolate(self, *names: str) -> None:
        """Cut some validators off from all the others, both ways."""
        await self.set(CUT, [(a, b) for a, b in self.pairs if (a in names) != (b in names)])

    @abstractmethod
    async def change(self, source: str, target: str, weather: Weather) -> None:
        """Make one direction so; it is another weather than before."""

    @abstractmethod
    async def reset(self, one: str, other: str) -> None:
        """Break the connections between two validators."""

    @abstractmethod
    async def read_hits(self) -> Hits:
        """Return what the links did to bytes so far."""


class ProxyLinks(Links):
    """Links through the proxy process."""

    kind = "a faulty TCP proxy"

    def __init__(self, names: Sequence[str], process: asyncio.subprocess.Process) -> None:
        super().__init__(names)
        self._process = process
        self._turn = asyncio.Lock()

    async def change(self, source: str, target: str, weather: Weather) -> None:
        """Tell the proxy."""
        await self._ask(SetWeather(source, target, weather))

    async def reset(self, one: str, other: str) -> None:
        """Tell the proxy."""
        await self._ask(Reset(one, other))

    async def read_hits(self) -> Hits:
        """Ask the proxy."""
        return await self._ask(Tell())

    async def _ask(self, command: Command) -> Hits:
        async with self._turn:
            return await exchange(self._process, command)


async def exchange(process: asyncio.subprocess.Process, command: Command | Open) -> Hits:
    """Give the proxy one command and return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(command) + b"\n")
    async with asyncio.timeout(DEADLINE_S):
        await process.stdin.drain()
        line = await process.stdout.readline()
    assert line, "the proxy ended; its last words stand above"
    return msgspec.json.decode(line, type=Hits)


@asynccontextmanager
async def open_proxy(
    names: Sequence[str], detours: Mapping[tuple[str, str], int], ports: Mapping[str, int], seed: int = 0
) -> AsyncIterator[ProxyLinks]:
    """Run a proxy on the ports of ``detours`` (source, target) -> port; ``ports`` are where the validators listen."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.faulty_proxy"),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        routes = tuple(
            Route(source, target, port, ports[target]) for (source, target), port in detours.items()
        )
        await exchange(process, Open(seed, routes))
        yield ProxyLinks(names, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
