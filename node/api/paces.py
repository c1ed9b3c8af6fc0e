"""How much of the event loop the requests of one address may use: the work of each is measured, step by step.

A client that asks without pause gets its answers at the pace of its share; others hardly notice. A proxy on this
machine asks from loopback for many clients, so that loopback has no pace. Time is an argument, in seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from p2p.pace import Pace

SHARE = 0.1
"""Of one core: two whole batches a second on two cores of a small server, of 1,000 transactions each."""

ADDRESSES_MAX = 1024
"""Addresses that are remembered; the one that asked longest ago is forgotten, and begins anew."""

LOOPBACK = frozenset({"127.0.0.1", "::1"})

T = TypeVar("T")


class Paces:
    """What each address has left of its share."""

    def __init__(self) -> None:
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def spend(self, address: str, used_s: float, now_s: float) -> float:
        """Count what an address used; return for how long its next request must wait."""
        if not has_pace(address):
            return 0.0
        pace = self._paces.get(address)
        if pace is None:
            pace = self._paces[address] = Pace(now_s, SHARE)
            if len(self._paces) > ADDRESSES_MAX:
                self._paces.popitem(last=False)
        self._paces.move_to_end(address)
        return pace.spend(used_s, now_s)


def has_pace(address: str) -> bool:
    """Tell whether what is done for an address is bounded; for loopback, and the admin socket (it has none), not."""
    return bool(address) and address not in LOOPBACK


class Measured(Generic[T]):
    """A coroutine that is awaited through this: ``spend`` hears the processor time of each step, waits left out.

    Where it lets the loop breathe (``sleep(0)``) it goes on when ``breathe`` has returned.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        spend: Callable[[float], None],
        breathe: Callable[[], Awaitable[None]],
    ) -> None:
        self._coroutine = coroutine
        self._spend = spend
        self._breathe = breathe

    def __await__(self) -> Generator[Any, Any, T]:
        take: Any = self._coroutine.send
        argument: Any = None
        while True:
            began_s = time.thread_time()
            try:
                waited_for = take(argument)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the coroutine returns
            finally:
                self._spend(time.thread_time() - began_s)
            try:
                argument = yield waited_for
                if waited_for is None:
                    yield from self._breathe().__await__()
                take = self._coroutine.send
            except BaseException as error:  # noqa: BLE001  # handed on to the coroutine, as a plain await would
                take, argument = self._coroutine.throw, error
