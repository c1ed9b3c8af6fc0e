"""Question 5: what a node costs as its history and its state grow: start-up, memory, queries, blocks, roots, disk.

`python -m benchmarks.growth -o benchmarks/results/growth.json`, with `--full` up to 10⁶ blocks and 10⁶ accounts.

A real store is built block by block through the executor and the chain store, without agreement: signatures are any 64
bytes but for the newest certificate, as nothing looks at the others, and while building no write is synced. Every size
is then looked at by a process of its own (`benchmarks/growth_probe.py`), which starts from the disk as a node does.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.growth_chain import count_disk_bytes, count_merged_bytes, make_home, open_builder
from benchmarks.harness.results import write_result

SIZES = (1_000, 10_000, 100_000)
FULL_SIZES = (*SIZES, 1_000_000)

PAYMENTS_PER_BLOCK = 2
HEARTBEATS = 9
"""In the growing history: a quiet community, in which so many empty blocks follow each with payments."""

REGISTRATIONS_PER_BLOCK = 500
HISTORY_ACCOUNTS = 200
LOADED_BLOCKS = 20
"""Full blocks of payments after the accounts were opened: what a transaction takes on disk under load."""


def measure_history(directory: Path, sizes: Sequence[int]) -> Iterator[dict[str, object]]:
    """Yield the figures of one history that grows from size to size; its state stays as it is."""
    constitution = make_home(directory)
    with open_builder(directory, constitution) as builder:
        builder.register(0, HISTORY_ACCOUNTS, REGISTRATIONS_PER_BLOCK)
    for blocks in sizes:
        with open_builder(directory, constitution) as builder:
            while builder.height < blocks:
                builder.pay(1, PAYMENTS_PER_BLOCK, HISTORY_ACCOUNTS)
                builder.pay(min(HEARTBEATS, blocks - builder.height), 0, HISTORY_ACCOUNTS)
        disk = count_disk_bytes(directory)
        yield {
            "grows": "history",
            "blocks": blocks,
            "accounts": HISTORY_ACCOUNTS,
            "disk_bytes": disk,
            "disk_bytes_per_block": disk // blocks,
            **probe(directory, HISTORY_ACCOUNTS),
        }


def measure_state(directory: Path, sizes: Sequence[int]) -> Iterator[dict[str, object]]:
    """Yield the figures of one state that grows from size to size."""
    constitution = make_home(directory)
    opened = 0
    for accounts in sizes:
        with open_builder(directory, constitution) as builder:
            builder.register(opened, accounts, REGISTRATIONS_PER_BLOCK)
        opened = accounts
        before = count_merged_bytes(directory)
        with open_builder(directory, constitution) as builder:
            builder.pay(LOADED_BLOCKS, REGISTRATIONS_PER_BLOCK, accounts)
            blocks = builder.height
        grown = count_merged_bytes(directory) - before
        yield {
            "grows": "state",
            "blocks": blocks,
            "accounts": accounts,
            "disk_bytes": count_disk_bytes(directory),
            "disk_bytes_per_loaded_transaction": grown // (LOADED_BLOCKS * REGISTRATIONS_PER_BLOCK),
            **probe(directory, accounts),
        }


def probe(directory: Path, accounts: int) -> Mapping[str, object]:
    """Return what a fresh process finds when it starts from the disk.

    Raises:
        subprocess.CalledProcessError: it could not; its own words are on standard error.

    """
    command = [sys.executable, "-m", "benchmarks.growth_probe", str(directory), str(accounts)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


MEASURES: Mapping[str, Callable[[Path, Sequence[int]], Iterator[dict[str, object]]]] = {
    "history": measure_history,
    "state": measure_state,
}


def main() -> None:
    """Measure the sizes that were asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="up to a million blocks and a million accounts")
    parser.add_argument("--sizes", type=int, nargs="+", help="other sizes, rising")
    parser.add_argument("--grows", choices=sorted(MEASURES), nargs="+", default=sorted(MEASURES))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    sizes = arguments.sizes or (FULL_SIZES if arguments.full else SIZES)
    runs = []
    for name in arguments.grows:
        with _make_directory() as directory:
            for found in MEASURES[name](directory, sizes):
                runs.append(found)
                print(json.dumps(found), flush=True)
    result = {
        "question": "growth: start-up, memory, queries, blocks, state root and disk against history and state",
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "load_at_end": round(os.getloadavg()[0], 1),
        "set_up": {
            "sizes": list(sizes),
            "history": f"{PAYMENTS_PER_BLOCK} payments in every tenth block, the others empty",
            "state": f"accounts opened and then {LOADED_BLOCKS} blocks of {REGISTRATIONS_PER_BLOCK} payments at random",
        },
        "runs": runs,
    }
    write_result(result, arguments.output)


@contextmanager
def _make_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gridbft-growth-") as name:
        yield Path(name)


if __name__ == "__main__":
    main()
