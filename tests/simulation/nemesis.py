"""What goes wrong, and when: drawn from a seed, within what the protocol promises to bear.

Byzantine machines and those whose disks lost what no crash may take never exceed f together. How often a fault *hit* is
counted where it has its effect.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from primitives.quorum import get_fault_tolerance
from tests.simulation.disk import JOURNAL
from tests.simulation.lying import ALL_BEHAVIOURS
from tests.simulation.network import Weather

if TYPE_CHECKING:
    from tests.simulation.world import Machine, World

HOUR_MS = 3_600_000


class Nemesis:
    """Disturbs a world until it is told to stop."""

    def __init__(
        self, world: "World", random: Random, byzantine: int, behaviours: tuple[str, ...] = ()
    ) -> None:
        """Take over ``byzantine`` machines; what they do is drawn, or comes from ``behaviours``, over and over."""
        self.world = world
        self.random = random
        self.budget = get_fault_tolerance(world.size) - byzantine
        self.is_over = False
        self._choose_liars(byzantine, behaviours)
        self.faults: list[tuple[int, Callable[[], None]]] = [
            (6, self._change_weather),
            (5, self._cut),
            (4, self._clog),
            (7, self._kill),
            (5, self._cut_power_in_write),
            (2, self._stop_process),
            (1, self._kill_all),
            (2, self._slow_disk),
            (2, self._fill_disk),
            (2, self._fail_disk),
            (1, self._flip_bit),
            (1, self._lose_store),
            (2, self._jump_clock),
        ]

    def begin(self) -> None:
        """Start the validators, some of them late, and the faults."""
        for machine in self.world.machines:
            if self.random.random() < 0.1:
                self.world.hits["late_start"] += 1
                self._restart_later(machine)
            else:
                self.world.restart(machine.index)
        self._plan()

    def disturb(self) -> None:
        """Let one thing go wrong."""
        if self.is_over:
            return
        weights = [weight for weight, _ in self.faults]
        self.random.choices([fault for _, fault in self.faults], weights)[0]()
        self._plan()

    def end(self) -> None:
        """Heal everything but what is Byzantine or damaged, and start what is down."""
        self.is_over = True
        world = self.world
        world.network.heal()
        for machine in world.machines:
            machine.disk.cut_in = machine.disk.fail_in = None
            machine.disk.is_full, machine.disk.sync_ms = False, 1
            machine.wall_offset_ms = 0
            if machine.process is None and not self._is_hopeless(machine):
                world.restart(machine.index)

    def _plan(self) -> None:
        self.world.timeline.call(self.random.randint(30, 900), self.disturb)

    def _choose_liars(self, count: int, behaviours: tuple[str, ...]) -> None:
        chosen = self.random.sample(range(self.world.size), count)
        if chosen and self.random.random() < 0.5 and not {0, 1} & set(chosen):
            chosen[0] = self.random.randrange(2)  # who leads the first views has more to lie about
        for place, index in enumerate(sorted(chosen)):
            drawn = self.random.choice(sorted(ALL_BEHAVIOURS))
            name = behaviours[place % len(behaviours)] if behaviours else drawn
            self.world.set_behaviour(index, ALL_BEHAVIOURS[name](self.random.randrange(2**32)))

    def _draw_running(self) -> "Machine | None":
        running = [machine for machine in self.world.machines if machine.is_alive]
        return self.random.choice(running) if running else None

    def _restart_later(self, machine: "Machine", delay_ms: int | None = None) -> None:
        if delay_ms is None:
            delay_ms = self.random.choice((20, 200, 1500, 4000))
        self.world.timeline.call(self.random.randint(1, delay_ms), self._restart, machine)

    def _restart(self, machine: "Machine") -> None:
        if self.is_over or machine.is_alive or self._is_hopeless(machine):
            return
        if not self.world.restart(machine.index) and not self._is_hopeless(machine):
            self._restart_later(machine)

    def _is_hopeless(self, machine: "Machine") -> bool:
        """Tell whether its damaged journal was refused: it will never vote again."""
        return machine.is_damaged and "JournalCorrupt" in (machine.refused_start or "")

    # network

    def _change_weather(self) -> None:
        random = self.random
        self.world.network.weather = Weather(
            loss=random.choice((0, 0, 0.05, 0.3)),
            doubling=random.choice((0, 0.05, 0.2)),
            straggling=random.choice((0, 0.05, 0.2)),
            delay_ms=random.choice((1, 1, 5, 40)),
            jitter_ms=random.choice((3, 20, 100)),
            straggler_ms=random.choice((200, 1500)),
        )

    def _cut(self) -> None:
        size, random = len(self.world.machines), self.random
        side = set(random.sample(range(size), random.randint(1, size - 1)))
        links = [(one, other) for one in sorted(side) for other in range(size) if other not in side]
        chance = random.choice((0.0, 0.5, 1.0))
        links += [(other, one) for one, other in links if random.random() < chance]
        for link in links:
            self.world.network.cut(*link)
        self.world.timeline.call(random.randint(50, 4000), self._mend, links)

    def _mend(self, links: list[tuple[int, int]]) -> None:
        for link in links:
            self.world.network.mend(*link)

    def _clog(self) -> None:
        size, random = len(self.world.machines), self.random
        source = random.randrange(size)
        targets = random.sample([i for i in range(size) if i != source], random.randint(1, size - 1))
        for target in targets:
            self.world.network.clog(source, target)
            self.world.timeline.call(random.randint(50, 3000), self.world.network.release, source, target)

    # crashes

    def _kill(self) -> None:
        machine = self._draw_running()
        if machine is not None:
            self.world.hits["crash"] += 1
            self.world.kill(machine.index)
            self._restart_later(machine)

    def _cut_power_in_write(self) -> None:
        machine = self._draw_running()
        if machine is not None:
            self.world.crash_at(machine.index, self.random.randint(0, 6))
            self.world.timeline.call(2000, self._restart_later, machine)

    def _stop_process(self) -> None:
        machine = self._draw_running()
        if machine is not None:
            self.world.hits["process_killed"] += 1
            self.world.stop(machine.index)
            self._restart_later(machine)

    def _kill_all(self) -> None:
        self.world.hits["crash_of_all"] += 1
        for machine in self.world.machines:
            if machine.is_alive:
                self.world.kill(machine.index)
            self._restart_later(machine, 300)

    # disks and clocks

    def _slow_disk(self) -> None:
        machine = self.random.choice(self.world.machines)
        self.world.hits["slow_disk"] += 1
        machine.disk.sync_ms = self.random.choice((15, 80, 400))
        self.world.timeline.call(self.random.randint(500, 4000), self._mend_disk, machine)

    def _fill_disk(self) -> None:
        machine = self.random.choice(self.world.machines)
        machine.disk.is_full = True
        self.world.timeline.call(self.random.randint(100, 3000), self._mend_disk, machine)

    def _fail_disk(self) -> None:
        machine = self.random.choice(self.world.machines)
        machine.disk.fail_in = self.random.randint(0, 5)
        self.world.timeline.call(self.random.randint(300, 3000), self._mend_disk, machine)

    def _mend_disk(self, machine: "Machine") -> None:
        machine.disk.is_full, machine.disk.fail_in, machine.disk.sync_ms = False, None, 1
        self._restart(machine)

    def _flip_bit(self) -> None:
        """Let one bit of a journal change while its validator is down; only where f allows one more faulty."""
        machine = self._draw_running()
        if machine is None or not self._charge(machine):
            return
        self.world.kill(machine.index)
        data = machine.disk.files.get(JOURNAL)
        if data:
            self.world.hits["bit_flipped"] += 1
            machine.disk.files.flip(JOURNAL, self.random.randrange(len(data)), self.random.randrange(8))
        self._restart_later(machine)

    def _lose_store(self) -> None:
        """Let an operator move a damaged store away; only where f allows one more faulty."""
        machine = self._draw_running()
        if machine is None or not self._charge(machine):
            return
        self.world.hits["store_lost"] += 1
        self.world.kill(machine.index)
        machine.disk.replace_store()
        self._restart_later(machine)

    def _charge(self, machine: "Machine") -> bool:
        """Count a machine as faulty if f allows it."""
        if machine.behaviour is not None or machine.is_damaged:
            machine.is_damaged = True
            return True
        if self.budget == 0:
            return False
        self.budget -= 1
        machine.is_damaged = True
        return True

    def _jump_clock(self) -> None:
        machine = self.random.choice(self.world.machines)
        self.world.hits["clock_jump"] += 1
        machine.wall_offset_ms = self.random.choice((-HOUR_MS, -5000, 0, 5000, HOUR_MS))
