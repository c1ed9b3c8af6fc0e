"""Question 7: what coordination costs, for 5 to 10,000 homes: iterations, seconds, bytes, the gap and the savings.

`python -m benchmarks.coordination 5 10 100 1000 -o benchmarks/results/coordination.json`
"""

import argparse
import json
import os
import platform
import resource
from pathlib import Path
from time import monotonic

from benchmarks.harness.results import write_result
from cli.simulate.options import RunFlags, SourceFlags, TermFlags, build_options
from cli.simulate.run import run_simulation
from vm.contracts.energy.coordination.calls import Form

BILATERAL_MAX = 50
"""Homes with hours that fit a bilateral vector."""
WORKERS_FROM = 1000
"""Fewer homes are worked sooner than other processes have started."""


def measure(homes: int, form: Form) -> dict[str, object]:
    """Return the figures of one day's round with so many homes."""
    workers = (os.cpu_count() or 1) if homes >= WORKERS_FROM else 1
    options = build_options(
        SourceFlags(count=homes), TermFlags(form=form.name.lower()), RunFlags(workers=workers)
    )
    wall_s, cpu_s = monotonic(), _read_cpu_s()
    found = run_simulation(options)
    (day,) = found.days
    together = sum(outcome.together for outcome in day.result.outcomes)
    alone = sum(outcome.alone for outcome in day.result.outcomes)
    sent = sum(day.result.sent_bytes)
    return {
        "homes": homes,
        "form": form.name.lower(),
        "workers": workers,
        "iterations": len(day.result.steps),
        "converged": day.result.round.converged,
        "gap_percent": round(100 * (together - day.pooled) / abs(day.pooled), 4),
        "saving_percent": round(100 * (alone - together) / abs(alone), 2),
        "wall_seconds": round(monotonic() - wall_s, 2),
        "cpu_seconds": round(_read_cpu_s() - cpu_s, 2),
        "bytes_per_home": sent // homes,
        "bytes_per_home_and_iteration": sent // homes // len(day.result.steps),
    }


def main() -> None:
    """Measure the sizes that were asked for and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("homes", type=int, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    runs = []
    for homes in arguments.homes:
        for form in Form:
            if form == Form.EXCHANGE or homes <= BILATERAL_MAX:
                runs.append(measure(homes, form))
                print(json.dumps(runs[-1]), flush=True)
    found = {
        "question": "coordination: iterations, seconds and bytes per home, gap and savings against the number of homes",
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "load_at_end": round(os.getloadavg()[0], 1),
        "runs": runs,
    }
    write_result(found, arguments.output)


def _read_cpu_s() -> float:
    """Return the seconds of this process and of those it has waited for."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
