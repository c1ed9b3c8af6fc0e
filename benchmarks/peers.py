"""Other systems beside gridbft in one run: the same load to one after the other, again and again.

`python -m benchmarks.peers ORDER.json -o benchmarks/results/peers.json`

The peers run already; their user started them. Of all systems one runs at a time: the order names a command that lets a
peer go on and one that stops it, and gridbft's validators are stopped with SIGSTOP. In each round every system has its
turn, beginning with another one: a warm-up, then each rate.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import time

import msgspec

from benchmarks.adapters import NAMES
from benchmarks.harness.load import LoadOrder, LoadResult, Unit
from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.processes import Usage, read_usage
from benchmarks.harness.results import write_result
from benchmarks.harness.session import (
    PROCESS_SPARE_S,
    SUSTAINED_P99_MS,
    BenchError,
    Session,
    await_links,
    compute_percentiles,
    open_session,
    run_process,
)
from benchmarks.harness.workload import SLOTS_MAX, Meters, choose_opening
from cli.console import talk
from primitives.ids import Digest

OWN = "gridbft"
"""Adapters that begin with it load the network that this program starts."""
ORDER_BYTES_MAX = 64 * 1024
HOOK_S = 60.0
"""What a command that stops a peer, or lets it go on, may take."""
WARM_UP_RATE = 100.0
VALIDATORS = 4
NO_CHAIN = Digest(bytes(32))
"""The genesis hash for which the peers' readings are signed: an application of theirs may check them against it."""


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system under load. ``not_equal`` says in what its work is not that of gridbft; it stands beside every figure.

    ``resume`` and ``pause`` are commands as lists of words; ``pid_files`` name its processes, whose use is told.
    """

    name: str
    adapter: str
    not_equal: str
    members: int = VALIDATORS
    version: str = ""
    urls: list[str] = []
    resume: list[str] = []
    pause: list[str] = []
    pid_files: list[str] = []

    @property
    def is_own(self) -> bool:
        """Tell whether this program starts it."""
        return self.adapter.startswith(OWN)


class PeersOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to compare: rates are transactions per second, and ``drain_s`` is waited for what is not confirmed."""

    systems: list[System]
    rates: list[float]
    seconds: float = 5.0
    warm_up_s: float = 2.0
    repeats: int = 5
    meters: int = 1000
    drain_s: float = 5.0


class PeerRun(msgspec.Struct, frozen=True):
    """One load of one system; use of processor and memory only where its processes are known."""

    system: str
    round: int
    result: LoadResult
    latency_ms: list[float]
    cpu_us_per_tx: float | None
    rss_mb: float | None


class Figure(msgspec.Struct, frozen=True):
    """A system at a rate: medians over the rounds, and what is not equal. ``sustained`` counts rounds that kept up.

    Latencies are null when nothing was confirmed, use of processor and memory where its processes are not known.
    """

    system: str
    version: str
    adapter: str
    members: int
    not_equal: str
    offered_tx_s: float
    achieved_tx_s: float
    sustained: int
    rounds: int
    p50_ms: float
    p99_ms: float
    cpu_us_per_tx: float | None
    rss_mb: float | None


class Comparison(msgspec.Struct, frozen=True):
    """Everything that was seen, with its set-up."""

    question: str
    idle: str
    machine: Machine
    t_verify_us: float
    t_verify_us_after: float
    limit_tx_s: float
    tx_bytes: int
    seconds: float
    warm_up_s: float
    drain_s: float
    repeats: int
    figures: list[Figure]
    runs: list[PeerRun]


@dataclass
class _Peer:
    """Hands one peer the same readings as gridbft, each once."""

    system: System
    meters: Meters
    directory: Path
    drain_s: float
    _used: int = 0

    async def load(self, rate: float, seconds: float, number: int) -> PeerRun:
        count = max(1, round(rate * seconds))
        signed = await asyncio.to_thread(lambda: list(self.meters.sign_readings(self._used, count)))
        self._used += count
        units = [Unit(bytes(each.id), each.raw) for each in signed]
        order = LoadOrder(self.system.adapter, self.system.urls, "", rate, self.drain_s)
        before = self._read_usages()
        result = await run_process(self.directory, order, units, seconds + self.drain_s + PROCESS_SPARE_S)
        after = self._read_usages()
        used_s = sum(each.cpu_s for each in after) - sum(each.cpu_s for each in before)
        return PeerRun(
            system=self.system.name,
            round=number,
            result=msgspec.structs.replace(result, latencies_ms=[]),
            latency_ms=compute_percentiles(result.latencies_ms),
            cpu_us_per_tx=round(1e6 * used_s / max(1, result.confirmed), 1) if after else None,
            rss_mb=round(max(each.rss_mb for each in after), 1) if after else None,
        )

    def _read_usages(self) -> list[Usage]:
        try:
            pids = [int(Path(each).read_text(encoding="ascii")) for each in self.system.pid_files]
            return [read_usage(pid) for pid in pids]
        except (OSError, ValueError) as error:
            raise BenchError(f"{self.system.name}: its processes cannot be looked at ({error})") from None


@dataclass
class _Comparing:
    """The systems of an order, of which one runs at a time."""

    order: PeersOrder
    session: Session
    peers: dict[str, _Peer]
    runs: list[PeerRun] = field(default_factory=list)

    async def run(self) -> None:
        """Give each system its turn in each round."""
        async with self._all_paused():
            for number in range(self.order.repeats):
                for system in rotate_systems(self.order.systems, number):
                    await self._take_turn(system, number)

    async def _take_turn(self, system: System, number: int) -> None:
        await self._resume(system)
        try:
            await self._load(system, WARM_UP_RATE, self.order.warm_up_s, number)
            for rate in self.order.rates:
                run = await self._load(system, rate, self.order.seconds, number)
                self.runs.append(run)
                shown = ", ".join(f"p{each} {get_percentile(run, each):.1f} ms" for each in (50, 99))
                talk(
                    f"{system.name}: {rate:.0f} tx/s offered, {run.result.achieved_tx_s:.0f} confirmed, {shown},"
                    f" {run.cpu_us_per_tx or float('nan'):.0f} us of CPU each"
                )
        finally:
            await self._pause(system)

    async def _load(self, system: System, rate: float, seconds: float, number: int) -> PeerRun:
        if not system.is_own:
            return await self.peers[system.name].load(rate, seconds, number)
        run = await self.session.load(system.name, system.adapter, rate, seconds, drain_s=self.order.drain_s)
        return PeerRun(
            system=system.name,
            round=number,
            result=run.result,
            latency_ms=run.latency_ms,
            cpu_us_per_tx=run.cpu_us_per_tx,
            rss_mb=max(run.rss_mb.values()),
        )

    @asynccontextmanager
    async def _all_paused(self) -> AsyncIterator[None]:
        """Stop everybody before the first turn; at the end our own go on, so that they can end well."""
        try:
            for system in self.order.systems:
                await self._pause(system)
            yield
        finally:
            self._signal_own(signal.SIGCONT)

    async def _resume(self, system: System) -> None:
        if system.is_own:
            self._signal_own(signal.SIGCONT)
            await await_links(self.session.client, VALIDATORS)
        else:
            await _run_hook(system.name, system.resume)

    async def _pause(self, system: System) -> None:
        if system.is_own:
            self._signal_own(signal.SIGSTOP)
        else:
            await _run_hook(system.name, system.pause)

    def _signal_own(self, number: signal.Signals) -> None:
        for pid in self.session.bench.process_ids.values():
            with suppress(ProcessLookupError):  # it has just ended, which the next look at it tells
                os.kill(pid, number)


async def measure(order: PeersOrder) -> Comparison:
    """Compare the systems of an order.

    Raises:
        BenchError: a system cannot be loaded, stopped or looked at.

    """
    machine, t_verify = describe_machine(), measure_verify_us()
    async with open_session(VALIDATORS, order.meters) as session:
        # Another seed each time: a peer that still runs must not know the readings of the last comparison.
        plan = Meters(order.meters, choose_opening(int(time() * 1000), SLOTS_MAX), NO_CHAIN, seed=int(time()))
        peers = {
            each.name: _Peer(each, plan, session.directory, order.drain_s)
            for each in order.systems
            if not each.is_own
        }
        comparing = _Comparing(order, session, peers)
        await comparing.run()
        tx_bytes = session.tx_bytes
    return Comparison(
        question="the same load to each system, one at a time, alternating; medians over the rounds",
        idle="the systems whose turn it is not are stopped: ours with SIGSTOP, the others by the order's commands",
        machine=machine,
        t_verify_us=t_verify,
        t_verify_us_after=measure_verify_us(),
        limit_tx_s=round(machine["cpus"] / (VALIDATORS * t_verify) * 1e6, 1),
        tx_bytes=tx_bytes,
        seconds=order.seconds,
        warm_up_s=order.warm_up_s,
        drain_s=order.drain_s,
        repeats=order.repeats,
        figures=list(summarise(order, comparing.runs)),
        runs=comparing.runs,
    )


def rotate_systems(systems: Sequence[System], number: int) -> list[System]:
    """Return the systems in the order of a round: each round begins with another one."""
    first = number % len(systems)
    return [*systems[first:], *systems[:first]]


def summarise(order: PeersOrder, runs: Sequence[PeerRun]) -> Iterator[Figure]:
    """Yield the figure of each system at each rate."""
    for system in order.systems:
        for rate in order.rates:
            found = [run for run in runs if (run.system, run.result.offered_tx_s) == (system.name, rate)]
            cpu = [run.cpu_us_per_tx for run in found if run.cpu_us_per_tx is not None]
            rss = [run.rss_mb for run in found if run.rss_mb is not None]
            yield Figure(
                system=system.name,
                version=version(OWN) if system.is_own else system.version,
                adapter=system.adapter,
                members=system.members,
                not_equal=system.not_equal,
                offered_tx_s=rate,
                achieved_tx_s=median(run.result.achieved_tx_s for run in found),
                sustained=sum(is_sustained(run) for run in found),
                rounds=len(found),
                p50_ms=median(get_percentile(run, 50) for run in found),
                p99_ms=median(get_percentile(run, 99) for run in found),
                cpu_us_per_tx=median(cpu) if cpu else None,
                rss_mb=max(rss) if rss else None,
            )


def is_sustained(run: PeerRun) -> bool:
    """Tell whether everything was confirmed, 99 of 100 within a second."""
    return not run.result.lost and not run.result.refused and get_percentile(run, 99) < SUSTAINED_P99_MS


def get_percentile(run: PeerRun, percent: int) -> float:
    """Return a percentile of a run's latencies; infinite when nothing was confirmed."""
    return run.latency_ms[percent] if run.latency_ms else float("inf")


def read_order(path: Path) -> PeersOrder:
    """Return the order of a file.

    Raises:
        BenchError: it cannot be read, or does not say what it must.

    """
    try:
        with path.open("rb") as file:
            content = file.read(ORDER_BYTES_MAX + 1)
        if len(content) > ORDER_BYTES_MAX:
            raise BenchError(f"{path}: longer than {ORDER_BYTES_MAX} bytes")
        order = msgspec.json.decode(content, type=PeersOrder)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from None
    except msgspec.DecodeError as error:
        raise BenchError(f"{path}: {error}") from None
    problem = next(find_problems(order), None)
    if problem is not None:
        raise BenchError(f"{path}: {problem}")
    return order


def find_problems(order: PeersOrder) -> Iterator[str]:
    """Yield what is wrong with an order."""
    names = [system.name for system in order.systems]
    if not names or len(set(names)) != len(names):
        yield "each system has a name of its own, and there is at least one"
    if not order.rates or min(order.rates) <= 0 or len(set(order.rates)) != len(order.rates):
        yield "rates are different numbers above zero"
    if min(order.seconds, order.warm_up_s, order.drain_s, order.repeats, order.meters) <= 0:
        yield "seconds, warm_up_s, drain_s, repeats and meters are above zero"
    for system in order.systems:
        if system.adapter not in NAMES:
            yield f"{system.name}: no adapter {system.adapter!r}; there are {', '.join(NAMES)}"
        if not system.not_equal:
            yield f"{system.name}: not_equal must say in what its work differs"
        if system.is_own and (system.urls or system.resume or system.pause or system.pid_files):
            yield f"{system.name}: this program starts it; it has no addresses, commands or processes"
        if not system.is_own and not (system.urls and system.resume and system.pause and system.version):
            yield f"{system.name}: a peer needs urls, version, resume and pause"


def render_table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table of Markdown, what is not equal in the last column."""
    rows = [
        "| system | offered tx/s | confirmed tx/s | p50 / p99, ms | kept up | CPU, µs/tx | memory, MB | not equal |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for each in figures:
        used = f"{each.cpu_us_per_tx or 0:,.0f} | {each.rss_mb or 0:.0f}" if each.rss_mb else "– | –"
        rows.append(
            f"| {each.system} | {each.offered_tx_s:,.0f} | {each.achieved_tx_s:,.0f}"
            f" | {each.p50_ms:.0f} / {each.p99_ms:.0f} | {each.sustained} of {each.rounds}"
            f" | {used} | {each.not_equal} |"
        )
    return "\n".join(rows)


async def _run_hook(name: str, command: list[str]) -> None:
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr)
    except OSError as error:
        raise BenchError(f"{name}: {command[0]}: {error.strerror or error}") from None
    try:
        async with asyncio.timeout(HOOK_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise BenchError(f"{name}: {' '.join(command)} did not end within {HOOK_S:.0f} s") from None
    if code:
        raise BenchError(f"{name}: {' '.join(command)} ended with {code}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare what the order names and write what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("order", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args(arguments)
    try:
        order = read_order(given.order)
        # Whoever ends this program must not leave validators behind that are stopped and never hear of it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("peers: stopped"))
        found = asyncio.run(measure(order))
    except BenchError as error:
        sys.exit(f"peers: {error}")
    print(render_table(found.figures))
    write_result(found, given.output)


if __name__ == "__main__":
    main()
