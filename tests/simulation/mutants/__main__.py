"""``python -m tests.simulation.mutants [--json] [--only NAME] [--jobs J]``: every bug must be caught."""

import argparse
import json
import sys
from dataclasses import asdict

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.hunting import Caught, hunt_canary, hunt_mutant
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.workers import UsageError, check_jobs, play_all


def build_record(caught: list[Caught], canary: Caught | None) -> dict[str, object]:
    """Return what is printed and kept."""
    return {
        "mutants": len(caught),
        "caught": sum(each.is_caught for each in caught),
        "missed": [each.name for each in caught if not each.is_caught],
        "canary": "not played" if canary is None else "caught" if canary.seeds else "clean",
        "cpu_s": round(sum(each.cpu_s for each in caught), 1),
        "by": [asdict(each) for each in caught],
    }


def select(only: list[str]) -> tuple[Mutant, ...]:
    """Return the mutants named, or all.

    Raises:
        UsageError: there is none of that name.

    """
    known = {mutant.name: mutant for mutant in MUTANTS}
    for name in only:
        if name not in known:
            raise UsageError(f"--only {name}: there is no such mutant; they are: {'; '.join(known)}")
    return tuple(known[name] for name in only) if only else MUTANTS


def describe(each: Caught) -> str:
    """Return one hunt for people."""
    by = f"seeds {', '.join(map(str, each.seeds))}: {each.seen}" if each.seeds else "nothing was seen"
    word = "caught" if each.is_caught else "MISSED"
    return f"{word}  {each.name} ({each.hunt}, {each.played} played, {each.cpu_s} s): {by}"


def main(arguments: list[str]) -> int:
    """Hunt what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.mutants", description="Hunt our own bugs."
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this mutant; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that share them")
    options = parser.parse_args(arguments)
    try:
        check_jobs(options.jobs)
        chosen = select(options.only)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    caught: list[Caught] = []
    for each in play_all(hunt_mutant, chosen, options.jobs):
        caught.append(each)
        if not options.json:
            sys.stdout.write(describe(each) + "\n")
            sys.stdout.flush()
    canary = None if options.only else hunt_canary()
    record = build_record(caught, canary)
    verdict = f"{record['caught']} of {record['mutants']} caught; the canary is {record['canary']}"
    sys.stdout.write((json.dumps(record) if options.json else verdict) + "\n")
    return 1 if record["missed"] or record["canary"] == "caught" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
