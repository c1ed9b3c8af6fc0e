"""A crash at every write: each operation of a disk, in each phase of a validator's life, is once the last of all.

A phase is a short deterministic run in which one validator, the victim, does something. It is played once to count the
victim's disk operations, then once for each operation and each ``Moment``. After each, everybody starts again from what
the disks hold, and everything that was accepted must be committed; the world's checkers look at I1 to I7 all the way.

``python -m tests.simulation.crash_points [--fates N] [--json]``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from node.storage.integrity import check_everything
from node.storage.journal_frames import BLOCK_BYTES, Scan, read_header, scan
from tests.simulation.checkers import ViolationError
from tests.simulation.crash_disk import GROWING, POWER_CUTS, CrashDisk, Moment, Point
from tests.simulation.disk import JOURNAL, PowerCutError
from tests.simulation.memory import remember_signatures
from tests.simulation.timeline import StuckError
from tests.simulation.world import Machine, World
from vm.transaction import SealedTransaction

RECOVERED_WITHIN_MS = 90_000
"""Of virtual time: whoever asks for a snapshot before anybody has one asks again after a minute."""

KEPT = 4
"""Blocks that are kept in phases that let old ones go."""

OPERATIONS_MAX = 200
"""More than any phase here takes: beyond it a phase never ends."""


class CrashWorld(World):
    """Four validators, and perhaps one who is to join them; the victim among them has a CrashDisk."""

    def __init__(self, phase: "Phase") -> None:
        super().__init__(4, is_started=False, candidates=phase.candidates, keep_blocks=phase.keep_blocks)
        victim, rewrite_above = phase.victim, phase.rewrite_above
        self.victim = victim
        self.ballots: list[SealedTransaction] = []
        self.disk = CrashDisk()
        self.machines[victim].disk = self.disk
        if rewrite_above is not None:
            self.rewrite_above = rewrite_above

    def note_power_cut(self, machine: Machine) -> None:
        super().note_power_cut(machine)
        if self.disk.point is not None and self.disk.point.moment is Moment.EVERYWHERE:
            for other in self.machines:
                if other.is_alive:
                    self.kill(other.index)

    def start_all(self) -> None:
        """Start whoever does not run."""
        for machine in self.machines:
            if not machine.is_alive:
                self.restart(machine.index)

    def commit(self, count: int) -> None:
        """Let so many blocks be committed by everybody who runs."""
        for _ in range(count):
            self.submit_one()
            self.run(120)

    def submit_one(self) -> None:
        """Let a client send one transaction to all."""
        self.submit(self.community.grant(self.random.randrange(4)))


@dataclass(frozen=True, slots=True)
class Phase:
    """What happens before the victim's operations count, and while they do."""

    victim: int
    prepare: Callable[[CrashWorld], None]
    act: Callable[[CrashWorld], None]
    rewrite_above: int | None = None
    candidates: int = 0
    keep_blocks: int = 0


def begin(world: CrashWorld) -> None:
    world.start_all()
    world.commit(1)


def start_others(world: CrashWorld) -> None:
    for machine in world.machines:
        if machine.index != world.victim:
            world.restart(machine.index)
    world.run(50)


def start_victim(world: CrashWorld) -> None:
    world.restart(world.victim)
    world.submit_one()
    world.run(150)


def order_two(world: CrashWorld) -> None:
    world.submit_one()
    world.run(12)
    world.submit_one()
    world.run(150)


def lose_primary(world: CrashWorld) -> None:
    """The primary dies when some are prepared: the new view must propose the same again."""
    world.submit_one()
    world.run(9)
    if world.machines[0].is_alive:
        world.kill(0)
    world.submit_one()
    world.run(4_000)


def fall_behind(world: CrashWorld) -> None:
    begin(world)
    world.network.isolate(world.victim)
    world.commit(4)
    world.network.heal()


def catch_up(world: CrashWorld) -> None:
    world.run(1_500)


def fill(world: CrashWorld) -> None:
    """Commit as many blocks as are kept: with each further one the lowest is let go."""
    begin(world)
    world.commit(KEPT + 1)


def sleep_long(world: CrashWorld) -> None:
    """The victim is off while the others let go of the blocks that it misses: only a snapshot brings it back."""
    begin(world)
    world.kill(world.victim)
    world.commit(3 * KEPT)


def wake_up(world: CrashWorld) -> None:
    world.restart(world.victim)
    world.run(3_000)


def end_epoch(world: CrashWorld) -> None:
    """The validators let v4 in: the block that decides it is the last of its epoch."""
    world.ballots = world.cast(world.community.add(4))
    world.run(800)


def stop_in_the_middle(world: CrashWorld) -> None:
    """The process ends between two of its turns; what it had not synced is gone with it, and then the power goes."""
    world.submit_one()
    world.run(8)
    if world.machines[world.victim].is_alive:
        world.stop(world.victim)
    world.run(50)


def tear_end(world: CrashWorld) -> None:
    """The power goes in the middle of a journal's write, and leaves its beginning: the next start cuts it."""
    _tear(world, lambda left: left.is_torn and not left.is_degraded)


def tear_middle(world: CrashWorld) -> None:
    """The power goes in the middle of a journal's write, and leaves some sectors: the next start writes it anew."""
    _tear(world, lambda left: left.is_degraded)


def _tear(world: CrashWorld, is_wanted: Callable[[Scan], bool]) -> None:
    begin(world)
    for fate in range(OPERATIONS_MAX):
        world.disk.arm(Point(0, Moment.DURING, fate))
        world.submit_one()
        world.run(100)
        data = world.disk.files.get(JOURNAL) or b""
        if is_wanted(scan(data, read_header(data))):
            return
        world.disk.arm(None)
        world.restart(world.victim)
        world.run(600)
    raise AssertionError("no journal was ever torn like that")


def spoil_a_copy(world: CrashWorld) -> None:
    """A bit of the newest vote's second copy flips while the machine is off."""
    begin(world)
    world.stop(world.victim)
    data = world.disk.files.get(JOURNAL) or b""
    world.disk.files.flip(JOURNAL, len(data.rstrip(b"\0")) - 10, 3)


PHASES: dict[str, Phase] = {
    "first start": Phase(1, start_others, start_victim),
    "agreement, primary": Phase(0, begin, order_two),
    "agreement, backup": Phase(1, begin, order_two),
    "view change, next primary": Phase(1, begin, lose_primary),
    "view change, backup": Phase(2, begin, lose_primary),
    "catch-up": Phase(3, fall_behind, catch_up),
    "journal rewritten": Phase(1, begin, order_two, rewrite_above=8 * BLOCK_BYTES),
    "start with a torn end": Phase(1, tear_end, start_victim),
    "start with torn sectors": Phase(1, tear_middle, start_victim),
    "start with a damaged copy": Phase(1, spoil_a_copy, start_victim),
    "old blocks let go": Phase(1, fill, order_two, keep_blocks=KEPT),
    "snapshot": Phase(3, sleep_long, wake_up, keep_blocks=KEPT),
    "end of an epoch, validator": Phase(1, begin, end_epoch, candidates=1),
    "end of an epoch, newcomer": Phase(4, begin, end_epoch, candidates=1),
    "shutdown": Phase(1, begin, stop_in_the_middle),
}


def play(phase: Phase, point: Point | None) -> CrashWorld:
    """Play a phase, with a break at ``point``; return the world after everybody recovered.

    Raises:
        ViolationError: an invariant does not hold.
        StuckError: something accepted was not committed in time.

    """
    world = CrashWorld(phase)
    phase.prepare(world)
    world.disk.arm(point)
    phase.act(world)
    recover(world, point)
    return world


def recover(world: CrashWorld, point: Point | None) -> None:
    """Start everybody from their disks, and demand that everything goes on."""
    victim = world.machines[world.victim]
    if point is not None and point.moment in POWER_CUTS and not victim.is_alive:
        world.disk.point = None
    if point is not None and point.moment not in POWER_CUTS:
        expect_named_stop(world, victim)
    world.disk.mend()
    for machine in world.machines:
        if not machine.is_alive and not world.restart(machine.index):
            raise ViolationError("start", machine.index, world.now_ms, machine.refused_start or "power cut")
    world.network.heal()
    sealed = world.community.grant(0)
    for each in (*world.ballots, sealed):  # whoever voted asks again, as an operator would
        world.submit(each)
    world.run_until(lambda: is_recovered(world, sealed), RECOVERED_WITHIN_MS)
    world.check()
    check_everything(victim.get_chain())


def is_recovered(world: CrashWorld, sealed: SealedTransaction) -> bool:
    """Tell whether everybody runs, has the same chain, in which everything is, and is in the epoch that was voted for.

    Who came by a snapshot has no index of what is below it, so the checker is asked, which saw it executed.
    """
    if not all(machine.is_alive for machine in world.machines) or len(set(world.get_heights())) > 1:
        return False
    height = world.checker.applied.get(sealed.id)
    epoch = 1 if world.ballots else 0
    is_executed = height is not None and height <= world.get_heights()[0]
    return is_executed and all(machine.state.epoch == epoch for machine in world.machines)


def expect_named_stop(world: CrashWorld, victim: Machine) -> None:
    """Refuse that a validator goes on after its disk refused, or stops without a name."""
    if victim.is_alive and (world.disk.failed or world.disk.refused_full):
        raise ViolationError("persist", victim.index, world.now_ms, "it goes on although its disk refused")
    said = victim.refused_start or " ".join(name for name in world.hits if name.startswith("stopped_"))
    if not victim.is_alive and not any(
        name in said for name in ("JournalFailed", "StoreFailed", "StoreFull")
    ):
        raise ViolationError("stop", victim.index, world.now_ms, f"it stopped without a name: {said}")


def list_points(operations: list[str], fates: int) -> Iterator[Point]:
    """Yield every break of a phase with these operations."""
    for number, name in enumerate(operations):
        for moment in Moment:
            if moment is Moment.FULL and name not in GROWING:
                continue
            is_torn_there = moment in {Moment.DURING, Moment.EVERYWHERE}
            for fate in range(fates if is_torn_there else 1):
                yield Point(number, moment, fate)


@dataclass
class Tally:
    """What a campaign came to."""

    points: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def count_operations(phase: Phase) -> list[str]:
    """Return the victim's operations in an undisturbed phase."""
    world = CrashWorld(phase)
    phase.prepare(world)
    world.disk.arm(None)
    phase.act(world)
    operations = list(world.disk.log)
    recover(world, None)
    return operations


def break_everywhere(name: str, fates: int, tally: Tally) -> None:
    """Break a phase at each of its operations in every way."""
    phase = PHASES[name]
    operations = count_operations(phase)
    tally.operations.update(operations)
    for point in list_points(operations, fates):
        try:
            if not play(phase, point).disk.is_hit:
                tally.violations.append(f"{name}, {point}: the operation was never reached")
        except (ViolationError, StuckError, PowerCutError) as error:
            tally.violations.append(f"{name}, {point}: {type(error).__name__} {error}")
        tally.points[name] += 1
        tally.moments[point.moment] += 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="crash_points", description="Crash a validator at every write.")
    parser.add_argument(
        "--fates", type=int, default=1, help="how many ways a torn medium is drawn (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args(arguments)
    if options.fates < 1:
        parser.error("--fates is at least 1")
    tally = Tally()
    with remember_signatures():
        for name in PHASES:
            break_everywhere(name, options.fates, tally)
    answer = {
        "points": sum(tally.points.values()),
        "survived": sum(tally.points.values()) - len(tally.violations),
        "phases": dict(tally.points),
        "moments": dict(tally.moments),
        "operations": dict(sorted(tally.operations.items())),
        "violations": tally.violations,
    }
    sys.stdout.write(json.dumps(answer, indent=None if options.json else 2) + "\n")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
