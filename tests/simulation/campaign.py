"""One seed: a network, its clients, its faults, then healing, and everything accepted must commit in time."""

from collections import Counter
from dataclasses import dataclass
from random import Random

from primitives.quorum import get_fault_tolerance
from tests.simulation.audit import find_imbalance
from tests.simulation.bounds import find_excess
from tests.simulation.checkers import ViolationError
from tests.simulation.clients import Clients
from tests.simulation.community import PARAMETERS
from tests.simulation.memory import remember_signatures
from tests.simulation.nemesis import Nemesis
from tests.simulation.timeline import StuckError
from tests.simulation.world import Noted, Told, World
from vm.genesis import ConsensusParameters

SIZES = range(4, 14)
BOUNDS_EVERY_MS = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed decides before anything happens."""

    seed: int
    validators: int
    byzantine: int
    depth: int
    duration_ms: int
    requests: int
    behaviours: tuple[str, ...] = ()
    """What the Byzantine ones do; drawn when empty."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What was violated, where, when, and how to see it again."""

    seed: int
    invariant: str
    replica: int
    time_ms: int
    text: str
    replay: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to."""

    plan: Plan
    trace: str
    simulated_ms: int
    heights: int
    transactions: int
    healed_in_ms: int
    hits: Counter[str]
    violation: Violation | None


def draw_plan(seed: int, validators: int | None = None, byzantine: int | None = None) -> Plan:
    """Return what a seed decides; sizes that are given are kept, the rest is drawn."""
    random = Random(f"plan {seed}")
    drawn_size = random.choice(SIZES)
    size = drawn_size if validators is None else validators
    share = random.random()
    faulty = int(share * (get_fault_tolerance(size) + 1)) if byzantine is None else byzantine
    return Plan(
        seed,
        size,
        faulty,
        depth=random.choice((1, 2, 2, 2, 4)),
        duration_ms=random.choice((3_000, 6_000, 10_000)),
        requests=random.choice((10, 20, 30)),
    )


def build_parameters(plan: Plan) -> ConsensusParameters:
    """Return the parameters of a seed's network."""
    return ConsensusParameters(
        depth=plan.depth,
        view_timeout_ms=PARAMETERS.view_timeout_ms,
        view_timeout_max_ms=PARAMETERS.view_timeout_max_ms,
        request_deadline_ms=PARAMETERS.request_deadline_ms,
        resend_ms=PARAMETERS.resend_ms,
        heartbeat_ms=PARAMETERS.heartbeat_ms,
        drift_ms=PARAMETERS.drift_ms,
    )


COMPANY_EVERY, COMPANY = 4, 3
"""In every fourth world a block waits for so many transactions while another is on its way, as production's do."""


class Run:
    """A seed while it runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.validators, plan.seed, parameters=build_parameters(plan), is_started=False)
        if plan.seed % COMPANY_EVERY == 0:
            self.world.worth_a_block = COMPANY
        self.clients = Clients(self.world, Random(f"clients {plan.seed}"))
        self.nemesis = Nemesis(self.world, Random(f"nemesis {plan.seed}"), plan.byzantine, plan.behaviours)
        self.healed_in_ms = 0

    def play(self) -> None:
        """Run to the end.

        Raises:
            ViolationError: an invariant does not hold.

        """
        world, plan = self.world, self.plan
        self.nemesis.begin()
        self.clients.begin()
        for number in range(plan.requests):
            world.timeline.call((number + 1) * plan.duration_ms // (plan.requests + 1), self.clients.draw)
        self._look()
        world.run(plan.duration_ms)
        self.nemesis.end()
        self._check_started()
        self._demand_progress()
        self._demand_rest()
        world.check()
        self._check_books()

    def _look(self) -> None:
        """Check I10 now and then."""
        world = self.world
        for machine in world.get_correct():
            if machine.process is not None:
                excess = find_excess(machine.process)
                if excess is not None:
                    raise ViolationError("I10", machine.index, world.now_ms, excess)
        world.timeline.call(BOUNDS_EVERY_MS, self._look)

    def _check_started(self) -> None:
        for machine in self.world.machines:
            if machine.process is None and not machine.is_damaged:
                text = f"does not start: {machine.refused_start}"
                raise ViolationError("recovery", machine.index, self.world.now_ms, text)

    def _demand_progress(self) -> None:
        """I8: what is submitted now commits everywhere in time, k faulty primaries in a row."""
        world = self.world
        probe = world.community.grant(0, amount=1)
        world.submit(probe)
        limit = compute_progress_bound_ms(world.parameters, self._count_faulty())
        self._wait(lambda: world.is_committed(probe), limit, "a valid transaction is not committed")
        self.healed_in_ms = world.now_ms - self.plan.duration_ms

    def _demand_rest(self) -> None:
        """I8: whatever clients still want is committed or refused, and all stand at one height."""
        world, clients = self.world, self.clients
        clients.forget_committed()
        clients.submit_everywhere()
        pending = list(clients.open.values())
        limit = compute_progress_bound_ms(world.parameters, self._count_faulty())
        self._wait(
            lambda: all(clients.is_settled(request) for request in pending),
            limit,
            "a transaction still waits",
        )
        running = [machine for machine in world.get_correct() if machine.is_alive]
        self._wait(
            lambda: len({machine.get_chain().get_height() for machine in running}) == 1,
            limit,
            "the heights differ",
        )

    def _wait(self, condition: object, limit_ms: int, text: str) -> None:
        try:
            self.world.run_until(condition, limit_ms)  # type: ignore[arg-type]
        except StuckError as error:
            raise ViolationError("I8", -1, self.world.now_ms, f"{text} {error}") from None

    def _check_books(self) -> None:
        """I4 in every detail, on a chain at the end."""
        correct = self.world.get_correct()[0]
        problem = find_imbalance(correct.get_chain())
        if problem is not None:
            raise ViolationError("I4", correct.index, self.world.now_ms, problem)

    def _count_faulty(self) -> int:
        return sum(1 for machine in self.world.machines if not machine.is_correct or not machine.is_alive)

    def count_hits(self) -> Counter[str]:
        """Return how often each fault had an effect."""
        hits = self.world.hits.copy()
        hits["disk_failed"] += sum(machine.disk.failed for machine in self.world.machines)
        hits["disk_full"] += sum(machine.disk.refused_full for machine in self.world.machines)
        return hits


def compute_progress_bound_ms(parameters: ConsensusParameters, faulty: int) -> int:
    """Return I8's bound: the deadline that starts the complaint, k + 2 capped view time-outs, one re-send interval."""
    return (
        parameters.request_deadline_ms + (faulty + 2) * parameters.view_timeout_max_ms + parameters.resend_ms
    )


def run_seed(
    seed: int,
    validators: int | None = None,
    byzantine: int | None = None,
    told: Told | None = None,
    noted: Noted | None = None,
) -> Outcome:
    """Play one seed; a violation is in the outcome."""
    return play_plan(draw_plan(seed, validators, byzantine), told, noted)


def play_plan(plan: Plan, told: Told | None = None, noted: Noted | None = None) -> Outcome:
    """Play one plan; a violation is in the outcome."""
    with remember_signatures():
        run = Run(plan)
        run.world.told, run.world.noted = told, noted
        violation = None
        try:
            run.play()
        except ViolationError as error:
            violation = Violation(
                plan.seed, error.invariant, error.machine, error.time_ms, error.text, describe_replay(plan)
            )
    world = run.world
    return Outcome(
        plan,
        world.get_trace(),
        world.now_ms,
        max(world.checker.chain, default=0),
        world.checker.transactions,
        run.healed_in_ms,
        run.count_hits(),
        violation,
    )


def describe_replay(plan: Plan) -> str:
    """Return the command that shows a seed's story."""
    return (
        f"python -m tests.simulation.run --seeds {plan.seed}:{plan.seed + 1} --replicas {plan.validators}"
        f" --byzantine {plan.byzantine} --trace"
    )
