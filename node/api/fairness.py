"""Whose turn it is, and how much of the event loop an address has left: one for all that the API serves."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from aiohttp import web

from node.api.paces import Measured, Paces, has_pace
from node.api.rates import Rates
from node.api.turns import Turnstile

PACES_ITSELF: Final = web.RequestKey("paces_itself", bool)
"""Marks the request of a stream: its work is counted message by message, not with the request."""

T = TypeVar("T")


class Fairness:
    """Lets work of an address begin in its turn and at its pace.

    Those that have no pace (a proxy on this machine) take turns among themselves, without rests.
    """

    def __init__(self, requests_per_s: float = math.inf) -> None:
        self._near = Turnstile()
        self._far = Turnstile()
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
        await self._take_turn(address)

    def spend(self, address: str, used_s: float) -> None:
        """Count what was done for an address."""
        self._paces.spend(address, used_s, asyncio.get_running_loop().time())
        if has_pace(address):
            self._far.rest(used_s)

    def measure(
        self, address: str, coroutine: Coroutine[Any, Any, T], is_counted: Callable[[], bool] = lambda: True
    ) -> Measured[T]:
        """Return a piece of work for an address that is counted step by step; where it breathes others have turns."""

        def spend(used_s: float) -> None:
            if is_counted():
                self.spend(address, used_s)

        async def breathe() -> None:
            if is_counted():
                await self._take_turn(address)

        return Measured(coroutine, spend, breathe)

    async def run(self, address: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a piece of work for an address in its turn, and count it."""
        await self.enter(address)
        return await self.measure(address, work())

    async def _take_turn(self, address: str) -> None:
        await (self._far if has_pace(address) else self._near).enter(address)
