"""Two homes agree on trades by the commands that members use, and one of them is killed on the way."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import time

import pytest

from cli.failure import ExitCode
from tests.cli.conftest import Command
from tests.cli.processes import launch, wait_until
from tests.cli.test_journey import NODES, SLOT_S, Street

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SLOTS = 4
LEAD_SLOTS = 8
HOMES = {"alder": (500, 2000), "birch": (1500, 0)}
"""Load and sun in each slot, Wh."""


def write_moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def write_expectation(path: Path, first_s: int, load_wh: int, pv_wh: int) -> Path:
    rows = [f"{write_moment(first_s + slot * SLOT_S)},home,{load_wh},{pv_wh}" for slot in range(SLOTS)]
    path.write_text("\n".join(["slot_start_utc,home,load_wh,pv_wh", *rows]) + "\n", encoding="utf-8")
    return path


def test_homes_join_a_round_from_their_own_machines_and_one_that_is_killed_goes_on(
    street: Street, tmp_path: Path, gridbft: Command
) -> None:
    at = ("--home", street.directory)
    wait_until(lambda: gridbft("status", *at, "--check").code == ExitCode.OK, "all is well", 60)
    first_s = int(time()) // SLOT_S * SLOT_S + LEAD_SLOTS * SLOT_S
    slot = write_moment(first_s)
    logs = {name: tmp_path / f"{name}.log" for name in HOMES}
    for name in HOMES:
        assert gridbft("wallet", "create", name, "--kind", "meter", *at).code == ExitCode.OK
        assert gridbft("meter", "register", name, *at).code == ExitCode.OK

    def join(name: str) -> subprocess.Popen[bytes]:
        expectation = write_expectation(tmp_path / f"{name}.csv", first_s, *HOMES[name])
        return launch("round", "join", name, slot, "--expect", expectation, "--json", *at, log=logs[name])

    def look() -> dict[str, object]:
        found: dict[str, object] = json.loads(gridbft("round", "show", slot, "--json", *at).out)
        return found

    early = join("alder")
    assert gridbft("round", "show", slot, *at).code == ExitCode.NOT_FOUND
    opened = gridbft("round", "open", slot, "--slots", SLOTS, *at)
    assert opened.code == ExitCode.OK, opened.err
    assert "a round of 2 homes over 4 slots" in opened.err
    assert "ROUND_OVERLAPS" in gridbft("round", "open", slot, "--slots", SLOTS, *at).err

    victim = join("birch")
    wait_until(lambda: int(str(look()["iteration"])) >= 3, "both have said two vectors", 60)
    victim.kill()
    victim.wait(timeout=30)
    for run in (early, join("birch")):
        assert run.wait(timeout=120) == ExitCode.OK, [log.read_text() for log in logs.values()]
    found = look()
    assert found["status"] in {"fixed", "closed"}
    assert found["converged"] is True
    for name in HOMES:
        outcome = json.loads(logs[name].read_text(encoding="utf-8").splitlines()[-1])
        assert outcome["home"] == name
        assert outcome["together"] < outcome["alone"]


@pytest.mark.parametrize(
    ("file", "words"),
    [("absent.csv", "absent.csv: cannot be read"), ("other.csv", "it has no row for the slot")],
)
def test_a_home_that_cannot_plan_the_slots_is_told_before_anything_is_sent(
    tmp_path: Path, gridbft: Command, file: str, words: str
) -> None:
    at = ("--home", Street(tmp_path / "net").directory)  # no validator runs, and none is asked
    slot = write_moment(int(time()) // SLOT_S * SLOT_S + LEAD_SLOTS * SLOT_S)
    write_expectation(tmp_path / "other.csv", 0, 1, 1)
    assert gridbft("wallet", "create", "alder", "--kind", "meter", *at).code == ExitCode.OK
    ended = gridbft("round", "join", "alder", slot, "--expect", tmp_path / file, *at)
    assert ended.code == ExitCode.USAGE
    assert words in ended.line
