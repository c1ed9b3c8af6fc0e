"""The clock was set, does not jump, and is close to the others'; else it is named with what to do."""

import pytest

from node.doctor.clock import Moment, check_block_time, check_jump, check_offset, check_year
from node.doctor.findings import Level

NOW_MS = 1_795_660_000_000


@pytest.mark.parametrize(
    ("wall_ms", "level"), [(0, Level.PROBLEM), (1_600_000_000_000, Level.PROBLEM), (NOW_MS, Level.OK)]
)
def test_a_clock_that_was_never_set_is_a_problem(wall_ms: int, level: Level) -> None:
    found = check_year(Moment(wall_ms, 5))
    assert found.level is level
    assert bool(found.advice) == (level is Level.PROBLEM)


@pytest.mark.parametrize(
    ("wall_ms", "level"),
    [(1000, Level.OK), (1200, Level.OK), (3600_000, Level.WARNING), (-5000, Level.WARNING)],
)
def test_the_wall_clock_goes_as_far_as_the_monotonic_one_or_it_jumped(wall_ms: int, level: Level) -> None:
    found = check_jump(Moment(NOW_MS, 70), Moment(NOW_MS + wall_ms, 1070))
    assert found.level is level
    assert found.measures["jump_ms"] == wall_ms - 1000


@pytest.mark.parametrize(
    ("offsets", "level"),
    [
        ({}, Level.OK),
        ({"a": 10, "b": -5, "c": 0}, Level.OK),
        ({"a": 1500, "b": 1500, "c": 0}, Level.WARNING),
        ({"a": -9000, "b": -9000, "c": -9001}, Level.PROBLEM),
        ({"a": 10, "b": 5, "liar": 10**9}, Level.OK),
    ],
)
def test_the_offset_to_the_middle_of_the_others_counts(offsets: dict[str, int], level: Level) -> None:
    assert check_offset(offsets, 2000).level is level


@pytest.mark.parametrize(
    ("times", "level"),
    [([], Level.OK), ([NOW_MS - 9, NOW_MS + 900], Level.OK), ([NOW_MS + 9000], Level.PROBLEM)],
)
def test_a_block_that_is_dated_after_the_clock_is_a_problem(times: list[int], level: Level) -> None:
    assert check_block_time(times, Moment(NOW_MS, 0), 2000).level is level
