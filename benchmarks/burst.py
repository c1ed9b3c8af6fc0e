"""Question 3: every meter reports in the same second; how long until the last receipt is believed.

The slots wait for one silent meter and do not settle in it.

`python -m benchmarks.burst 75 1000 -o benchmarks/results/burst.json`
"""

import argparse
import asyncio
import json
from pathlib import Path

import msgspec

from benchmarks.harness.machine import describe_machine, measure_verify_us
from benchmarks.harness.session import open_session

REPEATS = 5
RATE = 1e6
"""All are due at once."""


async def measure(meters: int, repeats: int = REPEATS) -> dict[str, object]:
    """Return the milliseconds until the last receipt of a burst of all meters, for each of several slots."""
    last_ms = []
    async with open_session(meters=meters) as session:
        await session.load("warm-up", "gridbft-batch", meters, 1.0)
        for _ in range(repeats):
            run = await session.load("burst", "gridbft-batch", RATE, meters / RATE)
            last_ms.append(run.latency_ms[100])
    return {"meters": meters, "last_receipt_ms": last_ms}


def main() -> None:
    """Measure the sizes that were asked for and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meters", type=int, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    found = {
        "question": "milliseconds from the first submit of a burst to the last verified receipt",
        "machine": describe_machine(),
        "t_verify_us": measure_verify_us(),
        "runs": [asyncio.run(measure(meters)) for meters in arguments.meters],
    }
    print(json.dumps(found))
    if arguments.output is not None:
        arguments.output.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


if __name__ == "__main__":
    main()
