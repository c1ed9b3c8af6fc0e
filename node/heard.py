"""When each other validator was last heard, and when it last voted: a link that stands may still be silent."""

from dataclasses import dataclass

from consensus.messages import Checkpoint, Commit, Envelope, NewView, Prepare, PrePrepare, ViewChange
from node.attendance import Attendance
from primitives.ids import MonotonicMs

VOTES = (PrePrepare, Prepare, Commit, ViewChange, NewView)
"""What takes agreement further; statuses, checkpoints and complaints only say that a validator is there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The times of a validator's last message and last vote; None before the first vote."""

    heard_ms: MonotonicMs
    voted_ms: MonotonicMs | None


class Heard:
    """One mark for each peer; bounded, because only members have links. What they sign is told to the attendance."""

    def __init__(self, attendance: Attendance) -> None:
        self.attendance = attendance
        self._marks: dict[bytes, Mark] = {}

    def note(self, peer: bytes, envelope: Envelope, now_ms: MonotonicMs) -> None:
        """Remember that a peer said something on its own link; whether it is wanted does not matter here."""
        message = envelope.message
        known = self._marks.get(peer)
        voted_ms = None if known is None else known.voted_ms
        self._marks[peer] = Mark(now_ms, now_ms if isinstance(message, VOTES) else voted_ms)
        if isinstance(message, Checkpoint) and envelope.sender == peer:
            self.attendance.on_checkpoint(peer, message.header)

    def get(self, peer: bytes) -> Mark | None:
        """Return a peer's mark, None when it was not heard since this process started."""
        return self._marks.get(peer)
