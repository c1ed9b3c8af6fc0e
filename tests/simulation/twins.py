"""Twins: one key on two machines, each with the correct code, over schedules of leaders and partitions.

After Bano and others, "Twins: BFT Systems Made Robust" (2021): a Byzantine replica is simulated by two correct ones
that share its key and see different halves of the network. A schedule is a few rounds. In each round every machine is
on one of two sides, nothing crosses between them, both sides get transactions that exclude each other, and everybody
may be made to leave the view first, so that another leads. With four validators every schedule of two rounds is played,
for every place of the twins among the leaders; numbers beyond those draw longer schedules and larger networks.

``python -m tests.simulation.twins --schedules N [--first K] [--jobs J] [--json]``
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import product
from random import Random

from consensus.events import Overdue
from node.inbox import REQUEST_TIMEOUT_S
from tests.simulation.campaign import compute_progress_bound_ms
from tests.simulation.checkers import ViolationError
from tests.simulation.memory import remember_signatures
from tests.simulation.timeline import StuckError
from tests.simulation.workers import UsageError, check_jobs, play_all
from tests.simulation.world import World
from vm.genesis import ConsensusParameters
from vm.transaction import SealedTransaction

PARAMETERS = ConsensusParameters(
    depth=2,
    view_timeout_ms=150,
    view_timeout_max_ms=300,
    request_deadline_ms=150,
    resend_ms=50,
    heartbeat_ms=10_000,
    drift_ms=2000,
)
"""Short waits, so that a round of ROUND_MS sees a view change come to its end."""

ROUND_MS = 400
VALIDATORS = 4
ROUNDS = 2
SIDES = 2**VALIDATORS
"""Ways to put five machines on two sides; the last machine is always on the second."""

ENUMERATED = VALIDATORS * (2 * SIDES) ** ROUNDS
SPREAD = 1237
"""Odd, so that numbers are spread over the enumerated schedules, each once: the first few hundred are of every kind."""

SCHEDULES_PER_TASK = 25
SAMPLED_SIZES = (4, 4, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Round:
    """Who is on the first side, one bit for each machine, and whether everybody leaves the view first."""

    side: int
    is_leader_changed: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """A network with twins, and what happens to it round by round."""

    number: int
    validators: int
    twins: tuple[int, ...]
    rounds: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """What a schedule came to."""

    heights: int
    simulated_ms: int
    committed_while_split: int
    hits: Counter[str]
    violation: str | None


def get_schedule(number: int) -> Schedule:
    """Return a schedule by its number: the enumerated ones first, then drawn ones without end."""
    if number >= ENUMERATED:
        return _draw_schedule(number)
    place = number * SPREAD % ENUMERATED
    twin, rest = place % VALIDATORS, place // VALIDATORS
    choices = list(product(range(SIDES), (False, True)))
    rounds = []
    for _ in range(ROUNDS):
        rest, chosen = divmod(rest, len(choices))
        rounds.append(Round(*choices[chosen]))
    return Schedule(number, VALIDATORS, (twin,), tuple(rounds))


def _draw_schedule(number: int) -> Schedule:
    random = Random(f"twins {number}")
    validators = random.choice(SAMPLED_SIZES)
    twins = tuple(sorted(random.sample(range(validators), (validators - 1) // 3)))
    machines = validators + len(twins)
    rounds = tuple(
        Round(random.randrange(2 ** (machines - 1)), random.random() < 0.5)
        for _ in range(random.randint(3, 6))
    )
    return Schedule(number, validators, twins, rounds)


def play_schedule(schedule: Schedule) -> Played:
    """Play a schedule, then heal, and demand agreement and progress of all that have no twin."""
    with remember_signatures():
        world = _start_world(schedule)
        violation = None
        split = 0
        try:
            world.submit(world.community.grant(0))
            world.run(20)
            for step in schedule.rounds:
                _play_round(world, step)
            split = max(world.checker.chain, default=0)
            _heal(world, len(schedule.twins))
            world.check()
        except ViolationError as error:
            violation = f"{error} (schedule {schedule.number})"
        except StuckError as error:
            violation = f"I8: {error} (schedule {schedule.number})"
    heights = max(world.checker.chain, default=0)
    return Played(heights, world.now_ms, split, world.hits, violation)


def _start_world(schedule: Schedule) -> World:
    """Return the running network. Its twins do not ask what their key has signed: the later one would hear the other
    and be silent, and an adversary is not.
    """
    world = World(
        schedule.validators, schedule.number, twins=schedule.twins, parameters=PARAMETERS, is_started=False
    )
    for machine in world.machines:
        machine.is_asking = machine.is_correct
        world.restart(machine.index)
    return world


def _play_round(world: World, step: Round) -> None:
    machines = range(len(world.machines))
    first = {index for index in machines if step.side >> index & 1}
    world.network.heal()
    world.network.cut_between(first, set(machines) - first)
    for side in (first, set(machines) - first):
        world.submit(_contradict(world, min(side, default=0)), to=sorted(side))
    if step.is_leader_changed:
        for machine in world.machines:
            host = machine.get_process().host
            host.put(Overdue(host.now()))
    world.run(ROUND_MS)


def _contradict(world: World, amount: int) -> SealedTransaction:
    """Return a payment with the next nonce that another side uses for another amount."""
    nonce = world.community.get_nonce(0) + 1 + world.now_ms // ROUND_MS
    return world.community.transfer(0, 1, amount=amount + 1, nonce=nonce)


def _heal(world: World, twins: int) -> None:
    """Demand progress within I8's bound; who fell behind may first wait for an answer to a question that was lost."""
    world.network.heal()
    probe = world.community.grant(1)
    world.submit(probe)
    limit_ms = compute_progress_bound_ms(PARAMETERS, twins) + int(REQUEST_TIMEOUT_S * 1000)
    world.run_until(lambda: world.is_committed(probe), limit_ms)


@dataclass
class Total:
    """What many schedules came to."""

    schedules: int = 0
    enumerated: int = 0
    heights: int = 0
    simulated_ms: int = 0
    committed_while_split: int = 0
    cpu_s: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, number: int, played: Played) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.enumerated += number < ENUMERATED
        self.heights += played.heights
        self.simulated_ms += played.simulated_ms
        self.committed_while_split += played.committed_while_split
        self.hits += played.hits
        if played.violation is not None:
            self.violations.append(played.violation)

    def build_record(self) -> dict[str, object]:
        """Return the totals as they are printed and kept."""
        record = asdict(self) | {"simulated_s": self.simulated_ms // 1000, "cpu_s": round(self.cpu_s, 1)}
        del record["simulated_ms"], record["hits"]
        record["sampled"] = self.schedules - self.enumerated
        record["view_changes"] = self.hits["ViewStarted"]
        record["equivocations"] = self.hits["Equivocation"]
        return record


def play_numbers(numbers: range) -> tuple[list[Played], float]:
    """Play the schedules of these numbers; return what they came to and the processor time."""
    begun = time.process_time()
    played = [play_schedule(get_schedule(number)) for number in numbers]
    return played, time.process_time() - begun


def main(arguments: list[str]) -> int:
    """Play as many schedules as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.twins", description="Play twins.")
    parser.add_argument("--schedules", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the number of the first one")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that share them")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    try:
        check_jobs(options.jobs)
        if options.schedules < 1 or options.first < 0:
            raise UsageError("--schedules is at least 1, --first at least 0")  # noqa: TRY301  # as those of check_jobs
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    total = Total()
    end = options.first + options.schedules
    tasks = [
        range(first, min(first + SCHEDULES_PER_TASK, end))
        for first in range(options.first, end, SCHEDULES_PER_TASK)
    ]
    for numbers, (played, cpu_s) in zip(tasks, play_all(play_numbers, tasks, options.jobs), strict=True):
        total.cpu_s += cpu_s
        for number, each in zip(numbers, played, strict=True):
            total.add(number, each)
    record = total.build_record()
    sys.stdout.write(json.dumps(record) if options.json else describe(total))
    sys.stdout.write("\n")
    return 1 if total.violations else 0


def describe(total: Total) -> str:
    """Return the totals for people."""
    lines = [
        f"{total.schedules} schedules, {total.enumerated} of the {ENUMERATED} enumerated ones",
        f"{total.heights} blocks, {total.committed_while_split} of them while the network was split",
        f"{total.hits['ViewStarted']} views entered, {total.hits['Equivocation']} contradictions seen",
        *total.violations,
        f"{len(total.violations)} violations" if total.violations else "no violations",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
