"""What a peer said a moment ago with the same bytes: heard once, and not looked at again.

A correct replica repeats itself no sooner than it re-sends. Whoever repeats without pause, itself or others, would cost
everybody a decoding and a signature check each time.
"""

from collections import OrderedDict

ECHO_MS = 40
"""Below the shortest time between two re-sends, 50 ms."""

KEPT_PER_PEER_MAX = 256
"""More than a peer says in ECHO_MS, but for a flood: what that pushes out of here is looked at again, at its pace."""

PEERS_MAX = 128
"""Members, and some that were."""


class Echoes:
    """Remembers for a moment what each peer said, by a hash that nobody outside can aim at."""

    def __init__(self) -> None:
        self._heard: OrderedDict[bytes, OrderedDict[int, int]] = OrderedDict()

    def is_echo(self, peer: bytes, payload: bytes, now_ms: int) -> bool:
        """Tell whether the peer said just this within the last ECHO_MS, and remember that it did."""
        heard = self._heard.get(peer)
        if heard is None:
            heard = self._heard[peer] = OrderedDict()
            if len(self._heard) > PEERS_MAX:
                self._heard.popitem(last=False)
        name = hash(payload)
        heard_ms = heard.get(name)
        if heard_ms is not None and now_ms - heard_ms < ECHO_MS:
            return True
        heard[name] = now_ms
        heard.move_to_end(name)
        if len(heard) > KEPT_PER_PEER_MAX:
            heard.popitem(last=False)
        return False
