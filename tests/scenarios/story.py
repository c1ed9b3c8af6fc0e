"""What of a run is told: lines of the transcript, without what repeats, and who said the same at once in one line.

Digests are named in the order in which they appear, so that a story tells which are equal and nothing else of them.
"""

import re

from consensus.effects import Broadcast, Deliver, Effect, Persist, Send, StartTimer, StopTimer, WantBatch
from consensus.events import BlocksFetched, Event, Executed, Overdue, Proposed
from consensus.membership import Membership
from consensus.messages import Inquiry, Status, Testimony
from consensus.transcript import describe_effect, describe_event

_DIGEST = re.compile(r"\b(digest|root|first|second|own|certified)=([0-9a-f]{8})\b")

_NULL = "0" * 8

TOGETHER_MS = 20
"""Who says the same so soon after the first stands in the first one's line."""


class Story:
    """Collects lines; ``take`` gives those of one command."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._said: set[tuple[int, str]] = set()
        self._lines: list[tuple[int, list[int], str]] = []
        self._newest: dict[str, tuple[int, list[int]]] = {}
        self._names: dict[str, str] = {_NULL: "null"}
        self.wanted: frozenset[str] = frozenset()
        """Only lines with one of these words are told; none of them tells all."""

    def tell(
        self, membership: Membership, now_ms: int, index: int, event: Event, effects: list[Effect]
    ) -> None:
        """Tell what a replica was told and what it asked for, with the names of its membership."""
        if isinstance(event, Proposed | Executed | Overdue | BlocksFetched):
            self.add(now_ms, index, describe_event(membership, event))
        for effect in effects:
            if is_told(effect):
                self.add(now_ms, index, describe_effect(membership, effect))

    def add(self, now_ms: int, index: int, text: str) -> None:
        """Tell a line of one machine, unless it told the same before."""
        text = _DIGEST.sub(self._name_digest, text)
        if (index, text) in self._said or (self.wanted and not self.wanted & set(text.split())):
            return
        self._said.add((index, text))
        began_ms, who = self._newest.get(text, (now_ms, []))
        if not who or now_ms - began_ms > TOGETHER_MS:
            began_ms, who = self._newest[text] = (now_ms, [])
            self._lines.append((now_ms, who, text))
        who.append(index)

    def forget(self, index: int) -> None:
        """Let a machine tell again what it told: it started anew."""
        self._said = {(who, text) for who, text in self._said if who != index}

    def take(self) -> list[str]:
        """Return the lines since the last time, in the order in which they were said first."""
        lines = [f"{now_ms:>6}  {self._name(who):<9} {text}" for now_ms, who, text in self._lines]
        self._lines.clear()
        self._newest.clear()
        return lines

    def _name_digest(self, match: re.Match[str]) -> str:
        kind, digest = match[1], match[2]
        sign = "r" if kind == "root" else "d"
        if digest not in self._names:
            count = sum(name.startswith(sign) for name in self._names.values()) + 1
            self._names[digest] = f"{sign}{count}"
        return f"{kind}={self._names[digest]}"

    def _name(self, who: list[int]) -> str:
        return "all" if len(who) == self._size else ",".join(_list_runs(sorted(who)))


def _list_runs(who: list[int]) -> list[str]:
    """Return names, three or more in a row as v1-v3."""
    runs: list[list[int]] = []
    for index in who:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return [
        name
        for run in runs
        for name in ([f"v{run[0]}-v{run[-1]}"] if len(run) > 2 else [f"v{index}" for index in run])
    ]


def is_told(effect: Effect) -> bool:
    """Leave out what repeats: timers, statuses, questions, what a later line says again."""
    if isinstance(effect, StartTimer | StopTimer | WantBatch | Persist | Deliver):
        return False
    return not (
        isinstance(effect, Broadcast | Send)
        and isinstance(effect.envelope.message, Status | Inquiry | Testimony)
    )
