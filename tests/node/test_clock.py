import time

import pytest

from node.clock import ClockError, SteppedClock, SystemClock
from primitives.ids import MonotonicMs, UnixMs

NOON = UnixMs(1_700_000_000_000)


class Stopwatch:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 5_000

    def __call__(self) -> MonotonicMs:
        return MonotonicMs(self.now_ms)


def test_a_stepped_clock_stands_still_until_the_first_step() -> None:
    watch = Stopwatch()
    clock = SteppedClock(NOON, 60, watch)
    watch.now_ms += 10_000
    assert clock.wall_ms() == NOON


def test_a_stepped_clock_runs_scaled_and_stops_where_it_was_told() -> None:
    watch = Stopwatch()
    clock = SteppedClock(NOON, 60, watch)
    assert clock.step(UnixMs(NOON + 1_000), UnixMs(NOON + 100_000)) == NOON + 1_000
    watch.now_ms += 500
    assert clock.wall_ms() == NOON + 1_000 + 30_000
    watch.now_ms += 500_000
    assert clock.wall_ms() == NOON + 100_000


def test_a_step_that_is_sent_twice_never_turns_the_clock_back() -> None:
    watch = Stopwatch()
    clock = SteppedClock(NOON, 10, watch)
    clock.step(NOON, UnixMs(NOON + 60_000))
    watch.now_ms += 1_000
    before = clock.wall_ms()
    assert clock.step(NOON, UnixMs(NOON + 60_000)) == before
    watch.now_ms += 1_000
    assert clock.wall_ms() == before + 10_000


def test_a_step_into_the_past_leaves_the_clock_where_it_is() -> None:
    clock = SteppedClock(NOON, 1, Stopwatch())
    assert clock.step(UnixMs(0), UnixMs(1)) == NOON


@pytest.mark.parametrize(("time_ms", "hold_ms"), [(-1, 5), (10, 9)])
def test_a_step_that_makes_no_sense_is_refused_by_name(time_ms: int, hold_ms: int) -> None:
    clock = SteppedClock(NOON, 1, Stopwatch())
    with pytest.raises(ClockError, match=r"time_ms|hold_ms"):
        clock.step(UnixMs(time_ms), UnixMs(hold_ms))
    assert clock.wall_ms() == NOON


def test_the_monotonic_clock_is_not_stepped() -> None:
    watch = Stopwatch()
    clock = SteppedClock(NOON, 1_000, watch)
    clock.step(UnixMs(NOON + 10**9), UnixMs(NOON + 10**10))
    assert clock.monotonic_ms() == watch.now_ms


def test_the_system_clock_tells_utc_and_goes_on() -> None:
    clock = SystemClock()
    assert abs(clock.wall_ms() - time.time() * 1000) < 1_000
    first = clock.monotonic_ms()
    assert clock.monotonic_ms() >= first
