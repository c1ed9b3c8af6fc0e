"""Question 2 with real processes: so many validators on access lines of this machine's kernel.

`python -m benchmarks.grid_processes 16 -o benchmarks/results/grid.json` adds them to the grid's file (four minutes for
both geneses; needs root, ip and tc). All share this machine's cores, so that a network which does not keep up may lack
them and not its lines: the processors' time stands beside.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.confined.computers import Confinement
from benchmarks.confined.loads import load_computers
from benchmarks.grid import GENESES, check
from benchmarks.grid_file import read_grid, write_grid
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.session import BenchError

MBIT = 1.0
RATES = (5.0, 15.0)
SECONDS = 20.0
SAME = ("genesis", "validators", "confinement")
"""What makes two runs ones of the same network."""


def main() -> None:
    """Measure each network that was asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("validators", type=int, nargs="+")
    parser.add_argument("--mbit", type=float, default=MBIT)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--genesis", nargs="+", choices=sorted(GENESES), default=list(GENESES))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        check(arguments.validators, [arguments.mbit], arguments.rates, arguments.seconds)
        for validators in arguments.validators:
            for genesis in arguments.genesis:
                file = read_grid(arguments.output)
                line = Confinement(bits_per_s=1e6 * arguments.mbit)
                run = asyncio.run(
                    load_computers(
                        validators, line, arguments.rates, arguments.seconds, GENESES[genesis](validators)
                    )
                )
                found = {"genesis": genesis, **run, "machine": describe_machine()}
                print(json.dumps(found), flush=True)
                write_grid(arguments.output, file | {"processes": replace(file.get("processes", []), found)})
    except BenchError as error:
        sys.exit(f"grid: {error}")


def replace(runs: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the runs with a newer one, in the place of an earlier run of the same network."""
    return [*(run for run in runs if any(run.get(name) != found[name] for name in SAME)), found]


if __name__ == "__main__":
    main()
