"""From registers at any time to the one reading of a slot, and whether it may be true.

The contract wants the registers at the end of a slot and takes differences. So the first observation at or just after
an end counts as the registers of that end; nothing is interpolated, and nothing is made up where none came in time.
What was drawn between the end and the observation counts for the slot before: the sum over slots stays exact.
"""

from dataclasses import dataclass

from meter.collect.observation import DropReason, Observation
from meter.reading import Reading
from primitives.ids import UnixSeconds, WattHours

WINDOW_S = 60
"""How long after a slot's end an observation still counts for it: meters send every 1 to 10 s, gateways every 30."""
MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers that the ledger knows or will know: the newest reading, or those at the opening."""

    time_s: UnixSeconds
    import_wh: WattHours
    export_wh: WattHours


def pick_reading(observation: Observation, slot_s: int, window_s: int = WINDOW_S) -> Reading | None:
    """Return the reading of the slot whose end the observation has just passed; None in between."""
    past_ms = observation.time_ms % (slot_s * MS_PER_S)
    if past_ms > window_s * MS_PER_S:
        return None
    end_s = UnixSeconds((observation.time_ms - past_ms) // MS_PER_S)
    return Reading(end_s, observation.import_wh, observation.export_wh, observation.status)


def check_reading(reading: Reading, before: Registers, rating_w: int) -> DropReason | None:
    """Tell what cannot be true of a reading that follows ``before`` on a connection of ``rating_w`` watts.

    Both registers so low that they may have been counted from zero since then are called a reset, any other lower
    one a decrease; neither is signed. A gap is no reason: its energy is booked in the slot that the reading closes.
    """
    elapsed_s = reading.time_s - before.time_s
    if reading.import_wh < before.import_wh or reading.export_wh < before.export_wh:
        is_from_zero = max(reading.import_wh, reading.export_wh) * 3600 <= rating_w * elapsed_s
        return DropReason.REGISTER_RESET if is_from_zero else DropReason.REGISTER_DECREASED
    increase_wh = max(reading.import_wh - before.import_wh, reading.export_wh - before.export_wh)
    if increase_wh * 3600 > rating_w * elapsed_s:
        return DropReason.ABOVE_LIMIT
    return None
