"""Playing seeds against a mutant until enough of them saw it."""

import time
from dataclasses import dataclass

from tests.simulation.mutants.catalogue import CANARY
from tests.simulation.mutants.hunts import HUNTS
from tests.simulation.mutants.mutation import Mutant, mutated

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
