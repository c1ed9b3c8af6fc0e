"""A link that stands may be silent: what counts is when a validator was last heard, and when it last voted."""

from consensus.messages import Commit, Complaint, Envelope, Message, Status
from node.attendance import Attendance
from node.heard import Heard, Mark
from primitives.ids import MonotonicMs

PEER, OTHER = b"a" * 32, b"b" * 32
STATUS = Status(0, 0, 5, 5)
COMMIT = Commit(0, 0, 6, b"d" * 32)


def say(sender: bytes, message: Message) -> Envelope:
    return Envelope(sender, b"s" * 64, message)


def test_who_never_spoke_has_no_mark() -> None:
    heard = Heard(Attendance())
    heard.note(OTHER, say(OTHER, STATUS), MonotonicMs(1))
    assert heard.get(PEER) is None


def test_a_status_or_a_complaint_is_heard_and_no_vote() -> None:
    heard = Heard(Attendance())
    heard.note(PEER, say(PEER, STATUS), MonotonicMs(1))
    heard.note(PEER, say(PEER, Complaint(0, 0)), MonotonicMs(5))
    assert heard.get(PEER) == Mark(MonotonicMs(5), None)


def test_the_last_vote_is_remembered_while_only_statuses_follow() -> None:
    heard = Heard(Attendance())
    heard.note(PEER, say(PEER, COMMIT), MonotonicMs(3))
    heard.note(PEER, say(PEER, STATUS), MonotonicMs(9))
    assert heard.get(PEER) == Mark(MonotonicMs(9), MonotonicMs(3))
