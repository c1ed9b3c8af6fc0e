"""What a meter says: its cumulative registers at an instant, and how good the numbers are."""

from dataclasses import dataclass
from enum import StrEnum

from primitives.ids import UnixSeconds, WattHours


class MeterStatus(StrEnum):
    """The quality of a reading."""

    MEASURED = "measured"
    PROVISIONAL = "provisional"
    MISSING = "missing"
    ESTIMATED = "estimated"
    SUBSTITUTE = "substitute"


@dataclass(frozen=True, slots=True)
class Reading:
    """The registers 1-0:1.8.0 (import) and 1-0:2.8.0 (export) at ``time_s``, the end of a slot."""

    time_s: UnixSeconds
    import_wh: WattHours
    export_wh: WattHours
    status: MeterStatus = MeterStatus.MEASURED


def parse_status(text: str) -> MeterStatus | None:
    """Return the status of this name in any case, an empty one meaning measured; None when there is no such."""
    name = text.strip().upper() or MeterStatus.MEASURED.name
    return MeterStatus[name] if name in MeterStatus.__members__ else None
