"""Question 2 with real processes: so many validators on access lines of this machine's kernel.

`python -m benchmarks.grid_processes 16 -o benchmarks/results/grid.json` adds them to the grid's file (four minutes for
both geneses; needs root, ip and tc). All share this machine's cores, so that a network which does not keep up may lack
them and not its lines: the processors' time stands beside.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.confined.computers import Confinement
from benchmarks.confined.loads import check, load_computers
from benchmarks.grid import GENESES
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.session import BenchError

MBIT = 1.0
RATES = (5.0, 15.0)
SECONDS = 20.0


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
        check(arguments.rates, arguments.seconds)
        for validators in arguments.validators:
            for genesis in arguments.genesis:
                line = Confinement(bits_per_s=1e6 * arguments.mbit)
                run = asyncio.run(
                    load_computers(validators, line, arguments.rates, arguments.seconds, GENESES[genesis])
                )
                found = {"genesis": genesis, **run, "machine": describe_machine()}
                print(json.dumps(found), flush=True)
                _keep(arguments.output, found)
    except BenchError as error:
        sys.exit(f"grid: {error}")


def _keep(path: Path | None, found: dict[str, Any]) -> None:
    """Put a network into the file, in the place of an earlier run of the same."""
    if path is None:
        return
    kept = json.loads(path.read_bytes()) if path.exists() else {"cells": []}
    name = [found[field] for field in ("genesis", "validators", "confinement")]
    others = [
        run
        for run in kept.get("processes", [])
        if [run[field] for field in ("genesis", "validators", "confinement")] != name
    ]
    kept["processes"] = [*others, found]
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    main()
