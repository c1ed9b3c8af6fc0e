"""Question 8: how evenly the packing of blocks shares the waiting, and what choosing costs, over the same loads.

`python -m benchmarks.packing -o benchmarks/results/packing.json`

One pool with the bounds of a node, blocks at the bounds of a batch, one after another. Waiting is counted in blocks: it
is what a transaction waits beyond the next one. All that came is followed until it is in a block. Time is CPU time of
this process, the packers alternate over the same transactions.
"""

import argparse
import gc
import json
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, median, pvariance
from time import process_time_ns

from benchmarks.harness.results import write_result
from node.config import MempoolConfig
from node.fair_packing import OVERTAKEN_MAX, FairPacker, build_packer, search_bounded
from node.fair_search import pack_greedily
from node.mempool import Added, Mempool, MempoolLimits
from node.packing import Packer, Packing, Queues, Room, Waiting
from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.ids import Digest, Height, MonotonicMs
from primitives.limits import BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX
from vm.transaction import Call, SealedTransaction, Transaction, decode_transaction

READING_PADDING = 20
"""Bytes of arguments that make a transaction as long as a reading with its signature."""

LONG_PATIENCE = 16
"""Blocks in which younger ones may overtake, where the backups' deadlines would allow it: what the bound costs."""

Arrival = tuple[int, int]
Load = Callable[[Random, int], Iterator[list[Arrival]]]


class ByHash:
    """An arbitrary order, as a pool without one has it: what the paper compares with; no choice of the settings."""

    def note(self, queues: Queues, waiting: Waiting) -> None:
        """Need nothing."""

    def select(self, queues: Queues, exclude: Collection[bytes], room: Room) -> list[SealedTransaction]:
        """Return the first by their ids, up to the first that does not fit."""
        selected: list[SealedTransaction] = []
        free = room.size
        for name in sorted(queues.arrived.keys() - set(exclude)):
            sealed = queues.arrived[name].sealed
            free -= len(sealed.raw)
            if free < 0 or len(selected) == room.count:
                break
            selected.append(sealed)
        return selected


PACKERS: Mapping[str, Callable[[], Packer]] = {
    "arbitrary": ByHash,
    "fifo": lambda: build_packer(Packing.FIFO),
    "round-robin": lambda: build_packer(Packing.ROUND_ROBIN),
    "heuristic": lambda: build_packer(Packing.HEURISTIC),
    "optimal": lambda: build_packer(Packing.OPTIMAL),
    "heuristic, patient": lambda: FairPacker(pack_greedily, LONG_PATIENCE),
    "optimal, patient": lambda: FairPacker(search_bounded, LONG_PATIENCE),
}
"""By name; the patient ones may let younger ones overtake for ``LONG_PATIENCE`` blocks instead of two."""


def bring_evenly(random: Random, blocks: int) -> Iterator[list[Arrival]]:
    """Yield 300 accounts that bring 95 % of what fits, at random, sizes alike."""
    for _ in range(blocks):
        count = random.randrange(800, 1_101)
        yield [(random.randrange(300), READING_PADDING) for _ in range(count)]


def bring_in_bursts(random: Random, blocks: int) -> Iterator[list[Arrival]]:
    """Yield half of what fits, and every tenth block five readings of each of 900 accounts at once."""
    for block in range(blocks):
        brought = [(random.randrange(900), READING_PADDING) for _ in range(500)]
        if block % 10 == 0:
            burst = [(account, READING_PADDING) for account in range(900) for _ in range(5)]
            random.shuffle(burst)
            brought += burst
        yield brought


def bring_with_a_greedy_one(random: Random, blocks: int) -> Iterator[list[Arrival]]:
    """Yield half of what fits from 300 accounts, and twice as much again from account 0."""
    for _ in range(blocks):
        brought = [(1 + random.randrange(300), READING_PADDING) for _ in range(500)]
        brought += [(0, READING_PADDING)] * 1_000
        random.shuffle(brought)
        yield brought


def bring_mixed_sizes(random: Random, blocks: int) -> Iterator[list[Arrival]]:
    """Yield readings with every eighth a tariff or a vector of 1.5 to 3.8 kB, 85 % of what fits, in waves."""
    for block in range(blocks):
        yield [
            (random.randrange(300), _draw_padding(random)) for _ in range(3_000 if block % 10 == 0 else 600)
        ]


def _draw_padding(random: Random) -> int:
    return READING_PADDING if random.randrange(8) else random.randrange(1_500, 3_800)


LOADS: Mapping[str, Load] = {
    "even": bring_evenly,
    "bursty": bring_in_bursts,
    "one greedy account": bring_with_a_greedy_one,
    "sizes mixed": bring_mixed_sizes,
}

Schedule = Sequence[Sequence[SealedTransaction]]


@dataclass(frozen=True, slots=True)
class _Played:
    """What became of a load: who waited for how many blocks, what was refused, and CPU nanoseconds."""

    waited: dict[bytes, list[int]]
    refused: int
    select_ns: int
    keep_ns: int


def build_schedule(load: Load, seed: int, blocks: int) -> Schedule:
    """Return what comes before each block; the same for every packer."""
    random = Random(seed)  # a load, not a secret
    nonces: dict[int, int] = {}
    schedule = []
    for arrivals in load(random, blocks):
        brought = []
        for account, padding in arrivals:
            nonces[account] = nonces.get(account, 0) + 1
            brought.append(_make_transaction(account, nonces[account], padding))
        schedule.append(brought)
    return schedule


def measure(schedule: Schedule, packer: Packer) -> dict[str, object]:
    """Return fairness and cost of one packer over one schedule."""
    played = _play(schedule, packer)
    waited = [each for account in played.waited.values() for each in account]
    modest = [each for account, own in played.waited.items() if account != _ACCOUNTS[0] for each in own]
    return {
        "committed": len(waited),
        "refused_by_the_pool": played.refused,
        "waiting_mean": round(fmean(waited), 3),
        "waiting_variance": round(pvariance(waited), 3),
        "waiting_max": max(waited),
        "waiting_max_without_account_0": max(modest),
        "waiting_mean_without_account_0": round(fmean(modest), 3),
        "jain_transactions": round(compute_jain([1 + each for each in waited]), 4),
        "jain_accounts": round(compute_jain([1 + fmean(own) for own in played.waited.values()]), 4),
        "select_us_per_transaction": round(played.select_ns / 1_000 / len(waited), 3),
        "pool_us_per_transaction": round(played.keep_ns / 1_000 / len(waited), 3),
    }


def compute_jain(values: Sequence[float]) -> float:
    """Return Jain's index: 1 where all are equal, 1/n where one has everything (Jain, Chiu and Hawe 1984)."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def run(seeds: int, blocks: int) -> list[dict[str, object]]:
    """Return every run: each load and seed, each packer in turn."""
    runs: list[dict[str, object]] = []
    for name, load in LOADS.items():
        for seed in range(seeds):
            schedule = build_schedule(load, seed, blocks)
            for packer, build in PACKERS.items():
                runs.append({"load": name, "seed": seed, "packer": packer, **measure(schedule, build())})
    return runs


def summarise(runs: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return the medians over the seeds of each load and packer."""
    summary = []
    for load in LOADS:
        for packer in PACKERS:
            same = [each for each in runs if each["load"] == load and each["packer"] == packer]
            keys = [key for key in same[0] if key not in {"load", "seed", "packer"}]
            medians = {key: median(float(str(each[key])) for each in same) for key in keys}
            summary.append({"load": load, "packer": packer, **medians})
    return summary


def main() -> None:
    """Measure, print the medians and write every run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    runs = run(arguments.seeds, arguments.blocks)
    summary = summarise(runs)
    for line in summary:
        print(json.dumps(line), flush=True)
    found = {
        "question": "packing: variance, maximum and Jain's index of the waiting, and microseconds for each transaction",
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "load_at_end": round(os.getloadavg()[0], 1),
        "set_up": {
            "seeds": arguments.seeds,
            "blocks_with_arrivals": arguments.blocks,
            "block_transactions_max": BATCH_TRANSACTIONS_MAX,
            "block_bytes_max": BATCH_BYTES_MAX,
            "pool": {field: getattr(MempoolConfig(), field) for field in _POOL_FIELDS},
            "overtaken_max": {"as shipped": OVERTAKEN_MAX, "patient": LONG_PATIENCE},
            "loads": {name: load.__doc__ for name, load in LOADS.items()},
        },
        "medians": summary,
        "runs": runs,
    }
    write_result(found, arguments.output)


_POOL_FIELDS = ("transactions_max", "bytes_max", "account_transactions_max")
_ACCOUNTS = [compute_account_id(b"account %d" % number) for number in range(1_000)]


def _make_transaction(account: int, nonce: int, padding: int) -> SealedTransaction:
    """Return a transaction as long as a signed one: the pool does not look at the signature."""
    call = Call("energy", "submit", bytes(padding))
    transaction = Transaction(1, bytes(8), _ACCOUNTS[account], bytes(32), nonce, 2**20, call, bytes(64))
    return decode_transaction(encode(transaction))


def _play(schedule: Schedule, packer: Packer) -> _Played:
    """Bring everything, block by block, and go on until nothing waits."""
    settings = MempoolConfig()
    limits = MempoolLimits(*(getattr(settings, field) for field in _POOL_FIELDS))
    height = Height(1)
    pool = Mempool(limits, packer, height)
    first_seen: dict[Digest, int] = {}
    waited: dict[bytes, list[int]] = {}
    refused = select_ns = keep_ns = 0
    gc.collect()
    while height <= len(schedule) or len(pool):
        started = process_time_ns()
        for sealed in schedule[height - 1] if height <= len(schedule) else ():
            if pool.add(sealed, MonotonicMs(0), lambda _: None) == Added():
                first_seen[sealed.id] = height
            else:
                refused += 1
        added = process_time_ns()
        block = pool.select(frozenset(), BATCH_TRANSACTIONS_MAX, BATCH_BYTES_MAX)
        selected = process_time_ns()
        for sealed in block:
            waited.setdefault(sealed.transaction.account, []).append(height - first_seen[sealed.id])
        kept = process_time_ns()
        height = Height(height + 1)
        pool.commit(sealed.id for sealed in block)
        pool.expire(height)
        select_ns += selected - added
        keep_ns += added - started + process_time_ns() - kept
    return _Played(waited, refused, select_ns, keep_ns)


if __name__ == "__main__":
    main()
