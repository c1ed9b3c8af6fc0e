"""Which connections of the API may stay: bounded in all and per address; who only holds a place gives way.

A stranger is a connection that has not asked anything yet. An honest client connects in order to ask and is one for a
moment only, so where there is no room the oldest stranger gives way. Where there is none either, a connection gives
way that rests between two requests, of the address that holds the most. Whose request is being answered stays.
"""

from collections import Counter, OrderedDict
from typing import Protocol


class Guest(Protocol):
    """A connection as the gate sees it."""

    def give_way(self) -> None:
        """End at once; the gate has forgotten it already."""


class _Crowd:
    """Guests by their address, in the order in which they came."""

    def __init__(self) -> None:
        self._all: OrderedDict[Guest, str] = OrderedDict()
        self._of: dict[str, OrderedDict[Guest, None]] = {}

    def add(self, guest: Guest, address: str) -> None:
        self._all[guest] = address
        self._of.setdefault(address, OrderedDict())[guest] = None

    def remove(self, guest: Guest) -> None:
        address = self._all.pop(guest, None)
        if address is None:
            return
        of_address = self._of[address]
        del of_address[guest]
        if not of_address:
            del self._of[address]

    def find_oldest(self, address: str | None = None) -> Guest | None:
        """Return who came first, of all or of one address."""
        if address is None:
            return next(iter(self._all), None)
        return next(iter(self._of.get(address, ())), None)

    def __contains__(self, guest: Guest) -> bool:
        return guest in self._all


class ConnectionGate:
    """Counts connections, in all and per address."""

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._addresses: dict[Guest, str] = {}
        self._open: Counter[str] = Counter()
        self._strangers = _Crowd()
        self._resting = _Crowd()

    @property
    def connections(self) -> int:
        """Return how many are open."""
        return len(self._addresses)

    def enter(self, address: str, guest: Guest) -> bool:
        """Count one in, if there is room or somebody gives way for it."""
        if self._open[address] >= self._per_address_max:
            leaving = self._strangers.find_oldest(address)
        elif len(self._addresses) >= self._connections_max:
            leaving = self._strangers.find_oldest() or self._find_resting(address)
        else:
            leaving = guest  # nobody
        if leaving is None:
            return False
        if leaving is not guest:
            self.leave(leaving)
            leaving.give_way()
        self._addresses[guest] = address
        self._open[address] += 1
        self._strangers.add(guest, address)
        return True

    def begin(self, guest: Guest) -> None:
        """A request of this connection is being answered: it is a stranger no more, and stays."""
        self._strangers.remove(guest)
        self._resting.remove(guest)

    def finish(self, guest: Guest) -> None:
        """The request was answered."""
        address = self._addresses.get(guest)
        if address is not None and guest not in self._resting:
            self._resting.add(guest, address)

    def leave(self, guest: Guest) -> None:
        """Count one out; a second time does no harm."""
        address = self._addresses.pop(guest, None)
        if address is None:
            return
        self._strangers.remove(guest)
        self._resting.remove(guest)
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def _find_resting(self, address: str) -> Guest | None:
        """Return who rests longest at the address that holds the most, if that is more than ``address`` holds."""
        crowded, count = self._open.most_common(1)[0]
        return self._resting.find_oldest(crowded) if count > self._open[address] else None
