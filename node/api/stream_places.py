"""How many streams are open, in all and for each address: whoever stays takes a place that others cannot have."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from node.api.errors import ApiProblem, refuse_busy
from node.api.fairness import PACES_ITSELF
from node.api.paces import LOOPBACK

PER_ADDRESS_SHARE = 4
"""One address has a quarter of all places; loopback has all, for a proxy asks from there for many clients."""


class StreamPlaces:
    """Counts streams of one kind."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def count(self) -> int:
        """Return how many are open."""
        return self._open.total()

    def end(self) -> None:
        """End all streams: the node stops, and their clients go on with another one."""
        for task in self._tasks:
            task.cancel()

    @contextmanager
    def enter(self, request: web.Request) -> Iterator[str]:
        """Take a place until the stream ends; give the address it is counted for.

        Raises:
            ApiProblem: a page of another site asks, or there is no place.

        """
        _check_origin(request)
        address = request.remote or ""
        most = self._streams_max if address in LOOPBACK else max(1, self._streams_max // PER_ADDRESS_SHARE)
        if self._open.total() >= self._streams_max or self._open[address] >= most:
            raise refuse_busy("too many streams are open; use fewer, or come back later", "TOO_MANY_STREAMS")
        request[PACES_ITSELF] = True
        self._open[address] += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            yield address
        finally:
            self._tasks.discard(task)
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


@dataclass(frozen=True, slots=True)
class Places:
    """Places for those who listen, and half as many for those who submit: half a megabyte each while they do."""

    listening: StreamPlaces
    submitting: StreamPlaces

    @classmethod
    def build(cls, streams_max: int) -> "Places":
        """Return the places of a node."""
        return cls(StreamPlaces(streams_max), StreamPlaces(max(1, streams_max // 2)))

    @property
    def count(self) -> int:
        """Return how many streams are open."""
        return self.listening.count + self.submitting.count

    def end_all(self) -> None:
        """End all streams."""
        self.listening.end()
        self.submitting.end()


def _check_origin(request: web.Request) -> None:
    """Refuse a page of another site: browsers let any page open a websocket, and say which one it is.

    Raises:
        ApiProblem: 403.

    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise ApiProblem(403, "ORIGIN_NOT_ALLOWED", "a page of another site may not open a stream here")
