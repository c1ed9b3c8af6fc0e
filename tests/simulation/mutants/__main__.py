"""``python -m tests.simulation.mutants [--json] [--only NAME] [--jobs J]``: every bug must be caught."""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from tests.simulation.mutants.catalogue import CANARY, MUTANTS
from tests.simulation.mutants.hunts import HUNTS
from tests.simulation.mutants.mutation import Mutant, mutated
from tests.simulation.workers import UsageError, check_jobs, play_all

SEEDS_MAX = 100
"""A mutant that so many seeds do not catch is missed."""

CATCHES = 2
"""So many seeds must catch a mutant: one alone may be luck."""

CANARY_SEEDS = 12


@dataclass(frozen=True, slots=True)
class Caught:
    """Which seeds caught a mutant, after how many played, and what the first one saw."""

    name: str
    target: str
    hunt: str
    seeds: tuple[int, ...]
    played: int
    seen: str
    cpu_s: float

    @property
    def is_caught(self) -> bool:
        """Tell whether enough seeds saw it."""
        return len(self.seeds) >= CATCHES


def hunt_mutant(mutant: Mutant, catches: int = CATCHES, seeds_max: int = SEEDS_MAX) -> Caught:
    """Play seeds until enough of them saw the mutant, or all are played."""
    begun = time.process_time()
    hunt = HUNTS[mutant.hunt]
    seeds: list[int] = []
    seen = ""
    played = 0
    with mutated(mutant):
        while len(seeds) < catches and played < seeds_max:
            violation = hunt(played)
            if violation is not None:
                seeds.append(played)
                seen = seen or violation
            played += 1
    cpu_s = round(time.process_time() - begun, 2)
    return Caught(mutant.name, mutant.target, mutant.hunt, tuple(seeds), played, seen[:200], cpu_s)


def hunt_canary() -> Caught:
    """Play seeds against a change that changes nothing."""
    return hunt_mutant(CANARY, seeds_max=CANARY_SEEDS)


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
