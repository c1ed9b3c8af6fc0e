"""Our own bugs are caught, a change that changes nothing is not, and every bug still fits the code."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import timers
from tests.simulation.mutants.__main__ import build_record, main
from tests.simulation.mutants.catalogue import CANARY, MUTANTS
from tests.simulation.mutants.hunting import hunt_canary, hunt_mutant
from tests.simulation.mutants.mutation import Mutant, MutationError, mutated

ROOT = Path(__file__).parents[2]

QUICK = (
    "quorum is 2f",
    "votes for other digests count",
    "new-view without a quorum",
    "one complaint is enough",
    "nonce not consumed",
    "signature without a domain",
    "key of small order accepted",
    "quota ignored",
    "money only taken",
    "journal not synced",
    "second copies not written",
    "block written without a sync",
    "vote performed before the sync",
    "evidence dropped",
    "own newer votes are no news",
    "one ballot is enough",
    "certificate of a snapshot unchecked",
)
"""Caught within a second or two each; the others are hunted by ``make mutants``."""


@pytest.mark.parametrize("mutant", [*MUTANTS, CANARY], ids=lambda mutant: mutant.name)
def test_every_bug_still_fits_the_code(mutant: Mutant) -> None:
    with mutated(mutant):
        pass


@pytest.mark.parametrize("name", QUICK)
def test_a_bug_is_caught_by_more_than_one_seed(name: str) -> None:
    mutant = next(each for each in MUTANTS if each.name == name)
    assert hunt_mutant(mutant).is_caught


def test_there_are_bugs_of_every_kind_and_each_has_its_own_name() -> None:
    assert len(MUTANTS) >= 30
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    modules = {mutant.target.partition(":")[0].partition(".")[0] for mutant in MUTANTS}
    assert {"consensus", "vm", "node", "primitives"} <= modules


def test_the_canary_is_clean() -> None:
    canary = hunt_canary()
    assert canary.seeds == ()
    assert build_record([], canary)["canary"] == "clean"


def test_a_mutant_ends_with_its_block() -> None:
    before = timers.start_if_stopped
    with mutated(CANARY):
        assert timers.start_if_stopped is not before
    assert timers.start_if_stopped is before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"old": "no such text"}, "stands 0 times"),
        ({"target": "consensus.timers:no_such_function"}, "does not exist any more"),
        ({"target": "consensus.timers:COMPLAINT_PERIODS"}, "is not a function"),
    ],
)
def test_a_bug_that_does_not_fit_is_named(change: dict[str, str], reason: str) -> None:
    with pytest.raises(MutationError, match=reason), mutated(replace(CANARY, **change)):
        pass


def test_one_line_of_json_says_what_was_caught(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "journal not synced", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["mutants"], record["caught"], record["missed"]) == (1, 1, [])


def test_hunts_may_be_spread_over_processes() -> None:
    command = [sys.executable, "-m", "tests.simulation.mutants", "--jobs", "2", "--json"]
    names = ["--only", "journal not synced", "--only", "key of small order accepted"]
    played = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(played.stdout)["caught"] == 2


def test_an_unknown_mutant_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing"]) == 2
    assert "no such mutant" in capsys.readouterr().err
