"""One random run of a cluster under a seed: faults for a while, then healing, and everything accepted must commit.

``run_seed`` is all that a longer campaign needs; each fault tells how often it hit.
"""

import random
from collections import Counter
from dataclasses import dataclass

from consensus.messages import Envelope
from primitives.quorum import get_fault_tolerance
from tests.consensus.byzantine import BEHAVIOURS
from tests.consensus.cluster import Cluster

SIZES = (4, 5, 6, 7, 10)
VIEW_TIMEOUT_MAX_MS = 4000
RESEND_MS = 500
TRANSACTIONS = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    trace: str
    hits: Counter[str]
    healed_in_ms: int
    heights: tuple[int, ...]


def run_seed(seed: int) -> Outcome:
    """Run one seed to its end; a violated invariant raises, with the seed in the test's name."""
    rng = random.Random(seed)
    replicas = rng.choice(SIZES)
    depth = rng.choice((1, 2, 2, 4))
    cluster = Cluster(
        replicas, seed, depth=depth, view_timeout_max_ms=VIEW_TIMEOUT_MAX_MS, resend_ms=RESEND_MS
    )
    liars = _choose_liars(cluster, rng)
    cluster.delay = lambda: rng.randint(1, 400) if rng.random() < 0.1 else rng.randint(1, 20)
    lossy = rng.random() * 0.3
    for number in range(TRANSACTIONS):
        cluster.submit(b"transaction %d" % number)
        cluster.may_pass = _build_weather(cluster, rng, lossy)
        _disturb(cluster, rng, liars)
        cluster.run(rng.randint(0, 1500))
        cluster.check_agreement()
    started = cluster.now_ms
    _heal(cluster, rng)
    limit = compute_progress_bound_ms(len(liars))
    correct = [index for index in range(replicas) if cluster.is_correct(index)]
    cluster.run_until(
        lambda: all(len(cluster.executed_ids(index)) == TRANSACTIONS for index in correct), limit
    )
    cluster.check_agreement()
    return Outcome(cluster.trace.hex(), cluster.hits, cluster.now_ms - started, tuple(cluster.heights()))


def compute_progress_bound_ms(faulty: int) -> int:
    """Return I8's bound: the deadline of a request, k + 2 capped view time-outs, one re-send interval.

    Every block needs its own messages too: TRANSACTIONS / 3 blocks, and a missing batch of blocks is asked for once a
    re-send period.
    """
    return 1500 + 500 + (faulty + 2) * VIEW_TIMEOUT_MAX_MS + 4 * RESEND_MS


def _choose_liars(cluster: Cluster, rng: random.Random) -> list[int]:
    count = rng.randint(0, get_fault_tolerance(cluster.size))
    liars = sorted(rng.sample(range(cluster.size), count))
    for index in liars:
        name = rng.choice(sorted(BEHAVIOURS))
        cluster.behaviours[index] = BEHAVIOURS[name](rng.randrange(2**32))
        cluster.hits[name] += 1
    return liars


def _build_weather(cluster: Cluster, rng: random.Random, lossy: float) -> "Weather":
    cut: set[tuple[int, int]] = set()
    if rng.random() < 0.3:
        side = set(rng.sample(range(cluster.size), rng.randint(1, cluster.size - 1)))
        for source in sorted(side):
            for target in sorted(set(range(cluster.size)) - side):
                cut.add((source, target))
                if rng.random() < 0.5:
                    cut.add((target, source))
        cluster.hits["partition"] += 1
    return Weather(cluster, rng, lossy, frozenset(cut))


@dataclass(frozen=True, slots=True)
class Weather:
    """Which messages pass now: some are lost, some doubled, and some links are cut in one direction."""

    cluster: Cluster
    rng: random.Random
    lossy: float
    cut: frozenset[tuple[int, int]]

    def __call__(self, source: int, target: int, envelope: Envelope) -> bool:
        """Tell whether the message arrives."""
        if (source, target) in self.cut:
            return False
        if self.rng.random() < self.lossy:
            self.cluster.hits["loss"] += 1
            return False
        if self.rng.random() < 0.05:
            self.cluster.hits["duplication"] += 1
            self.cluster.duplicate(target, envelope)
        return True


def _disturb(cluster: Cluster, rng: random.Random, liars: list[int]) -> None:
    """Crash and restart: a few at a time, seldom all; let clocks jump; shorten journals."""
    for index, host in enumerate(cluster.hosts):
        if not host.alive and rng.random() < 0.5:
            cluster.restart(index)
    if rng.random() < 0.05:
        cluster.hits["all_restart"] += 1
        for index, host in enumerate(cluster.hosts):
            if host.alive:
                cluster.kill(index)
            cluster.restart(index)
    victim = rng.randrange(cluster.size)
    if cluster.hosts[victim].alive and rng.random() < 0.3:
        cluster.hits["crash"] += 1
        cluster.kill(victim)
    if rng.random() < 0.1:
        cluster.hits["clock_jump"] += 1
        cluster.hosts[rng.randrange(cluster.size)].wall_offset_ms = rng.choice((-3_600_000, 0, 3_600_000))
    if rng.random() < 0.2:
        cluster.hits["rewrite"] += 1
        index = rng.randrange(cluster.size)
        if cluster.hosts[index].alive:
            cluster.rewrite_journal(index)
    _ = liars


def _heal(cluster: Cluster, rng: random.Random) -> None:
    """End all faults but the liars."""
    cluster.may_pass = lambda _from, _to, _envelope: True
    cluster.delay = lambda: rng.randint(1, 5)
    for index, host in enumerate(cluster.hosts):
        host.wall_offset_ms = 0
        if not host.alive:
            cluster.restart(index)
