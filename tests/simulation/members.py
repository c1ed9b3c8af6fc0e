"""Validators that change while others fail: ``python -m tests.simulation.members --seeds A:B [--jobs J] [--json]``.

Each seed draws a network of four or five and three candidates, lets members come, go and change keys by ballots, with
crashes at every boundary, bad weather and at most one Byzantine member, heals, and demands that every member in the end
agrees. The exit code is 0 when nothing was violated, 1 otherwise, 2 for wrong usage.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from random import Random

from consensus.replica import describe_phase
from primitives.encoding import Struct
from primitives.limits import VALIDATORS_MIN
from tests.simulation.checkers import ViolationError
from tests.simulation.lying import ALL_BEHAVIOURS
from tests.simulation.memory import remember_signatures
from tests.simulation.network import Weather
from tests.simulation.run import parse_range
from tests.simulation.timeline import StuckError
from tests.simulation.workers import UsageError, check_jobs, play_all
from tests.simulation.world import World

CANDIDATES = 3
CHANGES = 6
POLL_MS = 100
FAULTS = ("members_", "byzantine_", "crash", "loss", "cut", "straggling", "doubling", "unsynced_lost")
LIMIT_MS = 40_000
"""For one change after healing: three rounds of capped time-outs, fetching, and the ballots that are cast again."""

RECAST_MS = 3000
"""An operator whose change did not happen asks the others again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to."""

    seed: int
    simulated_ms: int
    height: int
    epochs: int
    hits: Counter[str]
    violation: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """One change: the call of its ballots, and who validates when it has happened."""

    change: Struct
    members: list[int]
    replaced: tuple[int, int] | None = None


class Run:
    """One network through its changes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        size = self.random.choice((4, 4, 5))
        self.world = World(size, seed=seed, candidates=CANDIDATES)
        self.members = list(range(size))
        self.fresh = list(range(size, size + CANDIDATES))
        self.gone: list[int] = []
        self.liar: int | None = None
        if self.random.random() < 0.5:
            self.liar = self.random.choice(self.members)
            name = self.random.choice(sorted(ALL_BEHAVIOURS))
            self.world.set_behaviour(self.liar, ALL_BEHAVIOURS[name](self.random.randrange(2**32)))

    def play(self) -> None:
        """Make every change under faults, and check the end of each."""
        for epoch in range(1, CHANGES + 1):
            plan = self._draw_plan()
            if plan is None:
                break
            self._disturb(plan.change)
            self._heal()
            self._reach(epoch, plan)
            self.members = plan.members
            if plan.replaced is not None:
                self.world.community.take_over(*plan.replaced)
            self._commit()
        self.world.check()

    def _draw_plan(self) -> Plan | None:
        """Return the next change; None when four are left and every candidate's key has served."""
        community, members, random = self.world.community, self.members, self.random
        removable = [index for index in members if index != self.liar]
        kinds = ["add"] if self.fresh or self.gone else []
        kinds += ["replace"] if self.fresh else []
        kinds += ["remove"] * 2 if len(members) > VALIDATORS_MIN else []
        if not kinds:
            return None
        kind = random.choice(kinds)
        self.world.hits[f"members_{kind}"] += 1
        if kind == "remove":
            index = random.choice(removable)
            self.gone.append(index)
            return Plan(community.remove(index), [each for each in members if each != index])
        if kind == "replace":
            old, new = random.choice(removable), self.fresh.pop(0)
            following = [new if each == old else each for each in members]
            return Plan(community.replace(old, new), following, (old, new))
        pool = self.fresh or self.gone
        index = pool.pop(random.randrange(len(pool)))
        return Plan(community.add(index), [*members, index])

    def _disturb(self, change: Struct) -> None:
        """Cast the ballots while links are bad and members crash."""
        world, random = self.world, self.random
        world.network.weather = Weather(
            loss=random.choice((0, 0.1, 0.3)),
            doubling=0.1,
            straggling=random.choice((0, 0.2)),
            delay_ms=random.choice((1, 5, 40)),
            jitter_ms=random.choice((5, 50)),
        )
        if random.random() < 0.3:
            world.network.isolate(random.choice(self.members))
        for index, machine in enumerate(world.machines):
            if machine.is_alive and random.random() < 0.2:
                world.timeline.call(random.randint(0, 1500), self._crash, index)
        world.cast(change)
        world.run(random.randint(0, 2500))

    def _crash(self, index: int) -> None:
        if self.world.machines[index].is_alive:
            self.world.hits["crash"] += 1
            self.world.kill(index)

    def _heal(self) -> None:
        self.world.run(1500)
        self.world.network.heal()
        for machine in self.world.machines:
            if not machine.is_alive:
                self.world.restart(machine.index)

    def _reach(self, epoch: int, plan: Plan) -> None:
        """Let the change happen; who misses ballots asks for them again."""
        machines = [self.world.machines[index] for index in plan.members if index != self.liar]
        end_ms = self.world.now_ms + LIMIT_MS
        while not all(
            machine.state.epoch == epoch and describe_phase(machine.state) == "normal" for machine in machines
        ):
            if self.world.now_ms > end_ms:
                raise ViolationError("I8", 0, self.world.now_ms, f"epoch {epoch}: {self.world.describe()}")
            if all(m.state.epoch < epoch for m in machines) and self.world.now_ms % RECAST_MS < POLL_MS:
                self.world.cast(plan.change)
            self.world.run(POLL_MS)

    def _commit(self) -> None:
        """Let a payment be committed by every correct member."""
        sealed = self.world.community.grant(0, 1)
        correct = [index for index in self.members if index != self.liar]
        self.world.submit(sealed, to=correct)
        try:
            self.world.run_until(lambda: self.world.is_committed(sealed, correct), LIMIT_MS)
        except StuckError as error:
            raise ViolationError("I8", 0, self.world.now_ms, str(error)) from None


def run_seed(seed: int) -> Outcome:
    """Play one seed; a violation is in the outcome."""
    with remember_signatures():
        run = Run(seed)
        violation = None
        try:
            run.play()
        except ViolationError as error:
            violation = f"seed {seed}: {error}"
    world = run.world
    return Outcome(
        seed,
        world.now_ms,
        max(world.checker.chain, default=0),
        max(world.checker.memberships),
        world.hits,
        violation,
    )


def main(arguments: list[str]) -> int:
    """Play what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.members", description="Change members.")
    parser.add_argument("--seeds", required=True, metavar="A:B", help="the seeds A to B - 1")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that share the seeds")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    try:
        seeds = parse_range(options.seeds)
        check_jobs(options.jobs)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    begun = time.process_time()
    hits: Counter[str] = Counter()
    record = {"seeds": len(seeds), "range": options.seeds, "simulated_s": 0, "heights": 0, "epochs": 0}
    violations = []
    for outcome in play_all(run_seed, seeds, options.jobs):
        hits += outcome.hits
        record["simulated_s"] += outcome.simulated_ms // 1000
        record["heights"] += outcome.height
        record["epochs"] += outcome.epochs
        if outcome.violation is not None:
            violations.append(outcome.violation)
    faults = {name: count for name, count in sorted(hits.items()) if name.startswith(FAULTS)}
    told = record | {
        "faults": faults,
        "cpu_s": round(time.process_time() - begun, 1),
        "violations": violations,
    }
    lines = [json.dumps(told)] if options.json else [f"{name}: {value}" for name, value in told.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
