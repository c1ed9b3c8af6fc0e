"""Question 3: every meter reports in the same second; how long until the last receipt is believed.

The slots wait for one silent meter and do not settle in it. Each burst goes in one way: over websockets, many in a
request, or each meter with a request of its own.

`python -m benchmarks.burst 75 1000 -o benchmarks/results/burst.json`
"""

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError, open_session

REPEATS = 5
WAYS = ("gridbft-stream", "gridbft-batch", "gridbft-single")
RATE = 1e6
"""All are due at once: 5,000 in each tick of the load."""
WARM_UP_RATE = 200.0
WARM_UP_S = 1.0


class Burst(msgspec.Struct, frozen=True):
    """Bursts of so many meters by one way: milliseconds until the last and the median receipt, of each repeat."""

    meters: int
    way: str
    median_last_ms: float
    last_receipt_ms: list[float]
    median_receipt_ms: list[float]
    blocks: list[int]


class BurstReport(msgspec.Struct, frozen=True):
    """Every burst."""

    question: str
    machine: Machine
    t_verify_us: float
    validators: int
    bursts: list[Burst]


async def measure(meters: int, repeats: int = REPEATS) -> list[Burst]:
    """Return the bursts of all meters, by each way as often, alternating.

    Raises:
        BenchError: a reading was refused or lost.

    """
    runs: dict[str, list[tuple[float, float, int]]] = {way: [] for way in WAYS}
    async with open_session(meters=meters) as session:
        for way in WAYS:
            await session.load("warm-up", way, min(WARM_UP_RATE, meters / WARM_UP_S), WARM_UP_S)
        for _ in range(repeats):
            for way in WAYS:
                run = await session.load("burst", way, RATE, meters / RATE)
                if run.result.confirmed != meters:
                    raise BenchError(f"{run.result.confirmed} of {meters} were confirmed: {run.result}")
                runs[way].append((run.latency_ms[100], run.p50_ms, run.blocks))
    return [
        Burst(meters, way, median(last for last, _, _ in found), *map(list, zip(*found, strict=True)))
        for way, found in runs.items()
    ]


def main() -> None:
    """Measure the sizes that were asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("meters", type=int, nargs="+")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    machine, t_verify = describe_machine(), measure_verify_us()
    try:
        bursts = [burst for meters in given.meters for burst in asyncio.run(measure(meters, given.repeats))]
    except BenchError as error:
        sys.exit(f"burst: {error}")
    found = BurstReport(
        question="milliseconds from the first submit of a burst to the last verified receipt",
        machine=machine,
        t_verify_us=t_verify,
        validators=4,
        bursts=bursts,
    )
    publish(found, given.output)


if __name__ == "__main__":
    main()
