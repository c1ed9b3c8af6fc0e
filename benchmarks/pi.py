"""Question 6: four validators as small computers: what rate, how late, in how much memory?

`python -m benchmarks.pi -o benchmarks/results/pi.json` (four minutes; root, ip, tc, control groups, a C compiler).

Each validator is a real process with a quarter of one core of this machine, which is about a core of a Raspberry Pi 4,
256 MB, a line of 1 Mbit/s each way, and a card: a preloaded library makes each of its syncs 10 ms longer, those of
LevelDB included. What this machine cannot make is refused with its name; nothing is left out in silence.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.confined.computers import Confinement
from benchmarks.confined.loads import load_computers
from benchmarks.grid import check
from benchmarks.grid_file import check_place
from benchmarks.harness.machine import describe_machine, measure_verify_us
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError

VALIDATORS = 4
RATES = (1.0, 5.0, 10.0, 20.0, 40.0)
SECONDS = 15.0
PI = Confinement(bits_per_s=1e6, cpu_share=0.25, memory_bytes=256 * 1024 * 1024, sync_ms=10)


def main() -> None:
    """Measure the profile and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--validators", type=int, default=VALIDATORS)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    machine, verify_us = describe_machine(), measure_verify_us()
    try:
        check([arguments.validators], [1.0], arguments.rates, arguments.seconds)
        check_place(arguments.output)
        run = asyncio.run(load_computers(arguments.validators, PI, arguments.rates, arguments.seconds))
    except BenchError as error:
        sys.exit(f"pi: {error}")
    found = {
        "question": "small computers: rate, latency and memory",
        "machine": machine,
        "t_verify_us": verify_us,
        "t_verify_us_confined": round(verify_us / (PI.cpu_share or 1), 1),
        **run,
    }
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
