"""Question 5, the card: bytes that a validator writes in a day, idle and with a reading of each meter in every slot.

`python -m benchmarks.wear 75 -o benchmarks/results/wear.json`

The kernel counts what reaches the disk, in whole pages. Not in it: what the store writes again when it merges its
tables, later than this looks, and what settling a slot writes. `benchmarks.growth` has what stays on the disk.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import fmean, median

from benchmarks.harness.machine import describe_machine
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError, Session, open_session

DAY_S = 86_400
SLOTS_PER_DAY = 96
BURSTS = 3
"""Slots that are reported, each by all meters at once."""
RATE = 1e6
"""All are due at once."""
IDLE_S = 125.0
"""Four heartbeats of the default 30 s, and a little."""


async def measure(meters: int, idle_s: float = IDLE_S) -> dict[str, object]:
    """Return bytes for each heartbeat and for each slot that all meters report, and what a day makes of them."""
    async with open_session(meters=meters) as session:
        bursts = [await session.load("slot", "gridbft-batch", RATE, meters / RATE) for _ in range(BURSTS)]
        before, height = _count_written(session), await _find_height(session)
        await asyncio.sleep(idle_s)
        idle, blocks = _count_written(session) - before, await _find_height(session) - height
    slot = median(run.disk_bytes_per_tx * meters for run in bursts)
    per_day = idle / idle_s * DAY_S
    return {
        "meters": meters,
        "idle_seconds": idle_s,
        "idle_blocks": blocks,
        "bytes_per_heartbeat": round(idle / max(1, blocks)),
        "bytes_per_slot": [round(run.disk_bytes_per_tx * meters) for run in bursts],
        "blocks_per_slot": [run.blocks for run in bursts],
        "idle_mb_per_day": round(per_day / 1e6, 1),
        "readings_mb_per_day": round((per_day + SLOTS_PER_DAY * slot) / 1e6, 1),
    }


def main() -> None:
    """Measure the communities that were asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("meters", type=int, nargs="+")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_S)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    try:
        runs = [asyncio.run(measure(meters, arguments.idle_seconds)) for meters in arguments.meters]
    except BenchError as error:
        sys.exit(f"wear: {error}")
    found = {
        "question": "bytes that a validator writes in a day: idle, and with a reading of each meter in every slot",
        "machine": describe_machine(),
        "runs": runs,
    }
    publish(found, arguments.output)


def _count_written(session: Session) -> float:
    """Return the bytes that a validator has written so far, the mean of all."""
    return fmean(usage.written for usage in session.read_usages().values())


async def _find_height(session: Session) -> int:
    statuses = [each for each in (await session.client.get_statuses()).values() if not isinstance(each, str)]
    return max(status.height for status in statuses)


if __name__ == "__main__":
    main()
