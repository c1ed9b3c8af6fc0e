"""A line for each validator: a network namespace of its own behind a router that lets so many bits a second through.

    this process ── router ──┬── validator 0
      (clients)              ├── validator 1 …

All links of a validator share its line, in both directions; its clients sit in its house, and what they say is not
limited. What waits for a line is in a queue of so many bytes, and lost beyond it. Needs root, ip and tc; one street at
a time on a machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.confined.commands import need, run
from benchmarks.harness.session import BenchError

NETWORK = "10.197"
ROUTER = "gridbft-bench-router"
NEAR_END = "gridbft-bench"
ROOT_PLACE = 254
FREE_BITS = 1_000_000_000
QUEUE_BYTES = 256 * 1024
"""What a router at home keeps for a slow line: two seconds at 1 Mbit/s."""
PLACES_MAX = 200


def get_address(place: int) -> str:
    """Return where a validator is."""
    return f"{NETWORK}.{place}.2"


def get_namespace(place: int) -> str:
    """Return a validator's namespace."""
    return f"gridbft-bench-{place}"


@contextmanager
def open_street(count: int, bits_per_s: float) -> Iterator[None]:
    """Make namespaces and lines for so many validators; nothing of it stays.

    Raises:
        BenchError: the machine cannot; the line says what is missing.

    """
    need(("ip", "tc", "sysctl"), "a line for each validator")
    if os.geteuid() != 0:
        raise BenchError("a line for each validator needs root: network namespaces are made")
    if count > PLACES_MAX:
        raise BenchError(f"{count} validators: a street has {PLACES_MAX} houses at most")
    _remove(count)
    try:
        _build(count, bits_per_s)
        yield
    finally:
        _remove(count)


def count_line_bytes(place: int) -> int:
    """Return what a validator has sent over its line so far, retransmissions and headers included."""
    words = run("tc", "-n", get_namespace(place), "-s", "class", "show", "dev", "eth0", "classid", "1:2")
    for line in words.splitlines():
        fields = line.split()
        if fields[:1] == ["Sent"]:
            return int(fields[1])
    raise BenchError(f"tc shows nothing of the line of {get_namespace(place)}")


def _build(count: int, bits_per_s: float) -> None:
    run("ip", "netns", "add", ROUTER)
    run("ip", "netns", "exec", ROUTER, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    _connect(ROOT_PLACE, None, NEAR_END)
    for place in range(count):
        run("ip", "netns", "add", get_namespace(place))
        run("ip", "-n", get_namespace(place), "link", "set", "lo", "up")
        _connect(place, get_namespace(place), "eth0")
        root = f"{get_address(ROOT_PLACE)}/32"
        _limit(get_namespace(place), "eth0", f"ip dst {root}", bits_per_s)
        _limit(ROUTER, f"to{place}", f"ip src {root}", bits_per_s)


def _connect(place: int, namespace: str | None, end: str) -> None:
    """Join a place to the router."""
    inside = () if namespace is None else ("-n", namespace)
    near, gateway = f"to{place}", f"{NETWORK}.{place}.1"
    where = str(os.getpid()) if namespace is None else namespace
    run("ip", "-n", ROUTER, "link", "add", near, "type", "veth", "peer", "name", end, "netns", where)
    run("ip", "-n", ROUTER, "addr", "add", f"{gateway}/24", "dev", near)
    run("ip", "-n", ROUTER, "link", "set", near, "up")
    run("ip", *inside, "addr", "add", f"{get_address(place)}/24", "dev", end)
    run("ip", *inside, "link", "set", end, "up")
    run(
        "ip", *inside, "route", "add", f"{NETWORK}.0.0/16" if namespace is None else "default", "via", gateway
    )


def _limit(namespace: str, device: str, free: str, bits_per_s: float) -> None:
    """Let so many bits a second out of a device; what matches ``free`` is not counted."""
    tc = ("tc", "-n", namespace)
    on = ("dev", device)
    run(*tc, "qdisc", "add", *on, "root", "handle", "1:", "htb", "default", "2")
    for number, rate in ((1, FREE_BITS), (2, int(bits_per_s))):
        words = f"classid 1:{number} htb rate {rate}bit quantum 1514"
        run(*tc, "class", "add", *on, "parent", "1:", *words.split())
    run(*tc, "qdisc", "add", *on, "parent", "1:2", "bfifo", "limit", str(QUEUE_BYTES))
    match = f"protocol ip prio 1 u32 match {free} flowid 1:1"
    run(*tc, "filter", "add", *on, "parent", "1:", *match.split())


def _remove(count: int) -> None:
    """Take away what is there of a street, whoever left it."""
    for place in range(count):
        run("ip", "netns", "del", get_namespace(place), may_fail=True)
    run("ip", "netns", "del", ROUTER, may_fail=True)
    run("ip", "link", "del", NEAR_END, may_fail=True)
