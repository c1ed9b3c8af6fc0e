"""Questions of many sources, answered chunk by chunk in turn: one source's flood delays nobody else.

Pure apart from the futures it hands out. A question is a list of items; its future gets the list of answers.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class QueueFullError(Exception):
    """The source has too much waiting already; drop the message, or tell the client to come back."""


class _Job(Generic[Item, Answer]):
    """One question: its items, the answers so far, how many items were taken and how many are still open."""

    __slots__ = ("answers", "future", "items", "open", "taken")

    def __init__(self, items: Sequence[Item], future: "asyncio.Future[list[Answer]]") -> None:
        self.items = items
        self.answers: list[Answer | None] = [None] * len(items)
        self.future = future
        self.open = len(items)
        self.taken = 0


class _Source(Generic[Item, Answer]):
    """What one source asked: ``jobs`` without a complete answer, of which ``untaken`` still have items to take."""

    __slots__ = ("in_flight", "is_ordered", "jobs", "scheduled", "untaken", "waiting")

    def __init__(self, *, is_ordered: bool) -> None:
        self.jobs: deque[_Job[Item, Answer]] = deque()
        self.untaken: deque[_Job[Item, Answer]] = deque()
        self.waiting = 0
        self.in_flight = 0
        self.scheduled = False
        self.is_ordered = is_ordered


@dataclass(frozen=True, slots=True)
class Place(Generic[Item, Answer]):
    """Where an answer belongs, and the item it is about."""

    source: bytes
    job: _Job[Item, Answer]
    position: int
    item: Item


class FairQueue(Generic[Item, Answer]):
    """Items wait by source; ``take`` gives one chunk of the next source in turn.

    Of an ordered source, answers come in the order of the questions. An unordered source is one turn shared by
    independent clients: its questions take turns among themselves. With ``is_exclusive``, a source has at most one
    chunk under way.
    """

    def __init__(
        self, chunk: int, unordered: frozenset[bytes] = frozenset(), *, is_exclusive: bool = False
    ) -> None:
        self._chunk = chunk
        self._is_exclusive = is_exclusive
        self._unordered = unordered
        self._sources: dict[bytes, _Source[Item, Answer]] = {}
        self._turns: deque[bytes] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def sources_waiting(self) -> int:
        """Return how many sources have something to take."""
        return len(self._turns)

    def is_idle(self, source: bytes) -> bool:
        """Tell whether the source has no question open."""
        return source not in self._sources

    def ask(self, source: bytes, items: Sequence[Item], waiting_max: int) -> "asyncio.Future[list[Answer]]":
        """Queue a question and return the future of its answers.

        Raises:
            QueueFullError: the source would have more than ``waiting_max`` items waiting.

        """
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        if not items:
            future.set_result([])
            return future
        entry = self._sources.get(source)
        if entry is None:
            entry = _Source(is_ordered=source not in self._unordered)
        if entry.waiting + len(items) > waiting_max:
            raise QueueFullError(f"{entry.waiting} of at most {waiting_max} signatures wait already")
        self._sources[source] = entry
        job: _Job[Item, Answer] = _Job(items, future)
        entry.jobs.append(job)
        entry.untaken.append(job)
        entry.waiting += len(items)
        self._schedule(source, entry)
        return future

    def take(self) -> list[Place[Item, Answer]]:
        """Return the next chunk, all of one source; empty when nothing waits. A cancelled question is dropped."""
        while self._turns:
            source = self._turns.popleft()
            entry = self._sources[source]
            entry.scheduled = False
            places = self._take_from(source, entry)
            entry.in_flight += len(places)
            self._schedule(source, entry)
            self._forget_if_idle(source, entry)
            if places:
                return places
        return []

    def answer(self, place: Place[Item, Answer], answer: Answer) -> None:
        """Give one answer; the question's future gets its result when this was the last one."""
        place.job.answers[place.position] = answer
        self._close(place)

    def fail(self, place: Place[Item, Answer], error: BaseException) -> None:
        """Give up one item: the question's future gets the error."""
        if not place.job.future.done():
            place.job.future.set_exception(error)
        self._close(place)

    def cancel(self) -> None:
        """Cancel every open question."""
        for entry in self._sources.values():
            for job in entry.jobs:
                job.future.cancel()
        self._sources.clear()
        self._turns.clear()

    def _schedule(self, source: bytes, entry: _Source[Item, Answer]) -> None:
        if entry.untaken and not entry.scheduled and not (self._is_exclusive and entry.in_flight):
            entry.scheduled = True
            self._turns.append(source)

    def _take_from(self, source: bytes, entry: _Source[Item, Answer]) -> list[Place[Item, Answer]]:
        places: list[Place[Item, Answer]] = []
        while entry.untaken and len(places) < self._chunk:
            job = entry.untaken[0]
            left = len(job.items) - job.taken
            if job.future.done():  # its asker has gone
                job.open -= left
                entry.waiting -= left
                entry.untaken.popleft()
                self._settle(entry, job)
                continue
            count = min(self._chunk - len(places), left)
            positions = range(job.taken, job.taken + count)
            places += [Place(source, job, position, job.items[position]) for position in positions]
            job.taken += count
            if count == left:
                entry.untaken.popleft()
            elif not entry.is_ordered:
                entry.untaken.rotate(-1)
        return places

    def _close(self, place: Place[Item, Answer]) -> None:
        entry = self._sources.get(place.source)
        if entry is None:  # after cancel
            return
        place.job.open -= 1
        entry.waiting -= 1
        entry.in_flight -= 1
        self._settle(entry, place.job)
        self._schedule(place.source, entry)
        self._forget_if_idle(place.source, entry)

    def _settle(self, entry: _Source[Item, Answer], job: _Job[Item, Answer]) -> None:
        """Hand out complete answers, in order where the source is ordered."""
        if job.open:
            return
        if not entry.is_ordered:
            entry.jobs.remove(job)
            _resolve(job)
            return
        while entry.jobs and not entry.jobs[0].open:
            _resolve(entry.jobs.popleft())

    def _forget_if_idle(self, source: bytes, entry: _Source[Item, Answer]) -> None:
        if not entry.jobs and not entry.scheduled and not entry.in_flight:
            del self._sources[source]


def _resolve(job: _Job[Item, Answer]) -> None:
    if not job.future.done():
        job.future.set_result(job.answers)  # type: ignore[arg-type]  # open is 0: every answer is there
