"""The links of a community in the kernel: a network namespace for each validator, and a router between them.

Cuts drop packets at the router in silence, so that TCP itself has to find out; rates are the router's queues (htb).
Delay, jitter and loss are netem's, which not every kernel has. Needs root. What is made here is named after the port
range of this process, and what a killed predecessor left under these names is taken away first.

    root namespace ── router ──┬── validator 0
      (clients)                ├── validator 1 …
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.integration.faulty_proxy import Hits, Weather
from tests.integration.links import Links
from tests.integration.ports import get_range_index

RATE_CALM = 125_000_000
"""A gigabit: no limit, for agreement."""
QUEUE_PACKETS = 1_000
"""What a router keeps for a slow link; beyond it packets are lost, as they are on a street."""
ROOT_PLACE = 254


def get_address(place: int) -> str:
    """Return where the validator of this number is; ROOT_PLACE is this process."""
    return f"10.{200 + get_range_index()}.{place}.2"


def get_namespace(place: int) -> str:
    """Return the name of a validator's namespace."""
    return f"gridbft-{get_range_index()}-{place}"


def get_router() -> str:
    """Return the name of the router's namespace."""
    return f"gridbft-{get_range_index()}-router"


class NamespaceLinks(Links):
    """Links whose weather the router's kernel makes."""

    def __init__(self, names: Sequence[str], *, has_netem: bool) -> None:
        super().__init__(names)
        self.kind = f"network namespaces, {'netem' if has_netem else 'cuts and rates without netem'}"
        self._has_netem = has_netem
        self._hits = Hits()
        self._places = {name: place for place, name in enumerate(names)}

    async def change(self, source: str, target: str, weather: Weather) -> None:
        """Give one direction its weather: a rule that drops it, a rate, and netem where there is one."""
        before = self.get_weather(source, target)
        one, other = self._places[source], self._places[target]
        if weather.is_cut != before.is_cut:
            await run(*rule("add" if weather.is_cut else "del", one, other))
            self._hits.held += weather.is_cut
        rate = weather.bytes_per_s or RATE_CALM
        if rate != (before.bytes_per_s or RATE_CALM):
            await run(
                *tc("class", "change", other, f"parent 1: classid 1:{one + 1:x} htb rate {8 * rate}bit")
            )
        if self._has_netem and build_netem(weather) != build_netem(before):
            await run(*tc("qdisc", "change", other, build_leaf(one, build_netem(weather))))
            self._hits.delayed += weather.delay_ms > 0
            self._hits.stalled += weather.stall_chance > 0

    async def reset(self, one: str, other: str) -> None:
        """Break the connections between two validators, where the kernel lets somebody else do that (``ss -K``)."""
        places = self._places[one], self._places[other]
        killed = await run(
            *(
                "ip",
                "netns",
                "exec",
                get_namespace(places[0]),
                "ss",
                "-K",
                "-H",
                "dst",
                get_address(places[1]),
            ),
            may_fail=True,
        )
        self._hits.reset += bool(killed.strip())

    async def read_hits(self) -> Hits:
        """Return what the router forwarded, and how often a direction was cut, slowed or made lossy."""
        statistics = await run("ip", "-n", get_router(), "-s", "-o", "link", "show", "type", "veth")
        self._hits.bytes = sum(
            int(line.split("RX:")[1].split("\\")[1].split()[0]) for line in statistics.splitlines()
        )
        return self._hits


def build_netem(weather: Weather) -> str:
    """Return the weather in netem's words; a stall is a lost packet."""
    loss = f" loss {100 * weather.stall_chance:g}%" if weather.stall_chance else ""
    jitter = f" {weather.jitter_ms:g}ms" if weather.jitter_ms else ""
    return f"netem limit {QUEUE_PACKETS} delay {weather.delay_ms:g}ms{jitter}{loss}"


def build_leaf(source: int, queue: str) -> str:
    """Return the end of a tc command about the queue of one source."""
    return f"parent 1:{source + 1:x} handle {source + 16:x}: {queue}"


def rule(verb: str, source: int, target: int) -> tuple[str, ...]:
    """Return the command that drops, or forwards again, what one validator sends to another."""
    ends = ("from", get_address(source), "to", get_address(target))
    return ("ip", "-n", get_router(), "rule", verb, "pref", "10", *ends, "blackhole")


def tc(what: str, verb: str, target: int, words: str) -> tuple[str, ...]:
    """Return a command about the queues of the router towards a validator."""
    return ("ip", "netns", "exec", get_router(), "tc", what, verb, "dev", f"to{target}", *words.split())


async def run(*command: str, may_fail: bool = False) -> str:
    """Run a command to its end and return what it says; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert may_fail or process.returncode == 0, f"{' '.join(command)}: {err.decode()}"
    return out.decode()


@asynccontextmanager
async def open_namespaces(names: Sequence[str]) -> AsyncIterator[NamespaceLinks]:
    """Make a namespace for each validator and the router; nothing of it stays."""
    has_netem = await can_delay()
    await remove(len(names))
    try:
        await build(len(names), "netem limit 1000" if has_netem else f"pfifo limit {QUEUE_PACKETS}")
        yield NamespaceLinks(names, has_netem=has_netem)
    finally:
        await remove(len(names))


async def build(count: int, queue: str) -> None:
    """Connect this process and ``count`` validators to a router."""
    router, index = get_router(), get_range_index()
    await run("ip", "netns", "add", router)
    await run("ip", "netns", "exec", router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    for place in (*range(count), ROOT_PLACE):
        near, inside = f"to{place}", ("-n", get_namespace(place)) if place != ROOT_PLACE else ()
        end = "eth0" if inside else f"gridbft{index}"
        if inside:
            await run("ip", "netns", "add", get_namespace(place))
            await run("ip", *inside, "link", "set", "lo", "up")
        peer = ("netns", get_namespace(place)) if inside else ("netns", str(os.getpid()))
        await run("ip", "-n", router, "link", "add", near, "type", "veth", "peer", "name", end, *peer)
        gateway = get_address(place).removesuffix("2") + "1"
        await run("ip", "-n", router, "addr", "add", f"{gateway}/24", "dev", near)
        await run("ip", "-n", router, "link", "set", near, "up")
        await run("ip", *inside, "addr", "add", f"{get_address(place)}/24", "dev", end)
        await run("ip", *inside, "link", "set", end, "up")
        network = "default" if inside else f"10.{200 + index}.0.0/16"
        await run("ip", *inside, "route", "add", network, "via", gateway)
    for target in range(count):
        await run(*tc("qdisc", "add", target, "root handle 1: htb"))
        for source in range(count):
            await shape(source, target, queue)


async def shape(source: int, target: int, queue: str) -> None:
    """Give what one validator sends to another a queue of its own; what others send is not queued."""
    number = f"{source + 1:x}"
    await run(
        *tc("class", "add", target, f"parent 1: classid 1:{number} htb rate {8 * RATE_CALM}bit quantum 60000")
    )
    await run(*tc("qdisc", "add", target, build_leaf(source, queue)))
    match = f"parent 1: protocol ip prio 1 u32 match ip src {get_address(source)}/32 flowid 1:{number}"
    await run(*tc("filter", "add", target, match))


async def remove(count: int) -> None:
    """Take everything away that ``build`` makes, whether it is there or not."""
    for place in range(count):
        await run("ip", "netns", "del", get_namespace(place), may_fail=True)
    await run("ip", "netns", "del", get_router(), may_fail=True)
    await run("ip", "link", "del", f"gridbft{get_range_index()}", may_fail=True)


async def can_delay() -> bool:
    """Tell whether the kernel has netem."""
    name = f"gridbft-{get_range_index()}-probe"
    try:
        await run("ip", "netns", "add", name)
        await run(
            *("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root"), "netem", "delay", "1ms"
        )
    except AssertionError:
        return False
    finally:
        await run("ip", "netns", "del", name, may_fail=True)
    return True


async def can_route() -> bool:
    """Tell whether namespaces, a router that drops, and its queues work here, by trying all of them."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "tc", "ss", "sysctl")):
        return False
    try:
        async with open_namespaces(["one", "other"]) as links:
            await links.set(Weather(bytes_per_s=10_000, is_cut=True))
            await links.heal()
    except AssertionError:
        return False
    return True
