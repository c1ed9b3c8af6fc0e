"""Addresses that send what no honest client sends: malformed transactions, and signatures that are not the key's.

Each costs a check, and the sender nothing. An address may send a few: a meter with a wrong clock or key is no attack.
Beyond, its bodies are refused unread until time has passed. A proxy on this machine asks from loopback for many
clients; who of them it was, only the proxy knows, so that loopback is never refused. Time is an argument, in seconds.
"""

from collections import OrderedDict

INVALID_BURST = 1000
"""One whole batch: somebody who signed all of it for another network gets every refusal told."""

INVALID_PER_S = 10.0
"""What comes back with time: 0.6 ms of checking a second for each address."""

ADDRESSES_MAX = 1024
"""Addresses that are remembered; the one that offended longest ago is forgotten."""

LOOPBACK = frozenset({"127.0.0.1", "::1"})


class Offenders:
    """How much each address has left to get wrong."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def compute_wait_s(self, address: str, now_s: float) -> float:
        """Return for how long the address must not send a body; 0 when it may."""
        if address not in self._left:
            return 0.0
        left = self._compute_left(address, now_s)
        if left >= INVALID_BURST:
            del self._left[address]
        return max(0.0, (1.0 - left) / INVALID_PER_S)

    def note(self, address: str, invalid: int, now_s: float) -> None:
        """Count what an address got wrong."""
        if not invalid or address in LOOPBACK:
            return
        self._left[address] = (self._compute_left(address, now_s) - invalid, now_s)
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)

    def _compute_left(self, address: str, now_s: float) -> float:
        left, noted_s = self._left.get(address, (float(INVALID_BURST), now_s))
        return min(float(INVALID_BURST), left + (now_s - noted_s) * INVALID_PER_S)
