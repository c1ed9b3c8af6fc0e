"""Whose turn it is: however many requests are ready, one begins in each turn of the event loop.

Between two turns the loop hears the other validators. Without, a hundred requests that arrive together would all be
worked on before the next vote is read, and every step of agreement would wait for a hundred answers. Addresses take
turns as well: whoever asks a hundred things at once delays itself.
"""

import asyncio
from collections import OrderedDict, deque


class Turnstile:
    """Lets requests begin one by one, those of one address in their order; while few ask it costs nothing."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def enter(self, address: str) -> None:
        """Return when it is this request's turn."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._turn)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        await turn

    def _turn(self) -> None:
        """Let the next one begin; whoever has gone meanwhile is passed over."""
        while self._waiting:
            address, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[address] = turns  # behind the other addresses
            if not turn.done():
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._turn)
                return
        self._is_taken = False
