"""What a check says: how well it is, one sentence, what to do, and the numbers behind it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check; ``advice`` is empty where nothing is to be done."""

    check: str
    level: Level
    said: str
    advice: str = ""
    measures: Mapping[str, object] = field(default_factory=dict)


def tabulate(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Return findings as JSON has them."""
    return [
        {
            "check": each.check,
            "level": each.level.value,
            "said": each.said,
            "advice": each.advice,
            "measures": dict(each.measures),
        }
        for each in findings
    ]


def find_worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level; ok for none."""
    order = list(Level)
    return max((each.level for each in findings), key=order.index, default=Level.OK)
