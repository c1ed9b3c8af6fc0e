"""Whose turn it is, and how much of the event loop an address has left: one for all that the API serves."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from aiohttp import web

from node.api.paces import Measured, Paces
from node.api.rates import Rates
from node.api.turns import Turnstile

PACES_ITSELF: Final = web.RequestKey("paces_itself", bool)
"""Marks the request of a stream: its work is counted message by message, not once at its end."""

T = TypeVar("T")


class Fairness:
    """Lets work of an address begin in its turn and at its pace."""

    def __init__(self, requests_per_s: float = math.inf) -> None:
        self._turnstile = Turnstile()
        self._paces = Paces()
        self._rates = Rates(requests_per_s)

    def count(self, address: str) -> float:
        """Count a request; return after how many seconds to come back with it, 0 when it may be answered."""
        return self._rates.take(address, asyncio.get_running_loop().time())

    async def enter(self, address: str) -> None:
        """Return when it is this address' turn."""
        wait_s = self._paces.spend(address, 0.0, asyncio.get_running_loop().time())
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await self._turnstile.enter(address)

    def spend(self, address: str, used_s: float) -> None:
        """Count what was done for an address."""
        self._paces.spend(address, used_s, asyncio.get_running_loop().time())

    async def run(self, address: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a piece of work for an address in its turn, and count it."""
        await self.enter(address)
        measured = Measured(work())
        try:
            return await measured
        finally:
            self.spend(address, measured.used_s)
