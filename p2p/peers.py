"""The other members: where they are, how they behave, when they are not talked to for a while. Time is an argument."""

from dataclasses import dataclass

BAN_SCORE = 100
"""Five forged messages: correct nodes send none, a broken link garbles inside TLS, which breaks it."""

SCORE_HALVES_S = 60.0
"""Old faults are forgotten by halves: an upgrade that spoke nonsense for a moment does not isolate a node."""

BAN_S = 60.0
"""A banned peer is tried again after this: the operator may have mended it."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A member: its name, voting key (its id as a peer), pinned certificate (DER), and where it listens."""

    name: str
    key: bytes
    tls_certificate: bytes
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What is shown of a peer. Times are seconds of the host's clock; ``since_s`` counts the present state."""

    name: str
    key: str
    connected: bool
    since_s: float
    score: int
    banned_for_s: float
    last_error: str
    queued_bytes: int
    dropped: int
    bytes_in: int
    bytes_out: int


class PeerRecord:
    """What this node remembers of one member; bounded, because members are."""

    def __init__(self, address: PeerAddress, now_s: float) -> None:
        self.address = address
        self.changed_s = now_s
        self.last_error = "not tried yet"
        self.dropped = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._score = 0.0
        self._scored_s = now_s
        self._banned_until_s = 0.0

    def penalize(self, points: int, reason: str, now_s: float) -> bool:
        """Add to the score; True when the peer is banned by it."""
        self._score = self.compute_score(now_s) + points
        self._scored_s = now_s
        self.last_error = reason
        if self._score < BAN_SCORE or self.is_banned(now_s):
            return False
        self._banned_until_s = now_s + BAN_S
        self._score = 0.0
        return True

    def compute_score(self, now_s: float) -> float:
        """Return the score, halved every SCORE_HALVES_S."""
        return float(self._score * 0.5 ** ((now_s - self._scored_s) / SCORE_HALVES_S))

    def is_banned(self, now_s: float) -> bool:
        """Tell whether the peer is not talked to now."""
        return now_s < self._banned_until_s

    def get_ban_s(self, now_s: float) -> float:
        """Return for how many seconds the peer is still banned."""
        return max(0.0, self._banned_until_s - now_s)


def compute_backoff_s(failures: int, jitter: float) -> float:
    """Return the wait before dialling again: doubling from 0.1 s, at most 2 s, spread by ``jitter`` in [0, 1)."""
    return min(0.1 * 2.0 ** min(failures, 10), 2.0) * (0.5 + 0.5 * jitter)
