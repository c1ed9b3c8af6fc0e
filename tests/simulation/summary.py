"""What many seeds came to: figures, how often each fault hit, and what was violated."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.simulation.campaign import Outcome, Violation
from tests.simulation.lying import ALL_BEHAVIOURS

ENOUGH_SEEDS = 500
"""Over so many seeds every kind of fault must have hit."""

FAULTS = (
    "bit_flipped",
    "client_contradicts",
    "client_duplicates",
    "client_lost",
    "client_reorders",
    "client_retries",
    "clock_jump",
    "clog",
    "crash",
    "crash_of_all",
    "cut",
    "disk_failed",
    "disk_full",
    "doubling",
    "journal_rewritten",
    "late_start",
    "loss",
    "power_cut_in_write",
    "process_killed",
    "reordering",
    "slow_disk",
    "store_lost",
    "straggling",
    "unsynced_lost",
)
"""What goes wrong around correct replicas, each counted when it hits."""

BYZANTINE_FAULTS = tuple(f"byzantine_{name}" for name in ALL_BEHAVIOURS)


@dataclass
class Summary:
    """What a range of seeds came to."""

    seeds: int = 0
    simulated_ms: int = 0
    cpu_s: float = 0.0
    heights: int = 0
    transactions: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    healed_in_max_ms: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one seed."""
        self.seeds += 1
        self.simulated_ms += outcome.simulated_ms
        self.heights += outcome.heights
        self.transactions += outcome.transactions
        self.hits += outcome.hits
        self.sizes[outcome.plan.validators] += 1
        self.healed_in_max_ms = max(self.healed_in_max_ms, outcome.healed_in_ms)
        if outcome.violation is not None:
            self.violations.append(outcome.violation)

    def find_never_hit(self, byzantine: int | None) -> list[str]:
        """Return the faults that should have hit and never did; fewer than ENOUGH_SEEDS say nothing."""
        expected = FAULTS + (BYZANTINE_FAULTS if byzantine != 0 else ())
        return [name for name in expected if not self.hits[name]] if self.seeds >= ENOUGH_SEEDS else []

    def build_record(self, seeds: str, byzantine: int | None) -> dict[str, object]:
        """Return the summary as it is printed and kept."""
        faults = set(FAULTS) | set(BYZANTINE_FAULTS)
        return {
            "seeds": self.seeds,
            "range": seeds,
            "simulated_s": self.simulated_ms // 1000,
            "cpu_s": round(self.cpu_s, 1),
            "simulated_s_per_cpu_s": round(self.simulated_ms / 1000 / max(self.cpu_s, 0.001), 1),
            "heights": self.heights,
            "transactions": self.transactions,
            "healed_in_max_ms": self.healed_in_max_ms,
            "replicas": {str(size): count for size, count in sorted(self.sizes.items())},
            "faults": {name: self.hits[name] for name in sorted(faults)},
            "events": {name: count for name, count in sorted(self.hits.items()) if name not in faults},
            "never_hit": self.find_never_hit(byzantine),
            "violations": [asdict(violation) for violation in self.violations],
        }


def describe(summary: Summary, byzantine: int | None) -> str:
    """Return the summary for people."""
    speed = f"{summary.simulated_ms / 1000 / max(summary.cpu_s, 0.001):.1f} per second of processor time"
    progress = f"after healing progress came within {summary.healed_in_max_ms} ms"
    lines = [
        f"{summary.seeds} seeds, {summary.simulated_ms // 1000} simulated seconds, {speed}",
        f"{summary.heights} blocks, {summary.transactions} transactions; {progress}",
        "hits: " + ", ".join(f"{name} {summary.hits[name]}" for name in (*FAULTS, *BYZANTINE_FAULTS)),
    ]
    lines += [
        f"seed {violation.seed}: {violation.invariant} at v{violation.replica}, {violation.time_ms} ms:"
        f" {violation.text}\n  see it again: {violation.replay}"
        for violation in summary.violations
    ]
    never_hit = summary.find_never_hit(byzantine)
    if never_hit:
        lines.append(f"never hit: {', '.join(never_hit)}")
    lines.append(f"{len(summary.violations)} violations" if summary.violations else "no violations")
    return "\n".join(lines)
