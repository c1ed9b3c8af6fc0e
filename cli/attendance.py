"""Which of the last blocks each validator signed, as a row of marks that fits the terminal."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from primitives.text import to_line

if TYPE_CHECKING:
    from meter.answers import ValidatorAnswer

SHAPES = {"1": "■", "0": "·"}
NOT_WATCHED = "?"
MARKS_MAX = 100
GROUP = 10
"""Marks between two spaces, so that a person can count."""


def draw(validators: "Sequence[ValidatorAnswer]", columns: int) -> Iterator[str]:
    """Yield a heading and a row for each validator, at most ``columns`` wide; nothing when no block was watched."""
    shown = max((len(each.marks) for each in validators), default=0)
    if not shown:
        return
    names = {each.name: to_line(each.name) for each in validators}
    width = max(map(len, names.values()))
    counts = len("100 signed, 100 missed")
    room = columns - width - counts - 4
    count = min(shown, MARKS_MAX, max(GROUP, room * GROUP // (GROUP + 1)))
    blocks = "block" if shown == 1 else f"{shown} blocks"
    yield f"the last {blocks}, newest at the right: ■ signed, · missed, {NOT_WATCHED} not watched by who answers"
    for each in validators:
        told = f"{each.signed_blocks} signed, {each.missed_blocks} missed"
        yield f"{names[each.name]:{width}}  {told:{counts}}  {_draw_marks(each.marks[-count:])}".rstrip()


def _draw_marks(marks: str) -> str:
    """Return marks in groups, counted from the newest."""
    shapes = "".join(SHAPES.get(mark, NOT_WATCHED) for mark in marks)
    first = len(shapes) % GROUP
    groups = [shapes[:first], *(shapes[at : at + GROUP] for at in range(first, len(shapes), GROUP))]
    return " ".join(group for group in groups if group)
