"""The node's clock port: one wall clock and one monotonic clock; everything else gets time as an argument.

Contracts see block time only. The wall clock is used for one thing, the time of a batch that this node proposes.
"""

import time
from collections.abc import Callable
from typing import Protocol

from primitives.ids import MonotonicMs, UnixMs

NANOSECONDS_PER_MS = 1_000_000


class ClockError(ValueError):
    """A step that no clock can take; the message says what to give instead."""


class Clock(Protocol):
    """Where the node reads time."""

    def wall_ms(self) -> UnixMs:
        """Return UTC time in milliseconds; it may jump, as a computer's clock does."""
        ...

    def monotonic_ms(self) -> MonotonicMs:
        """Return milliseconds since an unknown moment; never goes back, and only differences mean anything."""
        ...


def read_monotonic_ms() -> MonotonicMs:
    """Return the operating system's monotonic time."""
    return MonotonicMs(time.monotonic_ns() // NANOSECONDS_PER_MS)


class SystemClock:
    """The computer's clocks."""

    def wall_ms(self) -> UnixMs:
        return UnixMs(time.time_ns() // NANOSECONDS_PER_MS)

    def monotonic_ms(self) -> MonotonicMs:
        return read_monotonic_ms()


class SteppedClock:
    """A wall clock that a person or a demonstration moves; the monotonic clock stays the computer's.

    It stands at ``origin_ms`` until the first step. After ``step(time_ms, hold_ms)`` it runs ``scale`` times as fast
    as real time from ``time_ms`` and stands still at ``hold_ms``. It never goes back: a step into its past leaves it
    where it is, so a step that is sent twice does no harm.
    """

    def __init__(
        self,
        origin_ms: UnixMs,
        scale: float,
        read_monotonic: Callable[[], MonotonicMs] = read_monotonic_ms,
    ) -> None:
        """Stand at ``origin_ms``; ``scale`` is clock time per real time, above 0."""
        self._scale = scale
        self._read_monotonic = read_monotonic
        self._base_ms = int(origin_ms)
        self._hold_ms = int(origin_ms)
        self._stepped_at = read_monotonic()

    def wall_ms(self) -> UnixMs:
        elapsed_ms = self._read_monotonic() - self._stepped_at
        return UnixMs(min(self._base_ms + int(self._scale * elapsed_ms), self._hold_ms))

    def monotonic_ms(self) -> MonotonicMs:
        return self._read_monotonic()

    def step(self, time_ms: UnixMs, hold_ms: UnixMs) -> UnixMs:
        """Go on from ``time_ms`` and stand still at ``hold_ms``; return the time it is now.

        Raises:
            ClockError: the clock would stop before it starts, or before 1970.

        """
        if time_ms < 0:
            raise ClockError(f"time_ms {time_ms} is before 1970: give UTC milliseconds")
        if hold_ms < time_ms:
            raise ClockError(f"hold_ms {hold_ms} is before time_ms {time_ms}: give a later moment to stop at")
        now_ms = self.wall_ms()
        self._base_ms = max(time_ms, now_ms)
        self._hold_ms = max(hold_ms, now_ms)
        self._stepped_at = self._read_monotonic()
        return self.wall_ms()
