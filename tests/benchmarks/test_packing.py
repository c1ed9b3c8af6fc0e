"""The benchmark of packing on a small scale: it follows everything that came, and its figures mean what they say."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import packing

BLOCKS = 5


@pytest.fixture(scope="module")
def runs() -> list[dict[str, object]]:
    return packing.run(seeds=1, blocks=BLOCKS)


def test_every_packer_meets_every_load(runs: list[dict[str, object]]) -> None:
    pairs = [(each["load"], each["packer"]) for each in runs]
    assert pairs == [(load, packer) for load in packing.LOADS for packer in packing.PACKERS]


def test_all_that_came_is_committed_or_was_refused(runs: list[dict[str, object]]) -> None:
    for name, load in packing.LOADS.items():
        brought = sum(map(len, packing.build_schedule(load, 0, BLOCKS)))
        for each in runs:
            if each["load"] == name:
                assert brought == int(str(each["committed"])) + int(str(each["refused_by_the_pool"]))


def test_first_come_first_served_lets_nobody_wait_longer_than_the_others_where_sizes_are_alike(
    runs: list[dict[str, object]],
) -> None:
    bursty = {each["packer"]: int(str(each["waiting_max"])) for each in runs if each["load"] == "bursty"}
    assert bursty["fifo"] == min(bursty.values()) > 0


def test_turns_keep_a_greedy_account_from_delaying_the_others(runs: list[dict[str, object]]) -> None:
    greedy = {
        each["packer"]: float(str(each["waiting_mean_without_account_0"]))
        for each in runs
        if each["load"] == "one greedy account"
    }
    assert greedy["round-robin"] < min(value for name, value in greedy.items() if name != "round-robin")


def test_the_index_of_jain_is_one_for_equals_and_one_nth_where_one_has_everything() -> None:
    assert packing.compute_jain([3.0, 3.0, 3.0]) == 1
    assert packing.compute_jain([0.0, 0.0, 7.0, 0.0]) == 1 / 4


def test_the_command_writes_every_run_and_its_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["packing", "--seeds", "1", "--blocks", "1", "-o", str(tmp_path / "out.json")]
    )
    packing.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["runs"]) == len(packing.LOADS) * len(packing.PACKERS)
    assert found["set_up"]["blocks_with_arrivals"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == found["medians"]
