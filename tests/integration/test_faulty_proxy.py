"""The proxy does to bytes what a network does: late, thin, held, broken; never altered, lost or out of order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from tests.integration.faulty_proxy import Weather
from tests.integration.links import CUT, Links, open_proxy
from tests.integration.ports import find_free_ports

PATIENCE_S = 30.0
WORDS = random.Random(1).randbytes(300_000)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[Links, Callable[[], Awaitable[Streams]]], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say again what is heard, and end when the other side does."""
    while content := await reader.read(65_536):
        writer.write(content)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def open_echo(seed: int = 1) -> AsyncIterator[tuple[Links, Callable[[], Awaitable[Streams]]]]:
    """Open "near" and "far", which says again what it hears, with the proxy between; give what connects to it."""
    detour, port = find_free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    detours = {("near", "far"): detour}
    async with server, open_proxy(["near", "far"], detours, {"far": port}, seed) as links:
        yield links, lambda: asyncio.open_connection("127.0.0.1", detour)


def play(act: Act) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S), open_echo() as (links, connect):
            await act(links, connect)

    asyncio.run(run())


async def say(streams: Streams, words: bytes) -> float:
    """Say something, hear it again whole, and return how long that took."""
    begin_s = monotonic()
    streams[1].write(words)
    assert await streams[0].readexactly(len(words)) == words
    return monotonic() - begin_s


@pytest.mark.parametrize(
    "weather",
    [
        Weather(),
        Weather(delay_ms=5, jitter_ms=5),
        Weather(stall_chance=0.2, stall_ms=20, spread_ms=10),
        Weather(bytes_per_s=1_000_000),
    ],
    ids=["calm", "jitter", "stalls", "thin"],
)
def test_in_any_weather_the_bytes_arrive_whole_and_in_order_and_the_end_after_them(weather: Weather) -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        await links.set(weather)
        reader, writer = await connect()
        writer.write(WORDS)
        writer.write_eof()
        assert await reader.read(-1) == WORDS

    play(act)


def test_what_is_late_takes_at_least_its_delay_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        await links.set(Weather(delay_ms=40))
        assert await say(await connect(), b"hello") >= 0.08
        assert (await links.read_hits()).delayed >= 2

    play(act)


TIMER_S = 0.001
"""By so much a timer of the loop may be early: its clock counts whole milliseconds."""


def test_a_thin_link_carries_no_more_than_its_rate() -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        await links.set(Weather(bytes_per_s=100_000), [("near", "far")])
        assert await say(await connect(), WORDS[:30_000]) >= 0.3 - TIMER_S

    play(act)


@pytest.mark.parametrize("deaf", [("near", "far"), ("far", "near")], ids=["request", "answer"])
def test_a_cut_direction_holds_everything_and_gives_it_when_it_is_healed(deaf: tuple[str, str]) -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        streams = await connect()
        await say(streams, b"before")
        await links.set(CUT, [deaf])
        saying = asyncio.create_task(say(streams, b"meanwhile"))
        while (await links.read_hits()).held < 1:  # noqa: ASYNC110  # the proxy is another process
            await asyncio.sleep(0.01)
        assert not saying.done()
        await links.heal()
        await saying

    play(act)


def test_over_a_cut_link_no_connection_reaches_the_other_side_until_it_is_healed() -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        await links.set(CUT, [("far", "near")])
        saying = asyncio.create_task(say(await connect(), b"hello"))
        assert (await links.read_hits()).connections == 0
        assert not saying.done()
        await links.heal()
        await saying
        assert (await links.read_hits()).connections == 1

    play(act)


def test_a_reset_breaks_the_connections_of_that_pair_and_the_next_one_is_whole() -> None:
    async def act(links: Links, connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        await say((reader, writer), b"before")
        await links.reset("far", "near")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        await say(await connect(), b"after")
        assert (await links.read_hits()).reset == 1

    play(act)


def test_where_nobody_listens_the_connection_ends() -> None:
    async def run() -> None:
        detour, port = find_free_ports(2)
        async with (
            asyncio.timeout(PATIENCE_S),
            open_proxy(["near", "far"], {("near", "far"): detour}, {"far": port}),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", detour)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()

    asyncio.run(run())
