"""A network under load: set up once, loaded again and again, every run with what it cost."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

import msgspec

from benchmarks.harness.load import LoadOrder, LoadResult, Unit, write_units
from benchmarks.harness.network import BenchNetwork, Place, found_network, running
from benchmarks.harness.processes import Usage, read_usage
from benchmarks.harness.workload import SLOTS_MAX, Meters, choose_opening
from meter.client import Client
from meter.outcomes import Committed
from primitives.ids import Digest
from vm.genesis import ConsensusParameters
from vm.transaction import SealedTransaction

READY_S = 60.0
POLL_S = 0.1
REGISTER_S = 300.0
SUSTAINED_P99_MS = 1000
PROCESS_SPARE_S = 120.0
"""What a load's process may take beyond its rate's time: it reads its transactions, and drains."""


class BenchError(Exception):
    """The benchmark cannot go on; one line says why."""


class Run(msgspec.Struct, frozen=True):
    """One load, and what it cost the validators.

    ``latency_ms`` are the percentiles from the 0th to the 100th of the confirmed ones (empty when there is none); the
    result bears no latencies of its own.
    """

    name: str
    adapter: str
    seconds: float
    result: LoadResult
    latency_ms: list[float]
    cpu_us_per_tx: float
    rss_mb: dict[str, float]
    wire_bytes_per_tx: float
    disk_bytes_per_tx: float
    blocks: int
    view_changes: int

    @property
    def p50_ms(self) -> float:
        """Return the median latency of the confirmed ones; infinite when there is none."""
        return self.latency_ms[50] if self.latency_ms else float("inf")

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile."""
        return self.latency_ms[99] if self.latency_ms else float("inf")

    @property
    def is_sustained(self) -> bool:
        """Tell whether the system kept up: everything confirmed, 99 of 100 within a second."""
        result = self.result
        return not result.lost and not result.refused and self.p99_ms < SUSTAINED_P99_MS


@dataclass
class Session:
    """A running network of registered meters. Each load takes the next of the readings that were never sent.

    ``sent`` names the readings of the newest load.
    """

    bench: BenchNetwork
    client: Client
    directory: Path
    meters: Meters
    tx_bytes: int = 0
    sent: list[bytes] = field(default_factory=list)
    _used: int = 0
    _source: Iterator[SealedTransaction] = field(default_factory=lambda: iter(()))

    def take(self, count: int) -> list[Unit]:
        """Return so many readings, signed now.

        Raises:
            BenchError: the meters have no more slots to report.

        """
        if self._used + count > self.meters.count * SLOTS_MAX:
            raise BenchError(f"{self.meters.count} meters have no more than {SLOTS_MAX} slots each to report")
        signed = list(self.meters.sign_readings(self._used, count))
        self._used += count
        self.tx_bytes = max(len(each.raw) for each in signed)
        return [Unit(bytes(each.id), each.raw) for each in signed]

    async def load(
        self,
        name: str,
        adapter: str,
        rate: float,
        seconds: float,
        *,
        drain_s: float = 20.0,
        is_one_by_one: bool = False,
    ) -> Run:
        """Load the network at a rate, or with as many one by one, and return what came of it."""
        units = await asyncio.to_thread(self.take, max(1, round(rate * seconds)))
        self.sent = [unit.name for unit in units]
        order = LoadOrder(
            adapter,
            list(self.bench.urls),
            str(self.bench.network.homes[0] / "genesis.bin"),
            rate,
            drain_s,
            is_one_by_one=is_one_by_one,
        )
        before, wire, view_changes, height = await self._look()
        result = await run_process(self.directory, order, units, seconds + drain_s + PROCESS_SPARE_S)
        after, wire_after, view_changes_after, height_after = await self._look()
        shared = [each for each in before if each in after]
        applied = max(1, result.confirmed)
        return Run(
            name=name,
            adapter=adapter,
            seconds=seconds,
            result=msgspec.structs.replace(result, latencies_ms=[]),
            latency_ms=compute_percentiles(result.latencies_ms),
            cpu_us_per_tx=round(
                1e6 * sum(after[each].cpu_s - before[each].cpu_s for each in shared) / applied, 1
            ),
            rss_mb={each: round(usage.rss_mb, 1) for each, usage in after.items()},
            wire_bytes_per_tx=round((wire_after - wire) / applied, 1),
            disk_bytes_per_tx=round(
                sum(after[each].written - before[each].written for each in shared) / applied / len(shared), 1
            ),
            blocks=height_after - height,
            view_changes=view_changes_after - view_changes,
        )

    def read_usages(self) -> dict[str, Usage]:
        """Return what each running validator has used so far."""
        return {name: read_usage(pid) for name, pid in self.bench.process_ids.items()}

    async def _look(self) -> tuple[dict[str, Usage], int, int, int]:
        """Return usage by validator, bytes between them, view changes and height so far."""
        answers = await self.client.get_statuses()
        statuses = [each for each in answers.values() if not isinstance(each, str)]
        sent = sum(int(str(peer.get("bytes_out", 0))) for status in statuses for peer in status.peers)
        view_changes = max((status.view_changes for status in statuses), default=0)
        return self.read_usages(), sent, view_changes, max((status.height for status in statuses), default=0)


@asynccontextmanager
async def open_session(
    validators: int = 4,
    meters: int = 1000,
    *,
    places: Sequence[Place] | None = None,
    consensus: ConsensusParameters | None = None,
) -> AsyncIterator[Session]:
    """Make a network in a temporary directory, start it, register meters; everything is removed at the end.

    Without ``places`` all validators are on the loopback interface.

    Raises:
        BenchError: the validators did not find each other, or a meter was refused.

    """
    with tempfile.TemporaryDirectory(prefix="gridbft-bench-") as name:
        directory = Path(name)
        bench = found_network(directory / "net", places or [Place()] * validators, consensus)
        plan = Meters(
            meters, choose_opening(int(time() * 1000), SLOTS_MAX), Digest(bench.anchor.genesis_hash)
        )
        async with running(bench) as client:
            await await_links(client, len(bench.urls))
            await _register(client, bench, plan)
            yield Session(bench, client, directory, plan)


async def run_process(directory: Path, order: LoadOrder, units: list[Unit], timeout_s: float) -> LoadResult:
    """Run a load in a process of its own.

    Raises:
        BenchError: it failed.

    """
    paths = [directory / name for name in ("order.json", "units.bin", "result.json")]
    paths[0].write_bytes(msgspec.json.encode(order))
    write_units(paths[1], units)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.harness.load", *map(str, paths), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_s):
            _, words = await process.communicate()
    except TimeoutError:
        raise BenchError(f"a load did not end within {timeout_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = words.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise BenchError(f"a load failed: {lines[-1]}")
    return msgspec.json.decode(paths[2].read_bytes(), type=LoadResult)


def compute_percentiles(values: list[float]) -> list[float]:
    """Return the percentiles from the 0th to the 100th by nearest rank; nothing of nothing."""
    ordered = sorted(values)
    return (
        [ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in range(101)] if ordered else []
    )


async def await_links(client: Client, validators: int) -> None:
    """Wait until every validator is linked to every other.

    Raises:
        BenchError: they did not find each other in time.

    """
    end_s = monotonic() + READY_S
    while monotonic() < end_s:
        if await _are_linked(client, validators):
            return
        await asyncio.sleep(POLL_S)
    raise BenchError(f"the validators did not find each other within {READY_S:.0f} s")


async def _are_linked(client: Client, validators: int) -> bool:
    statuses = [each for each in (await client.get_statuses()).values() if not isinstance(each, str)]
    return len(statuses) == validators and all(
        sum(bool(peer.get("connected")) for peer in status.peers) == validators - 1 for status in statuses
    )


async def _register(client: Client, bench: BenchNetwork, meters: Meters) -> None:
    label = bench.utility.label
    registrations = list(meters.sign_registrations(bench.utility.key, label.account, 1))
    for first in range(0, len(registrations), 1000):
        outcomes = await client.deliver_many(registrations[first : first + 1000], REGISTER_S)
        wrong = next((each for each in outcomes if not isinstance(each, Committed)), None)
        if wrong is not None:
            raise BenchError(f"a meter was not registered: {wrong}")
