"""How long something takes, each time, and for how long what is under way has: for metrics and for the watchdog."""

from contextlib import AbstractContextManager
from time import monotonic


class Histogram:
    """Counts of values by upper bounds, and their sum; as Prometheus wants it."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value in the first bucket that holds it."""
        self.sum += value
        for position, bound in enumerate(self.bounds):
            if value <= bound:
                self._counts[position] += 1
                return
        self._counts[-1] += 1

    def build_buckets(self) -> list[tuple[str, float]]:
        """Return (bound, how many values up to it), the last one without a bound."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return buckets


class Stopwatch(AbstractContextManager[None]):
    """``with stopwatch:`` around one thing that runs once at a time; a class, as it stands where every vote waits."""

    __slots__ = ("_began_s", "histogram")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.histogram = Histogram(bounds_s)
        self._began_s: float | None = None

    def __enter__(self) -> None:
        self._began_s = monotonic()

    def __exit__(self, *_: object) -> None:
        if self._began_s is not None:
            self.histogram.observe(monotonic() - self._began_s)
        self._began_s = None

    def get_running_s(self) -> float:
        """Return for how long it has been under way; 0 while it is not."""
        return 0.0 if self._began_s is None else monotonic() - self._began_s
