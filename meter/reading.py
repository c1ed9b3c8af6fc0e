"""What a meter says: its cumulative registers at an instant, and how good the numbers are."""

from dataclasses import dataclass
from enum import StrEnum

from primitives.ids import UnixSeconds, WattHours


class MeterStatus(StrEnum):
    """The meter's own word about a reading; letters of OCMF 1.0, table "Meter States". Only G is good."""

    GOOD = "G"
    NOT_PRESENT = "N"
    TIMEOUT = "T"
    DISCONNECTED = "D"
    NOT_FOUND = "R"
    MANIPULATED = "M"
    EXCHANGED = "X"
    INCOMPATIBLE = "I"
    OUT_OF_RANGE = "O"
    SUBSTITUTE = "S"
    OTHER_ERROR = "E"
    READ_ERROR = "F"


@dataclass(frozen=True, slots=True)
class Reading:
    """The registers 1-0:1.8.0 (import) and 1-0:2.8.0 (export) at ``time_s``, the end of a slot."""

    time_s: UnixSeconds
    import_wh: WattHours
    export_wh: WattHours
    status: MeterStatus = MeterStatus.GOOD


def parse_status(text: str) -> MeterStatus | None:
    """Return the status of this letter or name in any case, an empty one meaning good; None when there is no such."""
    name = text.strip().upper() or MeterStatus.GOOD.name
    if name in MeterStatus.__members__:
        return MeterStatus[name]
    return MeterStatus(name) if name in set(MeterStatus) else None


def compute_pagination(time_s: UnixSeconds, opening_s: UnixSeconds, slot_s: int) -> int:
    """Return a meter's reading number at ``time_s``: one for each slot since its opening, from 1.

    Counted by time and not by sending: a reading that comes late still fits between its neighbours, and two signers
    of one meter agree without asking each other.
    """
    return (time_s - opening_s) // slot_s
