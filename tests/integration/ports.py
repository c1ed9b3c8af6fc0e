"""Ports for validators, different ones for every process that runs tests on this machine."""

import fcntl
import socket
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import TextIO

PORTS_FIRST = 22_000
PORTS_PER_RUN = 1_000
RUNS_MAX = 10
"""Below the ports that the kernel gives to outgoing connections (32768 on): else a killed validator may find its port
taken by somebody's connection when it comes back."""

_numbers = count()


@cache
def _claim_range() -> tuple[int, TextIO]:
    """Return the first port of a range that is this process's until it ends, with the file whose lock says so.

    A port that was free when it was chosen is not enough: a killed validator does not listen, and another test run
    would take its port.
    """
    for index in range(RUNS_MAX):
        path = Path(tempfile.gettempdir()) / f"gridbft-test-ports-{index}.lock"
        file = path.open("a", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return PORTS_FIRST + index * PORTS_PER_RUN, file
    raise AssertionError(
        f"more than {RUNS_MAX} processes run tests of real validators here: wait for one to end"
    )


def get_range_index() -> int:
    """Return the number of this process's range: a name for whatever else must not be shared."""
    return (_claim_range()[0] - PORTS_FIRST) // PORTS_PER_RUN


def find_free_ports(wanted: int) -> list[int]:
    """Return ports of this process's range that nobody listens on."""
    first, _ = _claim_range()
    found: list[int] = []
    while len(found) < wanted:
        port = first + next(_numbers) % PORTS_PER_RUN
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found
