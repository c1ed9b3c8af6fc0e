"""Question 1, and a look at 4: what the network takes, how long a transaction then needs, what a dead primary costs.

The limit of a machine is cores / (validators x t_verify): so much it could commit if checking signatures were all that
there is to do. Rates are stated as a fraction of it. The sustained rate is the highest at which everything is
confirmed, 99 of 100 within a second, in more than half of the repeats.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from benchmarks.faults import choose_victims, kill_later
from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.session import BenchError, Run, Session, open_session

BATCH, SINGLE = "gridbft-stream", "gridbft-single"
"""Many in one message of a websocket, and each in a request of its own."""
CLIMB = 1.3
FIRST_FRACTION = 0.08
"""The search begins at this fraction of the limit, which every machine so far has sustained."""
BACK_OFF = 0.85
FAILOVER_FRACTION = 0.3
IDLE_TX_S = 4.0
"""One at a time: the network is idle between two of them."""
ONE_CLIENT_TX_S = 60.0
"""So many for each second of a probe, one after the other without a pause."""


@dataclass(frozen=True)
class Profile:
    """How long and how often: seconds of a probe and of a measured load, repeats of each."""

    name: str
    validators: int = 4
    meters: int = 1000
    probe_s: float = 4.0
    load_s: float = 10.0
    repeats: int = 5
    refinements: int = 3
    search_steps: int = 16
    kill_after_s: float = 3.0


PROFILES = {
    each.name: each
    for each in (
        Profile("short", probe_s=3.0, load_s=5.0, repeats=3, refinements=2),
        Profile("standard", probe_s=3.0, load_s=6.0, refinements=2),
        Profile(
            "smoke",
            meters=20,
            probe_s=0.5,
            load_s=0.5,
            repeats=1,
            refinements=0,
            search_steps=1,
            kill_after_s=1.0,
        ),
    )
}


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds: medians over the repeats."""

    p50: float
    p99: float


class Report(msgspec.Struct, frozen=True):
    """A run of the suite, as JSON; medians over repeats, ``runs`` has every one of them."""

    validators: int
    tx_bytes: int
    t_verify_us: float
    limit_tx_s: float
    sustained_tx_s: float
    fraction_of_limit: float
    single_post_fraction: float
    cpu_us_per_tx: float
    latency_ms: dict[str, Percentiles]
    rss_mb: dict[str, float]
    failover_s: float
    lost: int
    duplicated: int
    wire_amplification: float
    runs: list[Run]
    profile: str
    t_verify_us_after: float
    cpu_per_verify: float
    machine: Machine


async def measure(profile: Profile, tell: Callable[[str], None]) -> Report:
    """Run the profile.

    Raises:
        BenchError: the network did not do what a healthy one does.

    """
    machine, t_verify = describe_machine(), measure_verify_us()
    limit = machine["cpus"] / (profile.validators * t_verify) * 1e6
    tell(f"one signature check takes {t_verify} us: the limit of this machine is {limit:.0f} tx/s")
    async with open_session(profile.validators, profile.meters) as session:
        idle_mb = _get_largest_rss(session)
        suite = _Suite(session, profile, limit, tell)
        await suite.warm_up()
        idle = await suite.measure_idle()
        one_client = await suite.measure_one_client()
        sustained, at_peak = await suite.find_sustained(BATCH)
        single, _ = await suite.find_sustained(SINGLE)
        latencies = await suite.measure_latencies(sustained)
        failover = await suite.fail_over(sustained)
        after_mb = _get_largest_rss(session)
        tx_bytes = session.tx_bytes
    cpu_us = median(run.cpu_us_per_tx for run in at_peak)
    return Report(
        validators=profile.validators,
        tx_bytes=tx_bytes,
        t_verify_us=t_verify,
        limit_tx_s=round(limit, 1),
        sustained_tx_s=round(sustained, 1),
        fraction_of_limit=round(sustained / limit, 3),
        single_post_fraction=round(single / limit, 3),
        cpu_us_per_tx=cpu_us,
        latency_ms={"idle": idle, "one_client": one_client, **latencies},
        rss_mb={"idle": idle_mb, "after": after_mb},
        failover_s=failover.result.longest_gap_s,
        lost=sum(run.result.lost for run in suite.measured),
        duplicated=sum(run.result.duplicated for run in suite.measured),
        wire_amplification=round(median(run.wire_bytes_per_tx for run in at_peak) / tx_bytes, 2),
        runs=suite.runs,
        profile=profile.name,
        t_verify_us_after=measure_verify_us(),
        cpu_per_verify=round(cpu_us / (profile.validators * t_verify), 2),
        machine=machine,
    )


class _Suite:
    """The loads of one run, one after the other on one network."""

    def __init__(self, session: Session, profile: Profile, limit: float, tell: Callable[[str], None]) -> None:
        self._session = session
        self._profile = profile
        self._limit = limit
        self._tell = tell
        self.runs: list[Run] = []
        self.measured: list[Run] = []
        """Those below saturation: none of their transactions may be lost."""

    async def warm_up(self) -> None:
        await self._load("warm-up", BATCH, FIRST_FRACTION * self._limit, self._profile.probe_s)

    async def find_sustained(self, adapter: str) -> tuple[float, list[Run]]:
        """Return the median of what was confirmed per second in the repeats at the sustained rate, and the repeats."""
        rate = await self._search(adapter)
        for _ in range(self._profile.search_steps):
            repeats = [
                await self._load(f"sustained {adapter}", adapter, rate, self._profile.load_s)
                for _ in range(self._profile.repeats)
            ]
            good = [run for run in repeats if run.is_sustained]
            if 2 * len(good) > len(repeats):
                self.measured += good
                return median(run.result.achieved_tx_s for run in good), good
            rate *= BACK_OFF
        raise BenchError(f"no rate of {adapter} was sustained")

    async def measure_idle(self) -> Percentiles:
        """Return latencies of one transaction at a time; before the loads, after which stores merge for a while."""
        runs = [
            await self._load("idle", BATCH, IDLE_TX_S, self._profile.load_s)
            for _ in range(self._profile.repeats)
        ]
        self.measured += runs
        return _summarise(runs)

    async def measure_one_client(self) -> Percentiles:
        """Return latencies of a client that sends the next one when it believes the one before."""
        runs = [
            await self._load("one client", BATCH, ONE_CLIENT_TX_S, self._profile.probe_s, is_one_by_one=True)
            for _ in range(self._profile.repeats)
        ]
        self.measured += runs
        return _summarise(runs)

    async def measure_latencies(self, sustained: float) -> dict[str, Percentiles]:
        """Return latencies at 10, 50 and 90 % of the sustained rate."""
        loads = {f"load{percent}": sustained * percent / 100 for percent in (10, 50, 90)}
        found: dict[str, list[Run]] = {name: [] for name in loads}
        for _ in range(self._profile.repeats):
            for name, rate in loads.items():
                found[name].append(await self._load(name, BATCH, rate, self._profile.load_s))
        for name, runs in found.items():
            self.measured += runs if name != "load90" else []
        return {name: _summarise(runs) for name, runs in found.items()}

    async def fail_over(self, sustained: float) -> Run:
        """Kill the primary under load, start it again after it, and return the run."""
        victims = await choose_victims(self._session, "primary")
        seconds = max(self._profile.load_s, 2 * self._profile.kill_after_s)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_later(victims, self._profile.kill_after_s, is_restarted=False))
            loading = tasks.create_task(
                self._load("primary killed", BATCH, FAILOVER_FRACTION * sustained, seconds)
            )
        for victim in victims:
            victim.start()
        self.measured.append(loading.result())
        return loading.result()

    async def _search(self, adapter: str) -> float:
        """Return the highest rate that one probe sustained: climb, then halve the distance."""
        good, bad = 0.0, 0.0
        rate = FIRST_FRACTION * self._limit
        for _ in range(self._profile.search_steps):
            run = await self._load(f"probe {adapter}", adapter, rate, self._profile.probe_s)
            if run.is_sustained:
                good, rate = rate, rate * CLIMB
            else:
                bad = rate
                break
        for _ in range(self._profile.refinements if bad else 0):
            rate = (good + bad) / 2
            run = await self._load(f"probe {adapter}", adapter, rate, self._profile.probe_s)
            good, bad = (rate, bad) if run.is_sustained else (good, rate)
        return good or FIRST_FRACTION * self._limit / 2

    async def _load(
        self, name: str, adapter: str, rate: float, seconds: float, *, is_one_by_one: bool = False
    ) -> Run:
        run = await self._session.load(name, adapter, rate, seconds, is_one_by_one=is_one_by_one)
        self.runs.append(run)
        self._tell(
            f"{name}: {rate:.0f} tx/s offered, {run.result.achieved_tx_s:.0f} confirmed,"
            f" p50 {run.p50_ms:.1f} ms, p99 {run.p99_ms:.1f} ms, {run.cpu_us_per_tx:.0f} us of CPU each"
        )
        return run


def _summarise(runs: Sequence[Run]) -> Percentiles:
    return Percentiles(
        round(median(run.p50_ms for run in runs), 2), round(median(run.p99_ms for run in runs), 2)
    )


def _get_largest_rss(session: Session) -> float:
    return round(max(usage.rss_mb for usage in session.read_usages().values()), 1)
