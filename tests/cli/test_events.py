"""The utility announces an event, homes say whether they are in, and everybody can look at it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import time

import msgspec
import pytest

from cli.events import EventClaim, describe
from cli.failure import ExitCode
from tests.cli.conftest import Command
from tests.cli.processes import wait_until
from tests.cli.test_journey import NODES, SLOT_S, Street
from tests.cli.test_rounds import write_moment
from tests.node.api.rim import open_rim, run
from tests.node.api.test_events import FIRST_SLOT_S, announce, live

TIME = "2026-01-01T00:00:00Z"
REWARD = ("--reward", "300000")
LEAD_SLOTS = 8


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    street = Street(tmp_path / "net")
    try:
        street.start(*NODES)
        yield street
        assert street.stop() == [0, 0, 0, 0]
    finally:
        for process in street.processes.values():
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_event_is_announced_homes_opt_in_or_out_and_everybody_sees_it(
    street: Street, gridbft: Command
) -> None:
    at = ("--home", street.directory)
    wait_until(lambda: gridbft("status", *at, "--check").code == ExitCode.OK, "all is well", 60)
    start = write_moment(int(time()) // SLOT_S * SLOT_S + LEAD_SLOTS * SLOT_S)
    for name in ("alder", "birch", "cedar"):
        assert gridbft("wallet", "create", name, "--kind", "meter", *at).code == ExitCode.OK
    for name in ("alder", "birch"):
        assert gridbft("meter", "register", name, *at).code == ExitCode.OK

    assert gridbft("event", "show", start, *at).code == ExitCode.NOT_FOUND
    early = gridbft("event", "opt", "alder", start, "in", *at)
    assert (early.code, "EVENT_UNKNOWN" in early.err) == (ExitCode.NOT_FOUND, True)
    past = gridbft("event", "announce", TIME, *REWARD, *at)
    assert (past.code, "SLOT_STARTED" in past.err) == (ExitCode.ERROR, True)

    announced = gridbft("event", "announce", start, *REWARD, "--slots", 4, *at)
    assert announced.code == ExitCode.OK, announced.err
    assert len(bytes.fromhex(announced.out.strip())) == 32
    assert f"an event over 4 slots from {start} is announced" in announced.err
    assert "EVENT_OVERLAPS" in gridbft("event", "announce", start, *REWARD, *at).err

    joined = gridbft("event", "opt", "alder", start, "in", "--json", *at)
    assert joined.code == ExitCode.OK, joined.err
    assert json.loads(joined.out)["verified"] is True
    assert json.loads(joined.out)["id"] in joined.err
    assert gridbft("event", "opt", "birch", start, "out", "--reason", "guests", *at).code == ExitCode.OK
    assert gridbft("event", "opt", "cedar", start, "in", *at).code == ExitCode.NOT_FOUND

    found = json.loads(gridbft("event", "show", start, "--json", *at).out)
    assert (found["status"], found["slots"], found["opted_in"]) == ("far", 4, 1)
    words = {entry["home"]: (entry["is_in"], entry["reason"]) for entry in found["homes"]}
    assert words == {"alder": (True, ""), "birch": (False, "guests")}
    told = gridbft("event", "show", start, *at).out.splitlines()
    assert told[0].startswith("far: 4 slots at 0.30 EUR per kWh below the mean of up to 10 days; 1 home in")
    assert sorted(told[1:]) == ["alder  in", "birch  out (guests)"]


def test_a_measured_event_is_told_with_what_each_home_was_paid() -> None:
    async def fetch() -> EventClaim:
        async with open_rim() as rim:
            announce(rim.community)
            live(rim.community)
            _, answer = await rim.get(f"/v1/events/{FIRST_SLOT_S}")
            return msgspec.convert(answer, EventClaim)

    found: list[EventClaim] = []

    async def scenario() -> None:
        found.append(await fetch())

    run(scenario())
    head, total, *homes = describe(found[0], "EUR")
    assert head.startswith("completed: 1 slot at 0.30 EUR per kWh below the mean of up to 1 day; 1 home in")
    assert total == "saved 0.060 kWh, paid 0.0180 EUR"
    assert sorted(homes) == [
        "home-1  in: drew 0.040 of 0.100 kWh, saved 0.060, paid 0.0180 EUR",
        "home-2  out (guests)",
    ]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["announce", TIME], "Missing option '--reward'"),
        (["announce", "noon", *REWARD], "'noon' is no time"),
        (["announce", "2026-01-01T00:00:00", *REWARD], "add the offset"),
        (["announce", "2026-01-01T00:01:00Z", *REWARD], "is not a boundary"),
        (["announce", TIME, *REWARD, "--slots", "0"], "--slots"),
        (["announce", TIME, *REWARD, "--slots", "25"], "--slots 25: at most 24"),
        (["announce", TIME, "--reward", "-1"], "--reward"),
        (["announce", TIME, "--reward", "10000001"], "--reward 10000001: at most 10000000"),
        (["announce", TIME, *REWARD, "--baseline-days", "0"], "--baseline-days"),
        (["announce", TIME, *REWARD, "--baseline-days", "11"], "--baseline-days 11: at most 10"),
        (["opt", "alder", "2026-01-01T00:01:00Z", "in"], "is not a boundary"),
        (["opt", "alder", TIME, "maybe"], "'maybe': say in or out"),
        (["opt", "alder", TIME, "in", "--reason", "é" * 61], "--reason: at most 120 bytes"),
        (["opt", "alder", TIME, "in", "--reason", "a\nb"], "--reason: one line of text"),
        (["show", "2026-01-01T00:01:00Z"], "is not a boundary"),
    ],
)
def test_a_wrong_word_about_an_event_is_a_usage_error_of_one_line(
    network: Path, gridbft: Command, arguments: list[str], answer: str
) -> None:
    ended = gridbft("--home", network, "event", *arguments)
    assert (ended.code, ended.out) == (ExitCode.USAGE, ""), ended.err
    assert answer in ended.line


def test_a_key_that_is_missing_or_serves_another_purpose_signs_nothing(
    network: Path, gridbft: Command
) -> None:
    at = ("--home", network)
    absent = gridbft("event", "opt", "alder", TIME, "in", *at)
    assert (absent.code, absent.out) == (ExitCode.NOT_FOUND, ""), absent.err
    assert gridbft("wallet", "create", "alder", "--kind", "meter", *at).code == ExitCode.OK
    (utility,) = network.rglob("utility.key")
    shutil.copy(network / "wallets" / "alder.key", utility)
    ended = gridbft("event", "announce", TIME, *REWARD, *at)
    assert (ended.code, ended.out) == (ExitCode.NOT_ALLOWED, ""), ended.err
