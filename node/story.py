"""The last lines of the replica's transcript, kept for whoever asks; the log has the same at debug level."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

log = structlog.get_logger("gridbft.consensus")


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

    def follow(self, membership: Membership) -> None:
        """Call the validators of another epoch by their names from now on."""
        self._membership = membership

    def tell(self, event: Event, effects: Sequence[Effect]) -> None:
        """Remember what the replica was told and what it answered."""
        for line in self._describe(event, effects):
            _, times = self._lines.pop(line, (0, 0))
            self._lines[line] = (event.now.wall_ms, times + 1)
            if len(self._lines) > LINES_MAX:
                self._lines.popitem(last=False)
            log.debug("transcript", line=line)

    def get_lines(self) -> list[StoryLine]:
        """Return the lines, the oldest first."""
        return [StoryLine(time_ms, line, times) for line, (time_ms, times) in self._lines.items()]

    def _describe(self, event: Event, effects: Sequence[Effect]) -> Iterator[str]:
        if is_event_told(event):
            yield describe_event(self._membership, event)
        for effect in effects:
            if isinstance(effect, Report) and isinstance(effect.notice, EpochStarted):
                self._membership = effect.notice.membership
            if is_effect_told(effect):
                yield describe_effect(self._membership, effect)


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
