"""Two runs of the suite side by side, by ratios only: machines differ, and one machine differs from itself."""

from collections.abc import Sequence
from dataclasses import dataclass

REGRESSION_PERCENT = 10.0


@dataclass(frozen=True)
class Figure:
    """A figure that two runs are compared by; ``is_more_better`` says which way is good."""

    name: str
    before: float
    after: float
    is_more_better: bool

    @property
    def change_percent(self) -> float:
        """Return by how many percent it became better; negative: worse."""
        if self.before <= 0 or self.after <= 0:
            return 0.0
        ratio = self.after / self.before if self.is_more_better else self.before / self.after
        return round(100 * (ratio - 1), 1)


def compare(before: dict[str, object], after: dict[str, object]) -> list[Figure]:
    """Return the figures of two runs (the JSON of ``throughput.Report``) that do not depend on the machine's speed.

    Raises:
        ValueError: one is no run of the suite, or the networks differ in size.

    """
    for run in (before, after):
        missing = [
            name
            for name in ("validators", "t_verify_us", "fraction_of_limit", "latency_ms")
            if name not in run
        ]
        if missing:
            raise ValueError(f"this is no run of the suite: it has no {', '.join(missing)}")
    if before["validators"] != after["validators"]:
        raise ValueError(f"{before['validators']} and {after['validators']} validators cannot be compared")
    figures = [
        Figure(name, _read(before, name), _read(after, name), is_more_better)
        for name, is_more_better in (
            ("fraction_of_limit", True),
            ("single_post_fraction", True),
            ("cpu_per_verify", False),
            ("wire_amplification", False),
        )
    ]
    return figures + [
        Figure(
            f"latency {load} {percentile} / t_verify",
            *_read_latencies(before, after, load, percentile),
            is_more_better=False,
        )
        for load in ("idle", "load10", "load50")
        for percentile in ("p50", "p99")
    ]


def find_regressions(figures: Sequence[Figure], percent: float = REGRESSION_PERCENT) -> list[Figure]:
    """Return the figures that became worse by more than ``percent``."""
    return [figure for figure in figures if figure.change_percent < -percent]


def _read(run: dict[str, object], name: str) -> float:
    value = run.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _read_latencies(
    before: dict[str, object], after: dict[str, object], load: str, percentile: str
) -> tuple[float, float]:
    values = []
    for run in (before, after):
        latencies = run["latency_ms"]
        found = latencies.get(load, {}) if isinstance(latencies, dict) else {}
        check_us = _read(run, "t_verify_us")
        values.append(float(found.get(percentile, 0.0)) / check_us if check_us else 0.0)
    return values[0], values[1]
