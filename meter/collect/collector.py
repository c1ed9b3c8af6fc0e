"""A collector: one source, one meter, one spool. Observations in, one signed reading for each slot on disk.

The spool alone says which slots have their reading: after a crash the collector begins behind the newest one, so that
nothing is signed twice. A reading that was lost before it reached the spool is contained in the next register.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from meter.collect.observation import Dropped, DropReason, LinkState, Observation, Observed
from meter.collect.slots import MS_PER_S, WINDOW_S, Registers, check_reading, pick_reading
from meter.collect.state import CollectorState, Facts, Gap, Seen, count, write_state
from meter.reading import Reading
from meter.signer import MeterClock, Signer, spool_readings
from meter.spool import Spool, SpoolEntry
from meter.spool_file import SpoolFailedError, SpoolFullError
from primitives.encoding import decode
from primitives.ids import Height, UnixMs, UnixSeconds, WattHours
from vm.contracts.energy.calls import SubmitReading

WRITE_S = 60
"""Between two writes of the state for observations alone: 1,440 small writes a day spare the card."""
AHEAD_MAX_S = 60
"""How far a source's own time may be ahead of this machine's: one reading of next year would end all before it."""
SWAP_SIGNS = frozenset({DropReason.REGISTER_DECREASED, DropReason.REGISTER_RESET, DropReason.METER_CHANGED})
"""What a meter that was exchanged looks like until the ledger knows of it."""


def read_clock() -> UnixMs:
    """Return this machine's UTC milliseconds."""
    return UnixMs(time.time_ns() // 1_000_000)


class Collector:
    """Takes what a source yields; ``listeners`` hear of each reading when it is on disk."""

    def __init__(
        self,
        spool: Spool,
        signer: Signer,
        state: CollectorState,
        state_path: Path,
        *,
        window_s: int = WINDOW_S,
        clock: Callable[[], UnixMs] = read_clock,
    ) -> None:
        """Take the parts; ``state.facts`` must be known."""
        self.spool = spool
        self.signer = signer
        self.state = state
        self.is_swap_suspected = False
        self._is_heard = False
        self.listeners: list[Callable[[Reading], None]] = []
        self._path = state_path
        self._window_s = window_s
        self._clock = clock

    @property
    def facts(self) -> Facts:
        """Return what is known of the meter."""
        if self.state.facts is None:
            raise AssertionError("a collector begins when the meter is known")
        return self.state.facts

    @property
    def now_s(self) -> int:
        """Return this machine's UTC seconds."""
        return self._clock() // MS_PER_S

    def take(self, observed: Observed) -> None:
        """Take one thing that the source saw; a reading that it makes is on disk when this returns."""
        match observed:
            case Dropped(reason=reason):
                self._drop(reason)
            case LinkState(problem=problem):
                self.state.reconnects += bool(problem) and not self.state.link_problem
                self.state.link_problem = problem
                self._is_heard = False
                self.write()
            case Observation():
                self._observe(observed)
                if not self._is_heard:  # a person who has just plugged it in wants to see that it speaks
                    self._is_heard = True
                    self.write()
            case _:
                assert_never(observed)
        if not 0 <= self.now_s - self.state.written_s < WRITE_S:
            self.write()

    def learn(self, facts: Facts) -> None:
        """Take what a validator says of the meter now."""
        self.state.facts = facts
        self.is_swap_suspected = False

    def find_before(self) -> Registers:
        """Return the newest registers that the spool or the ledger has; the ledger's when it is ahead of the spool."""
        known = Registers(
            UnixSeconds(self.facts.latest_s),
            WattHours(self.facts.latest_import_wh),
            WattHours(self.facts.latest_export_wh),
        )
        entry = self.spool.find_latest(self.signer.account)
        own = None if entry is None else read_entry(entry)
        return own if own is not None and own.time_s >= known.time_s else known

    def write(self) -> None:
        """Tell the state; a full disk is told by the spool, which matters more."""
        counts = self.spool.count_open()
        self.state.waiting = counts
        due = self.spool.get_due(1)
        oldest = read_entry(due[0]) if due else None
        self.state.oldest_waiting_s = None if oldest is None else oldest.time_s
        self.state.written_s = self.now_s
        with contextlib.suppress(OSError):
            write_state(self._path, self.state)

    def _observe(self, observation: Observation) -> None:
        self.state.observations += 1
        self.state.last_seen = Seen(
            observation.time_ms // MS_PER_S, observation.import_wh, observation.export_wh
        )
        reading = pick_reading(observation, self.facts.slot_s, self._window_s)
        if reading is None:
            return
        before = self.find_before()
        if reading.time_s <= before.time_s:
            return  # the slot has its reading
        problem = self._check(reading, observation.equipment, before)
        if problem is not None:
            self._drop(problem)
            return
        self._spool(reading, before)
        self.state.equipment = observation.equipment or self.state.equipment

    def _check(self, reading: Reading, equipment: str, before: Registers) -> DropReason | None:
        known = self.state.equipment
        last = self.state.last_reading
        # Registers that are newer than the last ones from here were given by the utility: it knows of the new meter.
        is_told = last is not None and before.time_s > last.time_s
        if reading.time_s > self.now_s + AHEAD_MAX_S:
            return DropReason.TIME_AHEAD
        problem = check_reading(reading, before, self.facts.rating_w)
        if known and equipment and known != equipment and not is_told:
            problem = DropReason.METER_CHANGED
        self.is_swap_suspected |= problem in SWAP_SIGNS
        return problem

    def _spool(self, reading: Reading, before: Registers) -> None:
        clock = MeterClock(UnixSeconds(self.facts.opening_s), self.facts.slot_s)
        try:
            spool_readings(self.spool, self.signer, clock, [reading], Height(self.facts.height))
        except SpoolFullError:
            self._drop(DropReason.SPOOL_FULL)
            return
        except SpoolFailedError:
            self._drop(DropReason.SPOOL_FAILED)
            return
        if reading.time_s - before.time_s > self.facts.slot_s:
            self.state.gaps += 1
            self.state.last_gap = Gap(before.time_s, reading.time_s)
        self.state.readings += 1
        self.state.last_reading = Seen(reading.time_s, reading.import_wh, reading.export_wh)
        self.write()
        for listener in self.listeners:
            listener(reading)

    def _drop(self, reason: DropReason) -> None:
        count(self.state.dropped, reason.value)
        self.state.last_dropped = reason.value
        self.state.last_dropped_s = self.now_s


def read_entry(entry: SpoolEntry) -> Registers | None:
    """Return the registers that a spooled transaction says; None when it is no reading."""
    call = entry.transaction.transaction.call
    if (call.contract, call.method) != ("energy", "submit_reading"):
        return None
    said = decode(call.arguments, SubmitReading)
    return Registers(UnixSeconds(said.time_s), WattHours(said.import_wh), WattHours(said.export_wh))
