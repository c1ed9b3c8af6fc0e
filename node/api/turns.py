"""Whose turn it is: however many requests are ready, one begins in each turn of the event loop.

Between two turns the loop hears the other validators. Without, a hundred requests that arrive together would all be
worked on before the next vote is read, and every step of agreement would wait for a hundred answers. Addresses take
turns as well: whoever asks a hundred things at once delays itself.

One in each turn is still too many where a vote needs twenty turns to its answer: each would be as long as a request. So
nobody begins for as long after a piece of work as it lasted, and in half of the time the loop is the validators' alone.
"""

import asyncio
from collections import OrderedDict, deque

REST_MIN_S = 0.001
"""What is owed in rests adds up to this before it is taken: the loop's timers are no finer."""


class Turnstile:
    """Lets requests begin one by one, those of one address in their order; while few ask it costs nothing."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._rests_until_s = 0.0

    def rest(self, used_s: float) -> None:
        """Let nobody begin for as long as a piece of work lasted that was done now."""
        now_s = asyncio.get_running_loop().time()
        self._rests_until_s = max(self._rests_until_s, now_s) + used_s

    async def enter(self, address: str) -> None:
        """Return when it is this request's turn."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            if self._rests_until_s - loop.time() < REST_MIN_S:
                loop.call_soon(self._turn)
                return
            self._turn()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        await turn

    def _turn(self) -> None:
        """Let the next one begin, after the rest that is owed; whoever has gone meanwhile is passed over."""
        loop = asyncio.get_running_loop()
        owed_s = self._rests_until_s - loop.time()
        if owed_s >= REST_MIN_S:
            loop.call_later(owed_s, self._turn)
            return
        while self._waiting:
            address, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[address] = turns  # behind the other addresses
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._turn)
                return
        self._is_taken = False
