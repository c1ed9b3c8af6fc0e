"""Who may begin a handshake: strangers are bounded in number, per address, and in the work they cause.

A stranger is everybody who has not shown yet that it is a member. Where too many have begun, the oldest gives way: an
honest handshake takes a moment, so whoever waits longest is not one. Time is an argument, in seconds.
"""

from collections import OrderedDict
from dataclasses import dataclass

from primitives.limits import VALIDATORS_MAX

HANDSHAKES_OPEN_MAX = 64
"""Strangers at the same time: 50 kB of TLS state each."""

HANDSHAKES_OPEN_PER_ADDRESS_MAX = 16
"""One address fills a quarter; a test network on one machine dials in turns of sixteen."""

CONNECTIONS_MAX = 2 * VALIDATORS_MAX + HANDSHAKES_OPEN_MAX
"""Every member once, with the link that it replaces, and the strangers: far below 1,024 descriptors."""

HANDSHAKES_PER_S = 20.0
"""Handshakes that one address may begin in the long run: 5 ms of a Pi each, so a tenth of a core."""

HANDSHAKES_BURST = 160
"""Handshakes at once after a pause: all validators of a test network dial from one address."""

ALL_HANDSHAKES_PER_S = 50.0
"""The same from all addresses together: a quarter of a core, however many addresses an attacker has."""

ALL_HANDSHAKES_BURST = 256
"""Twice the most members."""

MEMBERS_ADDRESSES_MAX = 2 * VALIDATORS_MAX
"""Addresses from which members came last: strangers who use up the common rate do not keep those out."""

ADDRESSES_MAX = 1024
"""Addresses that are remembered; the one unseen for longest is forgotten, the common bound still holds."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A connection may begin its handshake, under this ticket; ``evicted`` is the ticket that gives way for it."""

    ticket: int
    evicted: int | None


class _Bucket:
    """Tokens that come back with time."""

    def __init__(self, per_s: float, most: int, now_s: float) -> None:
        self._per_s = per_s
        self._most = float(most)
        self._tokens = float(most)
        self._filled_s = now_s

    def fill(self, now_s: float) -> bool:
        """Bring back what time has brought; tell whether a token can be taken."""
        self._tokens = min(self._most, self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0


class Gate:
    """Counts connections from being accepted to their end."""

    def __init__(self, now_s: float) -> None:
        self.refused = 0
        self._tickets = 0
        self._open: dict[int, str] = {}
        self._strangers: dict[int, str] = {}
        self._all = _Bucket(ALL_HANDSHAKES_PER_S, ALL_HANDSHAKES_BURST, now_s)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._members: OrderedDict[str, None] = OrderedDict()

    def admit(self, address: str, now_s: float) -> Admission | str:
        """Let a connection from ``address`` begin its handshake, or return in one line why not.

        In this order: room for a connection at all; the address's rate; everybody's rate, from which the addresses
        that members came from are exempt.
        """
        reason = self._find_refusal(address, now_s)
        if reason is not None:
            self.refused += 1
            return reason
        evicted = self._find_evicted(address)
        if evicted is not None:
            del self._strangers[evicted]
        self._tickets += 1
        self._open[self._tickets] = self._strangers[self._tickets] = address
        return Admission(self._tickets, evicted)

    def welcome(self, ticket: int) -> None:
        """The connection is a member's: it is a stranger no more."""
        address = self._strangers.pop(ticket, None)
        if address is None:
            return
        self._members[address] = None
        self._members.move_to_end(address)
        if len(self._members) > MEMBERS_ADDRESSES_MAX:
            self._members.popitem(last=False)

    def release(self, ticket: int) -> None:
        """The connection has ended."""
        self._strangers.pop(ticket, None)
        self._open.pop(ticket, None)

    def _find_refusal(self, address: str, now_s: float) -> str | None:
        if len(self._open) >= CONNECTIONS_MAX:
            return "too many connections"
        bucket = self._get_bucket(address, now_s)
        if not bucket.fill(now_s):
            return "too many handshakes from this address"
        if address not in self._members:
            if not self._all.fill(now_s):
                return "too many handshakes"
            self._all.take()
        bucket.take()
        return None

    def _get_bucket(self, address: str, now_s: float) -> _Bucket:
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(HANDSHAKES_PER_S, HANDSHAKES_BURST, now_s)
            if len(self._buckets) > ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket

    def _find_evicted(self, address: str) -> int | None:
        """Return the oldest stranger that must give way: of this address, or of all. Tickets are in order of age."""
        same = [ticket for ticket, other in self._strangers.items() if other == address]
        if len(same) >= HANDSHAKES_OPEN_PER_ADDRESS_MAX:
            return same[0]
        if len(self._strangers) >= HANDSHAKES_OPEN_MAX:
            return next(iter(self._strangers))
        return None
