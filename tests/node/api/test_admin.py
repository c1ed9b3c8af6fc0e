import asyncio
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.api.admin import AdminServices, open_admin
from node.clock import Clock, SteppedClock, SystemClock
from node.errors import HomeError
from node.logs import COMPONENTS, PREFIX
from primitives.ids import UnixMs
from tests.node.api.rim import describe, describe_consensus, open_rim, read_json, run
from tests.node.community import Community

NOON = UnixMs(1_700_000_000_000)


class Admin:
    """A client of an admin socket."""

    def __init__(self, client: aiohttp.ClientSession, path: Path) -> None:
        self.client = client
        self.path = path
        self.stopped = 0
        self.steps = 0

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self.client.request(method, f"http://localhost{path}", json=body) as response:
            return response.status, await read_json(response)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="gridbft") as folder:
        yield Path(folder)


@asynccontextmanager
async def open_community_admin(home: Path, clock: Clock) -> AsyncIterator[Admin]:
    connector = aiohttp.UnixConnector(str(home / "admin.sock"))
    async with aiohttp.ClientSession(connector=connector) as client:
        admin = Admin(client, home / "admin.sock")

        def stop() -> None:
            admin.stopped += 1

        def note_step() -> None:
            admin.steps += 1

        services = AdminServices(clock, lambda: describe(Community()), describe_consensus, stop, note_step)
        async with open_admin(services, home):
            yield admin


def test_only_its_owner_may_open_the_socket_and_it_is_gone_afterwards(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            mode = admin.path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
        assert not admin.path.exists()

    before = os.umask(0)
    os.umask(before)
    run(scenario())
    assert os.umask(before) == before


def test_the_clock_is_stepped_and_the_node_hears_of_it(home: Path) -> None:
    async def scenario() -> None:
        clock = SteppedClock(NOON, 1)
        async with open_community_admin(home, clock) as admin:
            step = {"time_ms": NOON + 60_000, "hold_ms": NOON + 60_000}
            assert await admin.ask("POST", "/clock", step) == (200, {"wall_ms": NOON + 60_000})
            assert await admin.ask("POST", "/clock", step) == (200, {"wall_ms": NOON + 60_000})
            assert clock.wall_ms() == NOON + 60_000
            assert admin.steps == 2

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        {"time_ms": 5},
        {"time_ms": 5, "hold_ms": 4},
        {"time_ms": -5, "hold_ms": 4},
        {"time_ms": "x", "hold_ms": 4},
        {"time_ms": 1, "hold_ms": 4, "more": 1},
        [],
        "text",
        10**400,
    ],
)
def test_a_step_that_is_none_is_refused_by_name(home: Path, body: object) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SteppedClock(NOON, 1)) as admin:
            status, answer = await admin.ask("POST", "/clock", body)
            assert (status, answer["error"]) == (400, "STEP_INVALID")
            assert admin.steps == 0

    run(scenario())


def test_the_computers_clock_is_not_stepped(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            status, answer = await admin.ask("POST", "/clock", {"time_ms": 5, "hold_ms": 5})
            assert (status, answer["error"]) == (409, "CLOCK_NOT_STEPPED")

    run(scenario())


def test_the_stop_is_answered_before_it_begins(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            assert await admin.ask("POST", "/stop") == (202, {"stopping": True})
            assert admin.stopped == 1

    run(scenario())


def test_the_status_is_the_apis(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            status, answer = await admin.ask("GET", "/status")
            assert (status, answer["name"]) == (200, "node0")
            assert (await admin.ask("GET", "/v1/status"))[0] == 404

    run(scenario())


def test_the_socket_of_a_process_that_died_is_replaced(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            assert (await admin.ask("GET", "/status"))[0] == 200

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "admin.sock"))
    run(scenario())


def test_a_file_in_the_place_of_the_socket_is_not_touched(home: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(HomeError, match="is no socket"):
            async with open_community_admin(home, SystemClock()):
                pass

    (home / "admin.sock").write_text("mine")
    run(scenario())
    assert (home / "admin.sock").read_text() == "mine"


def test_a_home_deeper_than_a_socket_address_is_served_all_the_same(home: Path) -> None:
    deep = home / ("d" * 120)
    deep.mkdir()

    async def scenario() -> None:
        services = AdminServices(
            SystemClock(), lambda: describe(Community()), describe_consensus, lambda: None
        )
        async with open_admin(services, deep):
            directory = os.open(deep, os.O_PATH | os.O_DIRECTORY)
            try:
                connector = aiohttp.UnixConnector(f"/proc/self/fd/{directory}/admin.sock")
                async with (
                    aiohttp.ClientSession("http://localhost", connector=connector) as client,
                    client.get("/status") as answer,
                ):
                    assert answer.status == 200
            finally:
                os.close(directory)
        assert not (deep / "admin.sock").exists()

    run(scenario())


@pytest.fixture
def levels() -> Iterator[None]:
    """The log's levels are the process's: they are again what they were afterwards."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)
    for component in COMPONENTS:
        logging.getLogger(PREFIX + component).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("levels")
def test_the_level_of_one_component_or_of_all_is_set_and_shown(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            everything = {"level": "warning"}
            assert (await admin.ask("POST", "/logs/level", everything))[0] == 200
            change = {"level": "debug", "component": "p2p"}
            expected = dict.fromkeys((*COMPONENTS, "others"), "warning") | {"p2p": "debug"}
            for _ in range(2):
                assert await admin.ask("POST", "/logs/level", change) == (200, expected)
            assert await admin.ask("GET", "/logs/level") == (200, expected)

    run(scenario())


@pytest.mark.parametrize(
    "body", [{"level": "loud"}, {"level": "info", "component": "kitchen"}, {"component": "p2p"}, [], 7]
)
@pytest.mark.usefixtures("levels")
def test_a_level_that_is_none_is_refused_by_name_and_changes_nothing(home: Path, body: object) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            before = await admin.ask("GET", "/logs/level")
            status, answer = await admin.ask("POST", "/logs/level", body)
            assert (status, answer["error"]) == (400, "LEVEL_INVALID")
            assert await admin.ask("GET", "/logs/level") == before

    run(scenario())


def test_a_body_that_is_no_json_is_refused(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SteppedClock(NOON, 1)) as admin:
            for body, kind in (
                (b"{", "application/json"),
                (b"\xff", "application/json"),
                (b"{}", "text/plain"),
            ):
                url, headers = "http://localhost/clock", {"Content-Type": kind}
                async with admin.client.post(url, data=body, headers=headers) as response:
                    assert response.status in {400, 415}
                    assert json.loads(await response.read())["error"] in {"STEP_INVALID", "TYPE_UNSUPPORTED"}

    run(scenario())


def test_the_admin_socket_serves_several_at_once(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin:
            answers = await asyncio.gather(*(admin.ask("GET", "/status") for _ in range(8)))
            assert {status for status, _ in answers} == {200}

    run(scenario())


def test_the_position_in_agreement_is_told_to_operators_and_clients_alike(home: Path) -> None:
    async def scenario() -> None:
        async with open_community_admin(home, SystemClock()) as admin, open_rim() as rim:
            status, told = await admin.ask("GET", "/consensus")
            assert (status, told) == await rim.get("/v1/consensus")
            assert status == 200
            assert told["position"]["primary"] == "v0"
            assert told["position"]["timers_ms"] == {"resend": 300}
            assert told["explanation"]["missing"][0]["reason"] == "connection refused"
            assert [each["line"] for each in told["transcript"]] == ["view_started view=0 primary=v0"]

    run(scenario())
