"""Seeds: whatever fails, nothing is violated; the same seed gives the same trace; what was found stays found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import Outcome, draw_plan, run_seed
from tests.simulation.run import main
from tests.simulation.seeds import KeptSeed, read_seeds
from tests.simulation.summary import FAULTS, Summary

ROOT = Path(__file__).parents[2]
FRESH = range(1000, 1036)


@pytest.mark.parametrize("kept", read_seeds(), ids=str)
def test_what_a_seed_once_found_is_not_found_again(kept: KeptSeed) -> None:
    assert run_seed(kept.seed, kept.validators, kept.byzantine).violation is None


@pytest.mark.parametrize("seed", FRESH)
def test_nothing_is_violated_and_everything_commits_in_time_after_healing(seed: int) -> None:
    assert run_seed(seed).violation is None


def test_the_same_seed_gives_the_same_trace_under_every_hash_seed() -> None:
    program = "from tests.simulation.campaign import run_seed; print(run_seed(1004).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }
    assert traces == {run_seed(1004).trace + "\n"}


def test_another_seed_gives_another_trace() -> None:
    assert run_seed(1000).trace != run_seed(1001).trace


def test_plans_are_of_every_size_and_within_what_is_tolerated() -> None:
    plans = [draw_plan(seed) for seed in range(500)]
    assert {plan.validators for plan in plans} == set(range(4, 14))
    assert all(plan.byzantine <= (plan.validators - 1) // 3 for plan in plans)
    assert any(plan.byzantine == (plan.validators - 1) // 3 for plan in plans)


def test_one_line_of_json_says_what_was_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3:5", "--replicas", "4", "--byzantine", "1", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    record = json.loads(lines[0])
    assert (record["seeds"], record["violations"], record["replicas"]) == (2, [], {"4": 2})
    assert set(FAULTS) <= record["faults"].keys()


@pytest.mark.parametrize(
    "arguments",
    [["run", "--seeds", "3:14", "--replicas", "4"], ["twins", "--schedules", "26"]],
    ids=lambda each: each[0],
)
def test_work_may_be_spread_over_processes(arguments: list[str]) -> None:
    name, *rest = arguments
    command = [sys.executable, "-m", f"tests.simulation.{name}", *rest, "--json"]
    records = []
    for jobs in ("1", "2"):
        played = subprocess.run(
            [*command, "--jobs", jobs], cwd=ROOT, capture_output=True, text=True, check=True
        )
        record = json.loads(played.stdout)
        records.append({key: value for key, value in record.items() if "cpu" not in key})
    assert records[0] == records[1]


def test_a_story_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3:4", "--trace"]) == 0
    out = capsys.readouterr().out
    assert "# start v0" in out
    assert "broadcast pre_prepare view=0 sequence=1" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--seeds", "4"], "half-open range"),
        (["--seeds", "4:4"], "half-open range"),
        (["--seeds", "a:b"], "half-open range"),
        (["--seeds", "0:1", "--replicas", "3"], "between 4 and"),
        (["--seeds", "0:1", "--replicas", "7", "--byzantine", "3"], "tolerate at most 2"),
        (["--seeds", "0:1", "--byzantine", "-1"], "tolerate at most 1"),
        (["--seeds", "0:1", "--jobs", "0"], "between 1 and"),
        (["--seeds", "0:2", "--trace"], "--trace tells one seed"),
    ],
)
def test_wrong_usage_is_refused_by_name(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err


def test_a_fault_that_never_hit_over_500_seeds_is_named() -> None:
    summary = Summary()
    outcome = run_seed(1000, 4, 0)
    hits = outcome.hits.copy()
    for name in FAULTS:
        hits[name] = 1
    del hits["clog"]
    unlucky = Outcome(outcome.plan, "", 0, 0, 0, 0, hits, None)
    for _ in range(499):
        summary.add(unlucky)
    assert summary.find_never_hit(0) == []
    summary.add(unlucky)
    assert summary.find_never_hit(0) == ["clog"]
    assert "byzantine_silent" in summary.find_never_hit(None)
