"""Which of the waiting transactions the next batch holds: the seam of the pool, and its two plain orders.

A packer decides nothing that validators must agree on: they agree on what the primary proposes. It is a pure function
of what waits; its waiting time is counted in blocks, never by a clock. Every packer keeps each account's order.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from primitives.ids import Digest, Height, MonotonicMs
from vm.transaction import SealedTransaction


class Packing(StrEnum):
    """How blocks are packed, by the names of the settings."""

    ROUND_ROBIN = "round-robin"
    FIFO = "fifo"
    HEURISTIC = "heuristic"
    OPTIMAL = "optimal"


class Place(NamedTuple):
    """Where a transaction stands among those that wait, the same in whatever order the accounts' transactions came.

    ``first_seen`` is the height of the block that was next when it came. ``turn`` counts what its account had brought
    before it while that block was next, so that whoever brings many at once stands between the others only once.
    """

    first_seen: Height
    turn: int
    account: bytes
    id: Digest


@dataclass(slots=True)
class Waiting:
    """A waiting transaction. ``patience`` full blocks after number ``full_blocks`` may postpone its deadline."""

    sealed: SealedTransaction
    size: int
    added_ms: MonotonicMs
    full_blocks: int
    patience: int
    place: Place


@dataclass(slots=True)
class Account:
    """What one account has waiting, in the order of arrival, and the place of what came last."""

    waiting: OrderedDict[Digest, SealedTransaction]
    size: int
    last: Place | None = None


@dataclass(slots=True)
class Queues:
    """What waits: in the order of arrival, and by account, the least recently served first."""

    arrived: OrderedDict[Digest, Waiting]
    accounts: OrderedDict[bytes, Account]
    next_height: Height


@dataclass(frozen=True, slots=True)
class Room:
    """What a batch holds at most: so many transactions, and the sum of their raw bytes."""

    count: int
    size: int


class Packer(Protocol):
    """Chooses the next batch; for one pool."""

    def note(self, queues: Queues, waiting: Waiting) -> None:
        """Take note of a newcomer, which is in the queues already; what left is found missing there."""

    def select(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[SealedTransaction]:
        """Return what the next batch holds, without removing it; ``exclude`` names what is in flight already."""


class RoundRobin:
    """One of each account in turn, the least recently served account first."""

    def note(self, queues: Queues, waiting: Waiting) -> None:
        """Need nothing: the pool's accounts are the order."""

    def select(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[SealedTransaction]:
        """Return one transaction of each account in turn; an account whose next does not fit waits."""
        turn: Iterable[tuple[bytes, Iterator[SealedTransaction]]] = (
            (name, iter(account.waiting.values())) for name, account in queues.accounts.items()
        )
        selected: list[SealedTransaction] = []
        served: list[bytes] = []
        free = room.size
        while len(selected) < room.count:
            again = []
            for name, waiting in turn:
                sealed = next((each for each in waiting if each.id not in exclude), None)
                if sealed is None or len(sealed.raw) > free:
                    continue
                selected.append(sealed)
                served.append(name)
                free -= len(sealed.raw)
                again.append((name, waiting))
                if len(selected) == room.count:
                    break
            if not again:
                break
            turn = again
        for name in served:
            queues.accounts.move_to_end(name)
        return selected


class Fifo:
    """First come, first served: nothing ever overtakes, so what does not fit ends the batch."""

    def note(self, queues: Queues, waiting: Waiting) -> None:
        """Need nothing: the pool's order of arrival is the order."""

    def select(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[SealedTransaction]:
        """Return the oldest arrivals, up to the first that does not fit."""
        selected: list[SealedTransaction] = []
        free = room.size
        for name, waiting in queues.arrived.items():
            if name in exclude:
                continue
            free -= len(waiting.sealed.raw)
            if free < 0 or len(selected) == room.count:
                break
            selected.append(waiting.sealed)
        return selected
