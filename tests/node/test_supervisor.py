"""systemd hears that a node listens, how it stands, that it lives and stops; who did not ask hears nothing."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator

import pytest

from node import stopwatch
from node.liveness import BLOCK_STUCK_S, SYNC_STUCK_S, find_dead_reason
from node.stopwatch import Stopwatch
from node.supervisor import STATUS_PERIOD_S, Supervisor, find_supervisor

NAME = f"@gridbft-supervisor-{os.getpid()}"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind("\0" + NAME[1:])
        link.settimeout(10)
        yield link


async def watch_until(supervisor: Supervisor, listener: socket.socket, reason: str | None) -> str:
    """Let it watch until its first datagram is here."""
    task = asyncio.ensure_future(supervisor.watch(lambda: reason, lambda: "block 7\nREADY=1"))
    heard = await asyncio.to_thread(listener.recv, 4096)
    task.cancel()
    return heard.decode()


def test_a_node_that_lives_says_so_with_its_status_in_one_line(listener: socket.socket) -> None:
    supervisor = find_supervisor({"NOTIFY_SOCKET": NAME})
    lines = asyncio.run(watch_until(supervisor, listener, None)).splitlines()
    assert len(lines) == 2  # nothing in a status can be taken for a line of its own
    assert lines[0].startswith("STATUS=block 7")
    assert lines[1] == "WATCHDOG=1"


def test_a_node_whose_disk_does_not_write_gives_the_reason_and_no_sign_of_life(
    listener: socket.socket,
) -> None:
    supervisor = find_supervisor({"NOTIFY_SOCKET": NAME})
    assert asyncio.run(watch_until(supervisor, listener, "stuck")) == "STATUS=stuck"


def test_readiness_and_the_end_are_told(listener: socket.socket) -> None:
    supervisor = find_supervisor({"NOTIFY_SOCKET": NAME})
    supervisor.tell_ready()
    supervisor.tell_stopping()
    assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_a_path_is_an_address_as_well() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,  # shorter than tmp_path: an address holds 107 bytes
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link,
    ):
        path = f"{directory}/n"
        link.bind(path)
        link.settimeout(10)
        find_supervisor({"NOTIFY_SOCKET": path}).tell_ready()
        assert link.recv(100) == b"READY=1"


def test_nobody_who_does_not_ask_is_told_anything() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        supervisor = find_supervisor(environment)
        supervisor.tell_ready()
        asyncio.run(supervisor.watch(lambda: None, lambda: ""))  # ends at once


def test_a_supervisor_that_is_gone_does_not_disturb_the_node() -> None:
    supervisor = find_supervisor({"NOTIFY_SOCKET": "@gridbft-nobody-listens-here"})
    supervisor.tell_ready()
    supervisor.tell_stopping()


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "6000000"}, 2.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "600000000"}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "0"}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "-3"}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "soon"}, STATUS_PERIOD_S),
    ],
)
def test_three_signs_of_life_come_within_the_watchdogs_time(
    environment: dict[str, str], period_s: float
) -> None:
    assert find_supervisor({"NOTIFY_SOCKET": NAME, **environment}).period_s == period_s


def test_only_a_write_that_takes_far_too_long_is_death(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(stopwatch, "monotonic", lambda: now_s)
    sync, block = Stopwatch((1.0,)), Stopwatch((1.0,))
    assert find_dead_reason(sync, block) is None
    with sync:
        now_s += SYNC_STUCK_S
        assert find_dead_reason(sync, block) is None
        now_s += 1
        assert (
            find_dead_reason(sync, block) == "a write of the journal has not ended for 31 s: look at the disk"
        )
    assert find_dead_reason(sync, block) is None
    with block:
        now_s += BLOCK_STUCK_S
        assert find_dead_reason(sync, block) is None
        now_s += 1
        assert find_dead_reason(sync, block) == "a block has not been stored for 121 s: look at the disk"
