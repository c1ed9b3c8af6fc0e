"""What systemd is told: that the node listens, how it stands, that it lives, and that it stops (sd_notify(3)).

Datagrams to the socket that ``NOTIFY_SOCKET`` names; without one nothing is said. The node is ready when it has
recovered and listens, not when it follows: it follows only with a quorum of others, who may be waiting for it.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from primitives.text import to_line

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PROCESS_VARIABLE = "WATCHDOG_PID"

STATUS_PERIOD_S = 10.0
"""How often the line of `systemctl status` is brought up to date."""

WATCHDOG_SHARE = 3
"""Signs of life in one period of the watchdog: two may be late on a busy machine."""

STATUS_CHARACTERS_MAX = 400
"""What a person reads in one line."""


class Supervisor:
    """The one who started this process, if it wants to hear of it; ``address`` is None when nobody does."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.period_s = STATUS_PERIOD_S
        if watchdog_s is not None:
            self.period_s = min(STATUS_PERIOD_S, watchdog_s / WATCHDOG_SHARE)

    def tell_ready(self) -> None:
        """Say that the node has recovered and listens; saying it again does no harm."""
        self._send("READY=1")

    def tell_stopping(self) -> None:
        """Say that the node ends by itself or was asked to."""
        self._send("STOPPING=1")

    async def watch(self, find_dead_reason: Callable[[], str | None], describe: Callable[[], str]) -> None:
        """Say how the node stands, and while it lives that it does, until cancelled."""
        while self._address is not None:
            reason = find_dead_reason()
            if reason is None:
                self._send(f"STATUS={to_line(describe(), STATUS_CHARACTERS_MAX)}\nWATCHDOG=1")
            else:
                self._send(f"STATUS={to_line(reason, STATUS_CHARACTERS_MAX)}")
            await asyncio.sleep(self.period_s)

    def _send(self, text: str) -> None:
        """Send one datagram; a supervisor that does not read its socket is its own trouble, not the node's."""
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.settimeout(0)
            link.sendto(text.encode(), self._address)


def find_supervisor(environment: Mapping[str, str]) -> Supervisor:
    """Return who supervises this process, as the environment says; nonsense there is as if nobody did."""
    address = environment.get(SOCKET_VARIABLE, "")
    if not address.startswith(("/", "@")):
        return Supervisor()
    watchdog = environment.get(WATCHDOG_VARIABLE, "")
    is_own = environment.get(WATCHDOG_PROCESS_VARIABLE, str(os.getpid())) == str(os.getpid())
    watchdog_s = int(watchdog) / 1e6 if is_own and watchdog.isdecimal() and int(watchdog) else None
    return Supervisor("\0" + address[1:] if address.startswith("@") else address, watchdog_s)
