"""Question 5, the long one: memory, processor and disk of real validators over a million transactions.

One load after the other at one rate; what the validators hold is looked at after each. `rss_mb` is anonymous memory,
of the largest validator.

`python -m benchmarks.endurance 1000000 1400 -o benchmarks/results/endurance.json`
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError, open_session

WAY = "gridbft-stream"
LOAD_TX = 50_000
"""Of one load: some ten megabytes of signed readings, made before it begins."""


class Stage(msgspec.Struct, frozen=True):
    """After so many transactions: what the last load found, and what the largest validator holds."""

    transactions: int
    confirmed_tx_s: float
    p50_ms: float
    p99_ms: float
    lost: int
    refused: int
    cpu_us_per_tx: float
    disk_bytes_per_tx: float
    rss_mb: float
    view_changes: int


class EnduranceReport(msgspec.Struct, frozen=True):
    """Every stage."""

    question: str
    machine: Machine
    t_verify_us: float
    validators: int
    meters: int
    offered_tx_s: float
    idle_rss_mb: float
    stages: list[Stage]


async def measure(transactions: int, rate: float, meters: int = 1000) -> EnduranceReport:
    """Load a network until it has confirmed so many transactions.

    Raises:
        BenchError: the meters cannot report so often, or the validators did not find each other.

    """
    machine, t_verify = describe_machine(), measure_verify_us()
    stages: list[Stage] = []
    done = 0
    async with open_session(meters=meters) as session:
        idle_mb = max(usage.rss_mb for usage in session.read_usages().values())
        while done < transactions:
            count = min(LOAD_TX, transactions - done)
            run = await session.load("endurance", WAY, rate, count / rate)
            done += run.result.confirmed
            stages.append(
                Stage(
                    transactions=done,
                    confirmed_tx_s=run.result.achieved_tx_s,
                    p50_ms=run.p50_ms,
                    p99_ms=run.p99_ms,
                    lost=run.result.lost,
                    refused=run.result.refused,
                    cpu_us_per_tx=run.cpu_us_per_tx,
                    disk_bytes_per_tx=run.disk_bytes_per_tx,
                    rss_mb=max(run.rss_mb.values()),
                    view_changes=run.view_changes,
                )
            )
            print(msgspec.json.encode(stages[-1]).decode(), file=sys.stderr, flush=True)
            if not run.result.confirmed:
                raise BenchError("nothing is confirmed any more")
    return EnduranceReport(
        question="anonymous memory, CPU and disk of each validator after so many transactions",
        machine=machine,
        t_verify_us=t_verify,
        validators=4,
        meters=meters,
        offered_tx_s=rate,
        idle_rss_mb=round(idle_mb, 1),
        stages=stages,
    )


def main() -> None:
    """Measure as many as were asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("transactions", type=int)
    parser.add_argument("rate", type=float, help="transactions per second, what the network sustains")
    parser.add_argument("--meters", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        found = asyncio.run(measure(given.transactions, given.rate, given.meters))
    except BenchError as error:
        sys.exit(f"endurance: {error}")
    publish(found, given.output)


if __name__ == "__main__":
    main()
