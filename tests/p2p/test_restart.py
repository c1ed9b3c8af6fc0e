"""A member that is killed, or stops and starts again at the same port, is back within a moment."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

from p2p.frames import Channel
from p2p.peers import BACKOFF_MAX_S
from tests.p2p.members import build_settings, make_members, open_station, wait_until
from tests.p2p.peer_process import ProcessSettings

ROOT = Path(__file__).parents[2]
MOMENT_S = BACKOFF_MAX_S + 1.0  # the longest wait between two tries, and a busy machine


@asynccontextmanager
async def run_child(settings: ProcessSettings) -> AsyncIterator[int]:
    """Run a member in a process until it is killed at the end; gives its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.p2p.peer_process",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
    try:
        async with asyncio.timeout(30):
            yield int(await read_port(process.stdout))
    finally:
        process.kill()
        await process.wait()


async def read_port(output: asyncio.StreamReader) -> bytes:
    while True:
        line = (await output.readline()).strip()
        assert line, "the child ended"
        if line.isdigit():  # not a line of the log
            return line


def test_a_member_whose_process_is_killed_and_started_again_is_reconnected() -> None:
    async def play() -> None:
        one, two = make_members(2)
        settings = ProcessSettings(
            seed=two.seed.hex(),
            certificate=two.certificate.hex(),
            key_pem=two.key_pem.hex(),
            other_seed=one.seed.hex(),
            other_certificate=one.certificate.hex(),
            port=0,
        )
        async with AsyncExitStack() as child:
            port = await child.enter_async_context(run_child(settings))
            async with open_station(build_settings(one, [two.build_address(port)]), one) as station:
                await wait_until(lambda: bool(station.ear.messages), "connected")
                await child.aclose()
                await wait_until(lambda: not station.get_peer(two).connected, "the kill is noticed", 1.0)
                assert not station.network.send(two.key.public, Channel.CONSENSUS, b"to nobody")
                async with run_child(replace(settings, port=port)):
                    await wait_until(lambda: station.get_peer(two).connected, "reconnected", MOMENT_S)
                    heard = len(station.ear.messages)
                    await wait_until(lambda: len(station.ear.messages) > heard, "heard again")
                    assert station.get_peer(two).last_error == ""

    asyncio.run(play())


def test_a_member_that_stops_says_so_and_is_reconnected_from_either_side() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_station(build_settings(two, [one.build_address()]), two) as listening:
            port = listening.network.port
            for _ in range(2):
                async with open_station(build_settings(one, [two.build_address(port)]), one) as dialling:
                    await wait_until(lambda: listening.get_peer(one).connected, "connected", MOMENT_S)
                    await wait_until(lambda d=dialling: d.get_peer(two).connected, "both", MOMENT_S)  # type: ignore[misc]
                await wait_until(lambda: not listening.get_peer(one).connected, "gone")
                assert listening.get_peer(one).last_error == "the peer closed the link: the node is stopping"
        async with open_station(build_settings(one, [two.build_address(port)]), one) as dialling:
            refused = f"cannot connect to 127.0.0.1:{port}: connection refused"
            await wait_until(lambda: dialling.get_peer(two).last_error == refused, "nobody there")
            async with open_station(build_settings(two, [one.build_address()], port), two):
                await wait_until(lambda: dialling.get_peer(two).connected, "reconnected", MOMENT_S)
            await wait_until(lambda: not dialling.get_peer(two).connected, "gone")
            async with open_station(build_settings(two, [one.build_address()], port), two):
                await wait_until(lambda: dialling.get_peer(two).connected, "reconnected again", MOMENT_S)

    asyncio.run(play())
