"""Telegrams are heard over TCP, a pipe, a serial line and from a file, and again after the line broke."""

import asyncio
import os
import socket
import tty
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from pathlib import Path

import pytest

from meter.collect.observation import Dropped, DropReason, LinkState, Observation, Observed
from meter.sources.devices import DeviceError, DeviceKind, find_device, parse_tcp
from meter.sources.p1_port import read_p1
from meter.sources.serial_port import Line, LineError, open_serial, parse_line
from primitives.ids import UnixMs
from tests.meter.collect.samples import TELEGRAMS, build_telegram, read_real

LONG_S = 30.0


def read_now() -> UnixMs:
    return UnixMs(1_000)


async def take(source: AsyncGenerator[Observed, None], observations: int) -> list[Observed]:
    """Read until so many observations came; return everything up to there."""
    found: list[Observed] = []
    async with asyncio.timeout(LONG_S), aclosing(source):
        async for observed in source:
            found.append(observed)
            observations -= isinstance(observed, Observation)
            if observations == 0:
                break
    return found


def get_imports(found: list[Observed]) -> list[int]:
    return [each.import_wh for each in found if isinstance(each, Observation)]


async def serve(parts: list[bytes]) -> tuple[asyncio.Server, int]:
    """A TCP bridge: each connection gets the next part and is then closed."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(parts.pop(0) if parts else b"")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_a_bridge_that_hangs_up_in_the_middle_of_a_telegram_is_called_again() -> None:
    async def act() -> None:
        first, second = build_telegram(0, 1000, 0), build_telegram(10, 1001, 0)
        server, port = await serve([first + second[:100], second])
        async with server:
            source = read_p1(parse_tcp(f"tcp://127.0.0.1:{port}"), lambda: nullcontext(-1), read_now)
            found = await take(source, 2)
        assert get_imports(found) == [1000, 1001]
        links = [each.problem for each in found if isinstance(each, LinkState)]
        assert links == ["", "it ended", ""]
        assert Dropped(DropReason.TELEGRAM_CUT) in found

    asyncio.run(act())


def test_half_a_telegram_from_before_a_broken_line_is_never_joined_to_half_of_a_later_one() -> None:
    async def act() -> None:
        first = read_real("easymeter_q3d_d0")  # no checksum would tell that they are two
        later = first.replace(b"52185.78", b"52199.78").replace(b"19949.3", b"19951.3")
        middle = first.index(b"1-0:2.8.0")
        server, port = await serve([first[:middle], later[middle:] + later])
        async with server:
            source = read_p1(parse_tcp(f"tcp://127.0.0.1:{port}"), lambda: nullcontext(-1), read_now)
            found = await take(source, 1)
        seen = [(each.import_wh, each.export_wh) for each in found if isinstance(each, Observation)]
        assert seen == [(52_199_782, 19_951_322)]

    asyncio.run(act())


def test_a_bridge_that_is_not_there_yet_is_waited_for(unused_port: int) -> None:
    async def act() -> None:
        source = read_p1(parse_tcp(f"tcp://127.0.0.1:{unused_port}"), lambda: nullcontext(-1), read_now)
        async with asyncio.timeout(LONG_S), aclosing(source):
            refused = await anext(source)
            assert isinstance(refused, LinkState)
            assert refused.problem == "Connection refused"

            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(build_telegram(0, 77, 0))
                await writer.drain()

            server = await asyncio.start_server(answer, "127.0.0.1", unused_port)
            async with server:
                async for observed in source:
                    if isinstance(observed, Observation):
                        assert observed.import_wh == 77
                        return

    asyncio.run(act())


def test_a_pipe_is_heard_beyond_the_end_of_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    device = find_device(str(path))
    assert device.kind is DeviceKind.PIPE

    async def act() -> None:
        source = read_p1(device, lambda: nullcontext(-1), read_now)
        async with asyncio.timeout(LONG_S), aclosing(source):
            assert await anext(source) == LinkState()
            for import_wh in (500, 501):
                path.write_bytes(build_telegram(0, import_wh, 0))
                observed = await anext(source)
                assert isinstance(observed, Observation)
                assert observed.import_wh == import_wh

    asyncio.run(act())


def test_a_serial_line_is_heard_and_is_opened_for_one_process_alone() -> None:
    far, near = os.openpty()
    tty.setraw(near)
    device = find_device(os.ttyname(near))
    assert device.kind is DeviceKind.SERIAL

    async def act() -> None:
        source = read_p1(device, lambda: open_serial(device.path, Line()), read_now)
        async with asyncio.timeout(LONG_S), aclosing(source):
            assert await anext(source) == LinkState()
            with pytest.raises(OSError, match="exclusively"), open_serial(device.path, Line()):
                pass
            os.write(far, read_real("dsmr_v5"))
            observed = await anext(source)
            assert isinstance(observed, Observation)
            assert observed.import_wh == 6825

    try:
        asyncio.run(act())
    finally:
        os.close(far)
        os.close(near)


def test_a_recorded_file_has_an_end_and_the_meters_own_time() -> None:
    async def act() -> list[Observed]:
        device = find_device(str(TELEGRAMS / "dsmr_v5.txt"))
        return [each async for each in read_p1(device, lambda: nullcontext(-1), lambda: None)]

    state, observation = asyncio.run(act())
    assert state == LinkState()
    assert isinstance(observation, Observation)
    assert observation.time_ms == 1_483_381_202_000


def test_a_telegram_without_time_says_nothing_where_the_meters_time_counts() -> None:
    async def act() -> list[Observed]:
        device = find_device(str(TELEGRAMS / "easymeter_q3d_d0.txt"))
        return [each async for each in read_p1(device, lambda: nullcontext(-1), lambda: None)]

    assert asyncio.run(act())[1:] == [Dropped(DropReason.TIME_MISSING)]


@pytest.mark.parametrize(
    "text",
    [
        "tcp://",
        "tcp://host",
        "tcp://host:0",
        "tcp://host:99999",
        "tcp://h:1/path",
        "udp://h:1",
        "/no/such",
        "/",
    ],
)
def test_what_is_no_device_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DeviceError) as raised:
        find_device(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "115200", "115200-8X1", "123-8N1", "9600-9N1", "9600-7E3"])
def test_what_is_no_line_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(LineError, match="115200-8N1"):
        parse_line(text)
    assert parse_line("9600-7e1") == Line(9600, 7, "E", 1)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
