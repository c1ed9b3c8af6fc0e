"""Waiting for certified heights: those who long-poll sleep here until the next one."""

import asyncio
from collections.abc import Callable

from primitives.ids import Height

WAITERS_MAX = 256
"""Requests that wait at the same time: half of the connections, so that the others still get answers. 1 kB each."""


class TooManyWaitersError(Exception):
    """So many wait already; ask again a little later."""


class HeightSignal:
    """The latest certified height, and the tasks that wait for a later one."""

    def __init__(self, height: Height, waiters_max: int = WAITERS_MAX) -> None:
        self.height = height
        self._waiters_max = waiters_max
        self._waiting: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[Height], None]] = []

    @property
    def waiters(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def listen(self, on_height: Callable[[Height], None]) -> None:
        """Tell a part of the node of every later height, as it comes; it must not block."""
        self._listeners.append(on_height)

    def advance(self, height: Height) -> None:
        """Wake everybody for a later height."""
        if height <= self.height:
            return
        self.height = height
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)
        for on_height in self._listeners:
            on_height(height)

    async def wait_beyond(self, height: Height, timeout_s: float) -> bool:
        """Wait until a height above ``height`` is certified; tell whether one is, or the time was over.

        Raises:
            TooManyWaitersError: nothing was waited for.

        """
        if self.height > height:
            return True
        if len(self._waiting) >= self._waiters_max:
            raise TooManyWaitersError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True
