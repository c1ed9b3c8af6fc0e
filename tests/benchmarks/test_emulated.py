"""Another interpreter: one that is none is named, and a day that does not hold is no success."""

from typing import Any

import msgspec
import pytest

from benchmarks.emulated import Day, Interpreter, Report, VectorRun, is_alike, measure
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.session import BenchError

DAY = Day(2, 4, 10, 24, 251, 74, 1, True, True, 251, 0, True, 100.0, 30.0)
REPORT = Report("", describe_machine(), Interpreter("aarch64", "3.11.2"), VectorRun([], 9, 0, 1.0), [DAY])


@pytest.mark.parametrize(
    ("python", "said"),
    [("/nowhere/python", "No such file"), ("echo", "as a Python does"), ("false", "ended with 1")],
)
def test_what_is_no_interpreter_ends_in_one_line(python: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        measure(python, [], is_testing=False)


def test_days_and_tests_that_hold_are_alike() -> None:
    assert is_alike(REPORT)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"same_state_root": False},
        {"conserved": False},
        {"killed_caught_up": False},
        {"receipts_failed": 1},
    ],
)
def test_a_day_that_does_not_hold_is_seen(spoiled: dict[str, Any]) -> None:
    assert not is_alike(msgspec.structs.replace(REPORT, days=[DAY, msgspec.structs.replace(DAY, **spoiled)]))


@pytest.mark.parametrize("tests", [VectorRun([], 9, 1, 1.0), VectorRun([], 0, 0, 1.0)])
def test_a_test_that_fails_is_seen_and_so_is_none_that_ran(tests: VectorRun) -> None:
    assert not is_alike(msgspec.structs.replace(REPORT, tests=tests))
