"""How many requests an address may make: a bucket for each, refilled with time. Time is an argument, in seconds.

Beside the pace, which bounds the work, whatever is asked: a client that asks too often is told so, and when to come
back. A proxy on this machine asks from loopback for many clients, so that loopback has no bound.
"""

import math
from collections import OrderedDict

from node.api.paces import LOOPBACK

BURST_S = 5.0
"""So many seconds' worth may come at once: a page that opens, a meter that catches up."""

ADDRESSES_MAX = 1024
"""Addresses that are remembered; the one that asked longest ago is forgotten, and begins anew."""


class Rates:
    """What each address has left."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now_s: float) -> float:
        """Count a request; return after how many seconds to come back, 0 when it may be answered."""
        if address in LOOPBACK or not address or math.isinf(self._per_s):
            return 0.0
        most = self._per_s * BURST_S
        left, noted_s = self._left.pop(address, (most, now_s))
        left = min(most, left + (now_s - noted_s) * self._per_s)
        is_allowed = left >= 1.0
        self._left[address] = (left - 1.0 if is_allowed else left, now_s)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1.0 - left) / self._per_s
