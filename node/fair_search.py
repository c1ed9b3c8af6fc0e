"""The fair packing of a block as a number problem: whom to take so that the waiting times add up to the most.

After Jiang, Cao, Wu and Yang 2021, "Fairness-Based Packing of Industrial IoT Data in Permissioned Blockchains" (IEEE
TII 17(11)): response times deviate least when the sum of the waiting times of what a block takes is as large as
possible. They give a heuristic and an optimal algorithm on a min-heap. Here every account is a queue whose order is
kept, so a choice is how many of each queue are taken, and two bounds hold: a block's count and its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

DENSITY_BITS = 64
"""Waiting per byte as an integer of so many binary places: exact in order, as no two sums of sizes reach 2^32."""


class Item(NamedTuple):
    """A transaction: for how many blocks it has waited, and its bytes."""

    waited: int
    size: int


Queue = Sequence[Item]


@dataclass(frozen=True, slots=True)
class Packed:
    """How many of each queue are taken, and what their waiting adds up to. ``is_proven``: nothing adds up to more."""

    taken: tuple[int, ...]
    waited: int
    is_proven: bool


class _Piece(NamedTuple):
    """Consecutive items of a queue that are best taken together: no later piece of it has more waiting per byte."""

    negative_density: int
    queue: int
    start: int
    end: int
    waited: int
    size: int


@dataclass(frozen=True, slots=True)
class _Range:
    """A part of all choices: of each queue at least ``low`` and at most ``high`` items."""

    low: tuple[int, ...]
    high: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """The most that a range can add up to, a choice in it, and the queue and number at which it is split further."""

    bound: int
    found: Packed
    split: tuple[int, int] | None


def pack_greedily(queues: Sequence[Queue], count_max: int, size_max: int) -> Packed:
    """Return the better of two orders: who has waited longest first, and who has waited longest per byte first.

    O(n log n) for n items. A queue whose next item does not fit is left; the others go on.
    """
    longest = _take_longest_first(queues, count_max, size_max)
    whole = _Range((0,) * len(queues), tuple(map(len, queues)))
    relaxed = _relax(queues, whole, count_max, size_max)
    if relaxed is None or longest.waited >= relaxed.found.waited:
        return longest
    return relaxed.found


def pack_optimally(queues: Sequence[Queue], count_max: int, size_max: int, steps_max: int) -> Packed:
    """Return a choice whose waiting adds up to the most: best-first search on a min-heap of what is given up.

    A range of choices is bounded by taking a part of one item; it is split there into fewer and more. The heap gives
    the range that may give up least. The search looks at no more than ``steps_max`` items and returns then the best
    it has found, which is at least as good as ``pack_greedily``.
    """
    best = pack_greedily(queues, count_max, size_max)
    whole = _Range((0,) * len(queues), tuple(map(len, queues)))
    total = sum(item.waited for queue in queues for item in queue)
    items = sum(map(len, queues))
    heap = [(0, 0, whole)]
    serial = steps = 0
    while heap:
        given_up, _, part = heappop(heap)
        if total - given_up <= best.waited:
            break
        steps += items
        if steps > steps_max:
            return best
        relaxed = _relax(queues, part, count_max, size_max)
        if relaxed is None:
            continue
        if relaxed.found.waited > best.waited:
            best = relaxed.found
        if relaxed.split is None or relaxed.bound <= best.waited:
            continue
        queue, number = relaxed.split
        for child in (_raise_low(part, queue, number + 1), _lower_high(part, queue, number)):
            serial += 1
            heappush(heap, (total - relaxed.bound, serial, child))
    return Packed(best.taken, best.waited, is_proven=True)


def _take_longest_first(queues: Sequence[Queue], count_max: int, size_max: int) -> Packed:
    """Return the greedy choice by waiting; of equal ones the smaller first, then the earlier queue."""
    heads = [(-queue[0].waited, queue[0].size, index) for index, queue in enumerate(queues) if queue]
    heapify(heads)
    taken = [0] * len(queues)
    count = waited = 0
    free = size_max
    while heads and count < count_max:
        negative, size, index = heappop(heads)
        if size > free:
            continue
        taken[index] += 1
        count += 1
        waited -= negative
        free -= size
        if taken[index] < len(queues[index]):
            item = queues[index][taken[index]]
            heappush(heads, (-item.waited, item.size, index))
    return Packed(tuple(taken), waited, is_proven=not heads and count == sum(map(len, queues)))


def _relax(queues: Sequence[Queue], part: _Range, count_max: int, size_max: int) -> _Relaxed | None:
    """Return the bound of a range, a choice in it, and where to split it; None when nothing in it fits."""
    forced = [item for queue, low in zip(queues, part.low, strict=True) for item in queue[:low]]
    count = count_max - len(forced)
    free = size_max - sum(item.size for item in forced)
    if count < 0 or free < 0:
        return None
    waited = sum(item.waited for item in forced)
    pieces = [
        piece
        for index, queue in enumerate(queues)
        for piece in _divide(queue, index, part.low[index], part.high[index])
    ]
    pieces.sort()
    found = _take_pieces(queues, pieces, Packed(part.low, waited, is_proven=False), count, free)
    bound = waited
    last: _Piece | None = None
    for piece in pieces:
        if piece.size > free:
            bound += piece.waited * free // piece.size
            last = piece
            break
        free -= piece.size
        count -= piece.end - piece.start
        bound += piece.waited
        if count < 0:
            last = piece
    bound = min(bound, waited + _sum_longest(queues, part, count_max - len(forced)))
    if last is None or bound <= found.waited:
        return _Relaxed(bound, found, None)
    number = min(max(found.taken[last.queue], last.start), last.end - 1)
    return _Relaxed(bound, found, (last.queue, number))


def _take_pieces(
    queues: Sequence[Queue], pieces: Sequence[_Piece], start: Packed, count: int, free: int
) -> Packed:
    """Return the greedy choice by pieces; of one that does not fit as many items as do, then no more of its queue."""
    taken = list(start.taken)
    waited = start.waited
    for piece in pieces:
        if taken[piece.queue] != piece.start:
            continue
        for item in queues[piece.queue][piece.start : piece.end]:
            if count == 0 or item.size > free:
                break
            taken[piece.queue] += 1
            count -= 1
            free -= item.size
            waited += item.waited
    return Packed(tuple(taken), waited, is_proven=False)


def _divide(queue: Queue, index: int, low: int, high: int) -> list[_Piece]:
    """Return a queue's items from ``low`` to ``high`` in pieces of falling waiting per byte."""
    pieces: list[_Piece] = []
    for position in range(low, high):
        waited, size = queue[position]
        start = position
        while pieces and pieces[-1].waited * size <= waited * pieces[-1].size:
            earlier = pieces.pop()
            start = earlier.start
            waited += earlier.waited
            size += earlier.size
        pieces.append(_Piece(-((waited << DENSITY_BITS) // size), index, start, position + 1, waited, size))
    return pieces


def _sum_longest(queues: Sequence[Queue], part: _Range, count: int) -> int:
    """Return the sum of the ``count`` longest waiting times that a range leaves open: the bound by count alone."""
    waited = [
        item.waited
        for queue, low, high in zip(queues, part.low, part.high, strict=True)
        for item in queue[low:high]
    ]
    if len(waited) > count:
        waited.sort(reverse=True)
    return sum(waited[:count])


def _raise_low(part: _Range, queue: int, low: int) -> _Range:
    return _Range((*part.low[:queue], low, *part.low[queue + 1 :]), part.high)


def _lower_high(part: _Range, queue: int, high: int) -> _Range:
    return _Range(part.low, (*part.high[:queue], high, *part.high[queue + 1 :]))
