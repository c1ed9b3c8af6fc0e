"""The last lines of the replica's transcript, kept for whoever asks; the log has the same at debug level.

Lines are made when somebody reads them: what was told a moment ago waits as it was. A replica that works hard is told
more than anybody reads, and of that only the end is kept; one that stands still is told little, and all of it counts.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from logging import DEBUG, getLogger
from typing import NamedTuple

import structlog

from consensus.effects import (
    Broadcast,
    Effect,
    EpochStarted,
    Report,
    Send,
    StartTimer,
    StopTimer,
    TimerName,
)
from consensus.events import Event, Received, TimerFired
from consensus.membership import Membership
from consensus.messages import Status
from consensus.transcript import describe_effect, describe_event
from primitives.ids import UnixMs

LINES_MAX = 200
"""A stalled replica says about ten different lines in each attempt at a view; ten blocks take as many."""

UNREAD_MAX = 128
"""Steps that wait to be put into words: what ten blocks take."""

BUSY_MS = 2000
"""Whoever steps UNREAD_MAX times in less is busy: it passes through some five blocks in each second."""

log = structlog.get_logger("gridbft.consensus")


class _Step(NamedTuple):
    """What the replica was told, what it answered, and who the validators were."""

    membership: Membership
    event: Event
    effects: Sequence[Effect]


@dataclass(frozen=True, slots=True)
class StoryLine:
    """A line of the transcript, when it was last told (UTC milliseconds), and how often while it was remembered."""

    time_ms: int
    line: str
    times: int


class Story:
    """A bounded ring of lines. One that comes again moves to the end and is counted: repetitions push nothing out.

    Validators are named by the membership of the epoch, whose beginning is told like everything else.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._lines: OrderedDict[str, tuple[UnixMs, int]] = OrderedDict()
        self._unread: deque[_Step] = deque()
        self._logger = getLogger("gridbft.consensus")

    def follow(self, membership: Membership) -> None:
        """Call the validators of another epoch by their names from now on."""
        self._membership = membership

    def tell(self, event: Event, effects: Sequence[Effect]) -> None:
        """Remember what the replica was told and what it answered."""
        self._unread.append(_Step(self._membership, event, effects))
        for effect in effects:  # what is stepped in the same turn is of the new epoch already
            if isinstance(effect, Report) and isinstance(effect.notice, EpochStarted):
                self._membership = effect.notice.membership
        if self._logger.isEnabledFor(DEBUG):
            self._read()
        elif len(self._unread) > UNREAD_MAX:
            oldest = self._unread[0].event.now.monotonic_ms
            if event.now.monotonic_ms - oldest < BUSY_MS:
                self._unread.popleft()
            else:
                self._read()

    def get_lines(self) -> list[StoryLine]:
        """Return the lines, the oldest first."""
        self._read()
        return [StoryLine(time_ms, line, times) for line, (time_ms, times) in self._lines.items()]

    def _read(self) -> None:
        """Put into words what waits to be."""
        while self._unread:
            step = self._unread.popleft()
            for line in _describe(step):
                _, times = self._lines.pop(line, (0, 0))
                self._lines[line] = (step.event.now.wall_ms, times + 1)
                if len(self._lines) > LINES_MAX:
                    self._lines.popitem(last=False)
                log.debug("transcript", line=line)


def _describe(step: _Step) -> Iterator[str]:
    membership = step.membership
    if is_event_told(step.event):
        yield describe_event(membership, step.event)
    for effect in step.effects:
        if isinstance(effect, Report) and isinstance(effect.notice, EpochStarted):
            membership = effect.notice.membership
        if is_effect_told(effect):
            yield describe_effect(membership, effect)


def is_event_told(event: Event) -> bool:
    """Leave out the pulse: the periodic statuses, and the timer behind them."""
    if isinstance(event, Received):
        return not isinstance(event.envelope.message, Status)
    return not (isinstance(event, TimerFired) and event.name == TimerName.RESEND)


def is_effect_told(effect: Effect) -> bool:
    """Leave out the pulse in what the replica asks for."""
    if isinstance(effect, StartTimer | StopTimer):
        return effect.name != TimerName.RESEND
    return not (isinstance(effect, Broadcast | Send) and isinstance(effect.envelope.message, Status))
