"""The other members: where they are, how they behave, when they are not talked to for a while. Time is an argument."""

from dataclasses import dataclass
from enum import Enum

ANY_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104  # what a node may listen on
"""Where nobody reaches anybody: the address of whoever listens there is another one."""

BAN_SCORE = 100
"""A handful of forged messages: correct nodes send none, a broken link garbles inside TLS, which breaks it."""

SCORE_HALVES_S = 60.0
"""Old faults are forgotten by halves: an upgrade that spoke nonsense for a moment does not isolate a node."""

BAN_S = 60.0
"""A banned peer is tried again after this: the operator may have mended it."""

HANDSHAKE_S = 5.0
"""Four round trips on any link that can carry agreement; a half-open one is closed after it."""

HEARTBEAT_S = 3.0
"""A link that was silent for so long is pinged, and gone without an answer in half of it: noticed within 5 s."""

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 1.0
"""A restarted member is back within this; one refused connection a second for each missing member costs nothing."""

STABLE_S = 1.0
"""A link that lived so long was a success: dialling begins again without waiting. A flapping one keeps backing off."""

FAREWELL_S = 10.0
"""The link of a former member stands so long: a laggard gets the last certificate, and learns by it that it is none."""

ERROR_CHARACTERS_MAX = 300
"""What is shown of a peer's last error: one line of a terminal, or two."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The network's times, in seconds; the defaults are what a validator uses."""

    handshake_s: float = HANDSHAKE_S
    heartbeat_s: float = HEARTBEAT_S
    ban_s: float = BAN_S
    farewell_s: float = FAREWELL_S


DEFAULT_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A member: its name, voting key (its id as a peer), pinned certificate (DER), and where it listens.

    With an empty ``host`` nobody knows where it is: it is not dialled, and may dial.
    """

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
    """What this node remembers of one member; the records are bounded, because members are."""

    def __init__(self, address: PeerAddress, now_s: float, ban_s: float = BAN_S) -> None:
        self.address = address
        self.changed_s = now_s
        self.last_error = "not connected yet"
        self.dropped = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._ban_s = ban_s
        self._score = 0.0
        self._scored_s = now_s
        self._banned_until_s = now_s

    def note_error(self, reason: str) -> None:
        """Remember what went wrong last, as one short line."""
        line = " ".join(reason.split())[:ERROR_CHARACTERS_MAX]
        self.last_error = "".join(character if character.isprintable() else "?" for character in line)

    def penalize(self, points: int, reason: str, now_s: float) -> bool:
        """Add to the score; True when the peer is banned by it."""
        self._score = self.compute_score(now_s) + points
        self._scored_s = now_s
        self.note_error(reason)
        if round(self._score) < BAN_SCORE or self.is_banned(now_s):
            return False
        self._banned_until_s = now_s + self._ban_s
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
    """Return the wait before dialling again: doubling up to BACKOFF_MAX_S, spread by ``jitter`` in [0, 1)."""
    return min(BACKOFF_FIRST_S * 2.0 ** min(failures, 10), BACKOFF_MAX_S) * (0.5 + 0.5 * jitter)


def is_dialer(own: bytes, other: bytes) -> bool:
    """Tell whether the member ``own`` dials ``other``: the smaller key does, so that a pair shares one link."""
    return own < other


class Dialling(Enum):
    """Who opens the links of a network: between members the smaller key, towards those who only follow never."""

    SMALLER_KEY = "smaller key"
    ALWAYS = "always"  # this node follows the others, and listens to nobody
    NEVER = "never"  # the others follow this node

    def is_own(self, own: bytes, other: bytes) -> bool:
        """Tell whether this node, ``own``, dials ``other``."""
        return is_dialer(own, other) if self is Dialling.SMALLER_KEY else self is Dialling.ALWAYS
