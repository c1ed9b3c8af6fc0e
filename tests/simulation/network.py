"""Links between machines on virtual time, and their weather: loss, delay, doubling, cuts, clogs.

A message travels as bytes. Everything the weather does is counted when it hits, not when it is set up.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from random import Random

from tests.simulation.timeline import Timeline


class Kind(IntEnum):
    """What a frame is."""

    MESSAGE = 1
    TRANSACTION = 2
    QUESTION = 3
    ANSWER = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """What one machine sends to another; ``number`` and ``question`` belong to questions and their answers."""

    kind: Kind
    payload: bytes
    number: int = 0
    question: int = 0


@dataclass(slots=True)
class Weather:
    """How likely a link loses, doubles or holds up a frame, and how long frames take, in milliseconds."""

    loss: float = 0.0
    doubling: float = 0.0
    straggling: float = 0.0
    delay_ms: int = 1
    jitter_ms: int = 4
    straggler_ms: int = 400


Deliver = Callable[[int, int, Frame], None]


class Network:
    """Every directed link between ``size`` machines."""

    def __init__(
        self, timeline: Timeline, random: Random, hits: "Counter[str]", deliver: Deliver, size: int
    ) -> None:
        self.weather = Weather()
        self.may_pass: Callable[[int, int, Frame], bool] | None = None
        """Asked for every frame when set: a test that loses one kind of message says so here."""
        self.carried = 0
        self._timeline = timeline
        self._random = random
        self._hits = hits
        self._deliver = deliver
        self._size = size
        self._cut: set[tuple[int, int]] = set()
        self._clogged: dict[tuple[int, int], list[Frame]] = {}
        self._last_due: dict[tuple[int, int], int] = {}
        self.trace = blake2b(digest_size=16)

    def cut(self, source: int, target: int) -> None:
        """Let nothing pass from ``source`` to ``target``; the other direction is another link."""
        self._cut.add((source, target))

    def cut_between(self, one: set[int], other: set[int]) -> None:
        """Cut both directions between two groups."""
        for source in one:
            for target in other:
                self.cut(source, target)
                self.cut(target, source)

    def isolate(self, index: int) -> None:
        """Cut a machine from everybody."""
        self.cut_between({index}, set(range(self._size)) - {index})

    def mend(self, source: int, target: int) -> None:
        """Let frames pass again."""
        self._cut.discard((source, target))

    def clog(self, source: int, target: int) -> None:
        """Hold back what is sent on this link until it is released."""
        self._clogged.setdefault((source, target), [])

    def release(self, source: int, target: int) -> None:
        """Let what was held back arrive, all at once."""
        for frame in self._clogged.pop((source, target), []):
            self._hits["clog"] += 1
            self._put(source, target, frame, self._random.randint(1, 5))

    def heal(self) -> None:
        """End every cut and clog, the bad weather, and what a test loses."""
        self.may_pass = None
        self._cut.clear()
        for source, target in sorted(self._clogged):
            self.release(source, target)
        self.weather = Weather()

    def carry(self, source: int, target: int, frame: Frame, extra_ms: int = 0) -> None:
        """Send a frame, as far as the weather lets it."""
        link = (source, target)
        if self.may_pass is not None and not self.may_pass(source, target, frame):
            return
        if self._cut and link in self._cut:
            self._hits["cut"] += 1
            return
        if self._clogged and link in self._clogged:
            self._clogged[link].append(frame)
            return
        weather, draw = self.weather, self._random.random
        chance = draw()
        delay = weather.delay_ms + int(weather.jitter_ms * draw()) + extra_ms
        if chance < weather.loss:
            self._hits["loss"] += 1
            return
        chance -= weather.loss
        if chance < weather.doubling:
            self._hits["doubling"] += 1
            self._put(source, target, frame, delay + 1 + int(draw() * weather.straggler_ms))
        elif chance < weather.doubling + weather.straggling:
            self._hits["straggling"] += 1
            delay += int(draw() * weather.straggler_ms)
        self._put(source, target, frame, delay)

    def _put(self, source: int, target: int, frame: Frame, delay_ms: int) -> None:
        due = self._timeline.now_ms + delay_ms
        link = (source, target)
        if self._last_due.get(link, 0) > due:
            self._hits["reordering"] += 1
        else:
            self._last_due[link] = due
        self._timeline.call(delay_ms, self._arrive, source, target, frame)

    def _arrive(self, source: int, target: int, frame: Frame) -> None:
        self.carried += 1
        self.trace.update(b"%d %d %d %d " % (self._timeline.now_ms, source, target, frame.kind))
        self.trace.update(frame.payload)
        self._deliver(source, target, frame)
