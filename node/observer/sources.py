"""Whom an observer asks: the validators it is linked to, what they announce, and who is left alone for a while.

An announcement decides only whom to ask. Time is an argument, in seconds.
"""

from dataclasses import dataclass

from primitives.ids import Height

USELESS_S = 2.0
"""For so long a validator is not asked that gave no blocks although it announced them; it may be catching up itself."""

LIED_S = 60.0
"""The same of one that gave blocks which prove nothing: no correct validator does."""


@dataclass(slots=True)
class _Source:
    height: Height
    rests_until_s: float


class Sources:
    """The linked validators, in the order in which they are asked: the one that gave the last blocks first."""

    def __init__(self) -> None:
        self.followed: bytes | None = None
        self._known: dict[bytes, _Source] = {}

    def add(self, peer: bytes) -> None:
        """A link stands; one that was left alone still is."""
        self._known.setdefault(peer, _Source(Height(0), float("-inf"))).height = Height(0)

    def announce(self, peer: bytes, height: Height) -> None:
        """Take note of what a validator says that it has; the latest word counts."""
        if peer not in self._known:
            self.add(peer)
        self._known[peer].height = height

    def lose(self, peer: bytes) -> None:
        """The link is gone; why it was left alone is remembered."""
        if peer in self._known:
            self._known[peer].height = Height(0)
        if self.followed == peer:
            self.followed = None

    def keep(self, peers: frozenset[bytes]) -> None:
        """Forget everybody but these: the members changed."""
        self._known = {peer: source for peer, source in self._known.items() if peer in peers}

    def rest(self, peer: bytes, seconds: float, now_s: float) -> None:
        """Leave a validator alone for a while."""
        if peer in self._known:
            self._known[peer].rests_until_s = now_s + seconds
        if self.followed == peer:
            self.followed = None

    def select(self, first: Height, now_s: float) -> tuple[bytes, ...]:
        """Return whom to ask for blocks from ``first`` on, in order."""
        able = [
            peer
            for peer, source in self._known.items()
            if source.height >= first and source.rests_until_s <= now_s
        ]
        return tuple(sorted(able, key=lambda peer: (peer != self.followed, peer)))

    def compute_pause_s(self, first: Height, now_s: float) -> float | None:
        """Return after how long somebody may be asked again who has blocks from ``first``; None when nobody has."""
        ends = [source.rests_until_s for source in self._known.values() if source.height >= first]
        return None if not ends else max(0.0, min(ends) - now_s)

    def compute_target(self, weak_quorum: int) -> Height:
        """Return the height that the network has reached, as far as can be known from announcements.

        A correct validator is among f + 1; with fewer links, all of them must say so.
        """
        heights = sorted((source.height for source in self._known.values() if source.height), reverse=True)
        return heights[min(weak_quorum, len(heights)) - 1] if heights else Height(0)
