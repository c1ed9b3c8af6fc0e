"""Play seeds: ``python -m tests.simulation.run --seeds A:B [--replicas N] [--byzantine F] [--json] [--jobs J]``.

The range is half-open. The exit code is 0 when nothing was violated and, over 500 seeds or more, every fault hit;
1 otherwise; 2 for wrong usage. ``--trace`` tells the story of one seed, every event and effect a line.
"""

import argparse
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from consensus.effects import Effect
from consensus.events import Event
from consensus.transcript import describe_effect, describe_event
from primitives.limits import VALIDATORS_MAX, VALIDATORS_MIN
from primitives.quorum import get_fault_tolerance
from tests.simulation.campaign import Outcome, build_parameters, draw_plan, run_seed
from tests.simulation.community import build_constitution
from tests.simulation.summary import Summary, describe
from tests.simulation.workers import UsageError, check_jobs, play_all

SEEDS_PER_TASK = 10


@dataclass(frozen=True, slots=True)
class Task:
    """Some seeds for one worker."""

    first: int
    last: int
    replicas: int | None
    byzantine: int | None


def play(task: Task) -> tuple[list[Outcome], float]:
    """Play a task's seeds; return their outcomes and the processor time they took."""
    begun = time.process_time()
    outcomes = [run_seed(seed, task.replicas, task.byzantine) for seed in range(task.first, task.last)]
    return outcomes, time.process_time() - begun


def parse_range(text: str) -> range:
    """Return the seeds of ``A:B``.

    Raises:
        UsageError: not a half-open range of numbers.

    """
    first, colon, last = text.partition(":")
    if not colon or not first.isdigit() or not last.isdigit() or int(first) >= int(last):
        raise UsageError(f"--seeds {text}: give a half-open range such as 0:500")
    return range(int(first), int(last))


def check_sizes(replicas: int | None, byzantine: int | None) -> None:
    """Refuse networks that cannot be.

    Raises:
        UsageError: too few or too many replicas, or more Byzantine ones than they tolerate.

    """
    if replicas is not None and not VALIDATORS_MIN <= replicas <= VALIDATORS_MAX:
        raise UsageError(f"--replicas {replicas}: between {VALIDATORS_MIN} and {VALIDATORS_MAX} are possible")
    if byzantine is None:
        return
    tolerated = get_fault_tolerance(VALIDATORS_MIN if replicas is None else replicas)
    if not 0 <= byzantine <= tolerated:
        size = "networks from 4 replicas on tolerate" if replicas is None else f"{replicas} replicas tolerate"
        raise UsageError(f"--byzantine {byzantine}: {size} at most {tolerated}")


def tell_story(seed: int, replicas: int | None, byzantine: int | None) -> tuple[Outcome, list[str]]:
    """Play a seed; return its story too, every event and effect a line."""
    plan = draw_plan(seed, replicas, byzantine)
    membership = build_constitution(plan.validators, build_parameters(plan)).membership
    lines: list[str] = []

    def told(now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
        lines.append(f"{now_ms:>7} v{index} < {describe_event(membership, event)}")
        lines.extend(f"{now_ms:>7} v{index}   {describe_effect(membership, effect)}" for effect in effects)

    def noted(now_ms: int, text: str) -> None:
        lines.append(f"{now_ms:>7} # {text}")

    return run_seed(seed, replicas, byzantine, told, noted), lines


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description="Play seeds.")
    add = parser.add_argument
    add("--seeds", required=True, metavar="A:B", help="the seeds A to B - 1")
    add("--replicas", type=int, metavar="N", help="the size of every network; drawn from 4 to 13 if absent")
    add("--byzantine", type=int, metavar="F", help="how many replicas are Byzantine; drawn if absent")
    add("--jobs", type=int, default=1, metavar="J", help="processes that share the seeds")
    add("--json", action="store_true", help="print one line of JSON")
    add("--trace", action="store_true", help="tell the story of one seed")
    return parser


def read_seeds(options: argparse.Namespace) -> range:
    """Return the seeds asked for.

    Raises:
        UsageError: the arguments make no sense.

    """
    seeds = parse_range(options.seeds)
    check_sizes(options.replicas, options.byzantine)
    check_jobs(options.jobs)
    if options.trace and len(seeds) != 1:
        raise UsageError("--trace tells one seed: give a range such as 7:8")
    return seeds


def summarise(seeds: range, options: argparse.Namespace) -> Summary:
    """Play the seeds; whatever is violated is said at once."""
    summary = Summary()
    tasks = [
        Task(first, min(first + SEEDS_PER_TASK, seeds.stop), options.replicas, options.byzantine)
        for first in range(seeds.start, seeds.stop, SEEDS_PER_TASK)
    ]
    for outcomes, cpu_s in play_all(play, tasks, options.jobs):
        summary.cpu_s += cpu_s
        for outcome in outcomes:
            summary.add(outcome)
            if outcome.violation is not None:
                sys.stderr.write(f"seed {outcome.violation.seed}: {outcome.violation.invariant}\n")
    return summary


def main(arguments: list[str]) -> int:
    """Play what the arguments say; return the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        seeds = read_seeds(options)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    lines: list[str] = []
    if options.trace:
        summary = Summary()
        outcome, lines = tell_story(seeds[0], options.replicas, options.byzantine)
        summary.add(outcome)
    else:
        summary = summarise(seeds, options)
    record = summary.build_record(options.seeds, options.byzantine)
    lines.append(json.dumps(record) if options.json else describe(summary, options.byzantine))
    with suppress(BrokenPipeError):  # whoever reads has seen enough
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    return 1 if summary.violations or record["never_hit"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
