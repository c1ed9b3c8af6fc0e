"""A collector on a spool of its own, and a clock that the test moves."""

from dataclasses import dataclass, field
from pathlib import Path

from meter.collect.collector import Collector
from meter.collect.observation import Observation
from meter.collect.state import CollectorState, Facts, read_state
from meter.signer import Signer
from meter.spool import Spool
from primitives.ids import UnixMs, WattHours
from tests.meter.networks import ANCHOR, METER, METER_KEY

SLOT_S = 900
OPENING_S = 900 * 1_900_000
SIGNER = Signer(METER_KEY, METER, ANCHOR.genesis_hash)
FACTS = Facts(METER.hex(), OPENING_S, SLOT_S, 43_000, OPENING_S, 1_000_000, 400_000, 0)
"""Opened at 1,000 kWh; the connection carries 10,750 Wh in a slot."""


@dataclass
class Clock:
    """Stands still until it is moved; in the beginning 20 slots after the opening."""

    now_ms: int = (OPENING_S + 20 * SLOT_S) * 1000

    def __call__(self) -> UnixMs:
        return UnixMs(self.now_ms)

    def move_to(self, time_s: float) -> None:
        self.now_ms = int(time_s * 1000)


@dataclass
class Home:
    """Where a collector keeps its things; each ``open`` is a process of its own."""

    directory: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def state_path(self) -> Path:
        return self.directory / "alder.json"

    @property
    def spool_path(self) -> Path:
        return self.directory / "alder.db"

    def start(self, spool: Spool, facts: Facts | None = FACTS) -> Collector:
        state = read_state(self.state_path, "alder")
        state.facts = facts or state.facts
        return Collector(spool, SIGNER, state, self.state_path, clock=self.clock)

    def read(self) -> CollectorState:
        return read_state(self.state_path, "alder")


def observe(
    slot: int, import_wh: int, export_wh: int = 400_000, late_ms: int = 2000, equipment: str = ""
) -> Observation:
    """What a meter shows a moment after the end of a slot, counted from 1."""
    time_ms = UnixMs((OPENING_S + slot * SLOT_S) * 1000 + late_ms)
    return Observation(time_ms, WattHours(import_wh), WattHours(export_wh), equipment=equipment)
