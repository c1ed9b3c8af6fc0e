"""The methods by which bugs are looked for, and how to read the line that each of their tools ends with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]
LINE_CHARACTERS_MAX = 200
"""Of a violation on the page; the record has the whole."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method: its title, what it does in one sentence without numbers, and its figures by name.

    ``figures`` name a key of the tool's line, or compute one; without any, all numbers and words of the line are
    figures. ``hits`` are the counts of faults that had an effect.
    """

    title: str
    promise: str
    figures: Mapping[str, str | Callable[[Figures], object]]
    violations: Callable[[Figures], list[str]]
    hits: Callable[[Figures], Mapping[str, int]] = lambda _: {}

    def read(self, figures: Figures) -> dict[str, object]:
        """Return the figures by name; what a tool does not tell is left out."""
        if not self.figures:
            return {name.replace("_", " "): value for name, value in figures.items() if _is_scalar(value)}
        found = {
            name: source(figures) if callable(source) else figures.get(source)
            for name, source in self.figures.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def list_violations(self, figures: Figures) -> list[str]:
        """Return what was found wrong, one short line each."""
        return [" ".join(str(each).split())[:LINE_CHARACTERS_MAX] for each in self.violations(figures)]

    def list_hits(self, figures: Figures) -> dict[str, int]:
        """Return how often each fault had an effect, by name."""
        return dict(sorted(self.hits(figures).items()))


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str)


def _list(key: str) -> Callable[[Figures], list[str]]:
    return lambda figures: [str(each) for each in figures.get(key) or []]


def _simulated_hours(figures: Figures) -> float | None:
    seconds = figures.get("simulated_s")
    return None if seconds is None else round(seconds / 3600, 1)


def _list_parts(figures: Figures) -> list[tuple[str, Figures]]:
    """Return the parts of a line that has one for each target."""
    return [(name, each) for name, each in sorted(figures.items()) if isinstance(each, dict)]


def _sum(key: str) -> Callable[[Figures], int]:
    return lambda figures: int(sum(each.get(key, 0) for _, each in _list_parts(figures)))


def _sum_outcomes(ending: str) -> Callable[[Figures], int]:
    """Return how to count the outcomes ``KIND DAMAGE OUTCOME`` of one ending."""
    return lambda figures: sum(
        count for name, count in (figures.get("outcomes") or {}).items() if name.split()[-1] == ending
    )


def _count_executions(figures: Figures) -> Mapping[str, int]:
    return {name: each.get("executions", 0) for name, each in _list_parts(figures)}


def _list_crashes(figures: Figures) -> list[str]:
    return [
        f"{name}: inputs that break a promise: {each['crashes']}"
        for name, each in _list_parts(figures)
        if each.get("crashes")
    ]


def _list_missed(figures: Figures) -> list[str]:
    missed = [f"not caught: {name}" for name in figures.get("missed", [])]
    canary = figures.get("canary")
    return (
        missed if canary == "clean" else [*missed, f"the canary, which has no bug, was reported as {canary}"]
    )


def _list_seed_violations(figures: Figures) -> list[str]:
    return [*_list("violations")(figures), *(f"never hit: {name}" for name in figures.get("never_hit") or [])]


def _list_twin_violations(figures: Figures) -> list[str]:
    """Twins that never contradict themselves show nothing."""
    is_idle = figures.get("equivocations") == 0
    return [*_list("violations")(figures), *(["the twins never contradicted themselves"] if is_idle else [])]


def _count_hits(key: str) -> Callable[[Figures], Mapping[str, int]]:
    return lambda figures: figures.get(key) or {}


METHODS: dict[str, Method] = {
    "simulation": Method(
        "Seeded simulation",
        "The production core, ledger, journal, store and recovery of a whole network run in one process on virtual"
        " time, with faults of links, disks, clocks and processes, and with Byzantine validators. Checkers outside look"
        " at every message and block; in the end everything heals and must commit in time.",
        {
            "seeds": "seeds",
            "simulated hours": _simulated_hours,
            "blocks": "heights",
            "transactions": "transactions",
            "simulated s per CPU s": "simulated_s_per_cpu_s",
        },
        _list_seed_violations,
        _count_hits("faults"),
    ),
    "twins": Method(
        "Twins",
        "One key runs on two machines, both with the correct program, over schedules of leaders and partitions.",
        {
            "schedules": "schedules",
            "simulated hours": _simulated_hours,
            "blocks while divided": "committed_while_split",
            "views": "view_changes",
            "contradictions": "equivocations",
        },
        _list_twin_violations,
    ),
    "members": Method(
        "Members that change under faults",
        "Validators are let in, let go and given new keys by ballots, while others crash at the boundaries, links lose"
        " and delay, and one of them may be Byzantine; in the end every member must agree.",
        {
            "seeds": "seeds",
            "simulated hours": _simulated_hours,
            "epochs": "epochs",
            "blocks": "heights",
        },
        _list("violations"),
        _count_hits("faults"),
    ),
    "mutants": Method(
        "Bugs of our own",
        "Bugs are put into consensus, ledger, journal and recovery on purpose, one at a time; the tests must notice"
        " each. A canary, a change without a bug, must not be reported.",
        {"mutants": "mutants", "caught": "caught", "canary": "canary"},
        _list_missed,
    ),
    "crash_points": Method(
        "A crash at every write",
        "Each operation of a validator's disk is once the last one before a power cut, before, within and after it, in"
        " normal operation, view change, catch-up and shutdown.",
        {"points": "points", "survived": "survived"},
        _list("violations"),
        _count_hits("phases"),
    ),
    "corruption": Method(
        "Damaged files",
        "Journal, store, keys and settings are cut at every byte and spoiled in every record; damage is mended or"
        " refused by name, never accepted in silence.",
        {
            "spoiled": "cases",
            "refused": _sum_outcomes("refused"),
            "made no difference": _sum_outcomes("unread"),
            "cut as torn": _sum_outcomes("torn"),
            "told as lost": _sum_outcomes("lost_named"),
            "taken in silence": lambda figures: len(_list("silent")(figures)),
        },
        _list("silent"),
        _count_hits("outcomes"),
    ),
    "chaos": Method(
        "Faults against real processes",
        "Real validators behind a faulty proxy are killed, frozen, cut off and starved of disk while real clients"
        " submit; every acknowledged transaction is looked up on every validator afterwards.",
        {
            "seconds of faults": "seconds",
            "kills": "kills",
            "freezes and stops": "stops",
            "partitions": "partitions",
            "transactions": "transactions",
            "blocks": "blocks",
            "view changes": "view_changes",
        },
        _list("violations"),
        _count_hits("faults"),
    ),
    "fuzz": Method(
        "Decoders under fuzz",
        "A coverage-guided fuzzer feeds every decoder; only the named refusal may come out, and what is accepted must"
        " encode to the same bytes. The hits are executions of each target.",
        {
            "targets": lambda figures: len(_list_parts(figures)),
            "executions": _sum("executions"),
            "seconds of fuzzing": _sum("seconds"),
        },
        _list_crashes,
        _count_executions,
    ),
    "soak": Method(
        "Floods and hostile peers",
        "Clients and a member with a real key flood, dribble, stall and repeat against running validators while honest"
        " clients submit through the attacked one.",
        {},
        _list("violations"),
    ),
}
"""By the name that a record carries, in the order of the page."""
