"""Fair packing: blocks whose transactions have waited for as long as possible in sum (``node/fair_search.py``).

Waiting is counted from the height at which the pool first saw a transaction. While a batch has room in bytes for its
count, those first seen are the answer of both algorithms, and nothing is searched.
"""

from collections.abc import Callable, Collection, Sequence
from heapq import heapify, heappop, heappush
from typing import assert_never

from node.fair_search import Item, Packed, Queue, pack_greedily, pack_optimally
from node.packing import Fifo, Packer, Packing, Place, Queues, Room, RoundRobin, Waiting
from vm.transaction import SealedTransaction

OVERTAKEN_MAX = 2
"""Blocks in which younger ones may go first. Backups grant a primary as many beyond what waited before
(``node/mempool.py:PATIENCE_SPARE``), and so nobody starves: who has waited longer goes first, in order."""

CHOICE_MAX = 2
"""Candidates looked at, in counts of a full batch: younger ones would add less."""

SEARCH_STEPS_MAX = 40_000
"""Items that the optimal search may look at for one batch, about 30 ms; then the best found until then is taken."""

HEAP_SPARE = 64
"""Places of those that left, kept beside as many as still wait before they are swept out."""

Algorithm = Callable[[Sequence[Queue], int, int], Packed]


class FairPacker:
    """Takes who has waited too long, then what an algorithm chooses from the others.

    A selection costs O(log n) for each candidate: they stand on a heap in the order of their places.
    """

    def __init__(self, algorithm: Algorithm, overtaken_max: int = OVERTAKEN_MAX) -> None:
        self._algorithm = algorithm
        self._overtaken_max = overtaken_max
        self._heap: list[Place] = []

    def note(self, queues: Queues, waiting: Waiting) -> None:
        """Remember the newcomer's place, and forget those that left before they outnumber the others."""
        if len(self._heap) > 2 * len(queues.arrived) + HEAP_SPARE:
            self._heap = [each.place for each in queues.arrived.values()]
            heapify(self._heap)
        else:
            heappush(self._heap, waiting.place)

    def select(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[SealedTransaction]:
        """Return what the next batch holds, in the order of the places."""
        candidates = self._find_candidates(queues, exclude, room)
        if _fits(candidates, room):
            return [waiting.sealed for waiting in candidates]
        latest = queues.next_height - self._overtaken_max
        overdue = [waiting for waiting in candidates if waiting.place.first_seen <= latest]
        chosen, left_out = _take_in_order(overdue, room)
        free = Room(room.count - len(chosen), room.size - sum(map(_measure, chosen)))
        others = [waiting for waiting in candidates[len(overdue) :] if waiting.place.account not in left_out]
        chosen += self._choose(others, queues.next_height, free)
        return [waiting.sealed for waiting in sorted(chosen, key=lambda waiting: waiting.place)]

    def _choose(self, candidates: Sequence[Waiting], next_height: int, room: Room) -> list[Waiting]:
        accounts: dict[bytes, list[Waiting]] = {}
        for waiting in candidates:
            accounts.setdefault(waiting.place.account, []).append(waiting)
        queues = [
            [Item(1 + next_height - waiting.place.first_seen, _measure(waiting)) for waiting in account]
            for account in accounts.values()
        ]
        packed = self._algorithm(queues, room.count, room.size)
        return [
            waiting
            for account, taken in zip(accounts.values(), packed.taken, strict=True)
            for waiting in account[:taken]
        ]

    def _find_candidates(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[Waiting]:
        """Return the first in order: a full count of them if that fits, else ``CHOICE_MAX`` as many."""
        seen: list[Place] = []
        candidates: list[Waiting] = []
        wanted = room.count
        while self._heap:
            if len(candidates) == wanted:
                if wanted > room.count or _fits(candidates, room):
                    break
                wanted *= CHOICE_MAX
            place = heappop(self._heap)
            waiting = queues.arrived.get(place.id)
            if waiting is None or waiting.place is not place:
                continue
            seen.append(place)
            if place.id not in exclude:
                candidates.append(waiting)
        for place in seen:
            heappush(self._heap, place)
        return candidates


def build_packer(packing: Packing) -> Packer:
    """Return a new packer of the kind that the settings name."""
    match packing:
        case Packing.ROUND_ROBIN:
            return RoundRobin()
        case Packing.FIFO:
            return Fifo()
        case Packing.HEURISTIC:
            return FairPacker(pack_greedily)
        case Packing.OPTIMAL:
            return FairPacker(search_bounded)
        case _:
            assert_never(packing)


def search_bounded(queues: Sequence[Queue], count_max: int, size_max: int) -> Packed:
    """Return the optimal choice, or the best found within ``SEARCH_STEPS_MAX``."""
    return pack_optimally(queues, count_max, size_max, SEARCH_STEPS_MAX)


def _take_in_order(candidates: Sequence[Waiting], room: Room) -> tuple[list[Waiting], set[bytes]]:
    """Return what fits in order, and the accounts whose next did not."""
    taken: list[Waiting] = []
    left_out: set[bytes] = set()
    free = room.size
    for waiting in candidates:
        if len(taken) == room.count:
            break
        if waiting.place.account in left_out:
            continue
        if _measure(waiting) > free:
            left_out.add(waiting.place.account)
            continue
        taken.append(waiting)
        free -= _measure(waiting)
    return taken, left_out


def _fits(candidates: Sequence[Waiting], room: Room) -> bool:
    return len(candidates) <= room.count and sum(map(_measure, candidates)) <= room.size


def _measure(waiting: Waiting) -> int:
    return len(waiting.sealed.raw)
