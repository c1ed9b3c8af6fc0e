"""Virtual time: what happens next. Two things of the same millisecond happen in the order they were planned in."""

import heapq
from collections.abc import Callable
from typing import Any


class StuckError(AssertionError):
    """What was waited for did not come in the time given."""


class Alarm:
    """Something planned; ``cancel`` makes it not happen."""

    __slots__ = ("_fire", "is_cancelled")

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let it not happen."""
        self.is_cancelled = True

    def __call__(self) -> None:
        """Happen, unless cancelled."""
        if not self.is_cancelled:
            self._fire()


class Timeline:
    """A clock that jumps to the next thing to happen."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.happened = 0
        """Things that happened so far."""
        self._planned: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def call(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401  # passed through
        """Let ``action(*arguments)`` happen in ``delay_ms``."""
        self._count += 1
        heapq.heappush(self._planned, (self.now_ms + delay_ms, self._count, action, arguments))

    def set_alarm(self, delay_ms: int, fire: Callable[[], None]) -> Alarm:
        """Plan something that may be cancelled."""
        alarm = Alarm(fire)
        self.call(delay_ms, alarm)
        return alarm

    def run(self, duration_ms: int) -> None:
        """Let time pass."""
        end = self.now_ms + duration_ms
        planned, pop = self._planned, heapq.heappop
        while planned and planned[0][0] <= end:
            self.now_ms, _, action, arguments = pop(planned)
            self.happened += 1
            action(*arguments)
        self.now_ms = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int, describe: Callable[[], str]) -> int:
        """Let time pass until the condition holds, which is looked at once per millisecond; return how long it took.

        Raises:
            StuckError: it did not hold within ``limit_ms``.

        """
        start, end = self.now_ms, self.now_ms + limit_ms
        while not condition():
            if not self._planned or self._planned[0][0] > end:
                raise StuckError(f"not within {limit_ms} ms: {describe()}")
            self.run(self._planned[0][0] - self.now_ms)
        return self.now_ms - start
