"""What a source sees of a meter: its registers at some instant, or something that had to be dropped, by name."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from meter.reading import MeterStatus
from primitives.ids import UnixMs, WattHours
from vm.contracts.energy.metering import REGISTER_WH_MAX

NUMBER_CHARACTERS_MAX = 24
"""A register of 2**48 Wh has 15 digits, with 7 decimals of a kWh 20: a longer text is no register."""
WH_PER_UNIT = {"Wh": Decimal(1), "kWh": Decimal(1000), "MWh": Decimal(1_000_000)}


class DropReason(StrEnum):
    """Why something that came from a meter did not become a reading: the whole list."""

    NOISE = "NOISE"
    TELEGRAM_CUT = "TELEGRAM_CUT"
    TELEGRAM_TOO_LONG = "TELEGRAM_TOO_LONG"
    CRC_WRONG = "CRC_WRONG"
    CRC_MISSING = "CRC_MISSING"
    LINE_MALFORMED = "LINE_MALFORMED"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    HEADING_MISSING = "HEADING_MISSING"
    MESSAGE_TOO_LONG = "MESSAGE_TOO_LONG"
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    MESSAGE_OLD = "MESSAGE_OLD"
    ANSWER_MISSING = "ANSWER_MISSING"
    MODEL_MISSING = "MODEL_MISSING"
    SIGNATURE_WRONG = "SIGNATURE_WRONG"
    SIGNATURE_UNSUPPORTED = "SIGNATURE_UNSUPPORTED"
    REGISTER_MISSING = "REGISTER_MISSING"
    NUMBER_INVALID = "NUMBER_INVALID"
    UNIT_UNKNOWN = "UNIT_UNKNOWN"
    TIME_MISSING = "TIME_MISSING"
    TIME_INVALID = "TIME_INVALID"
    TIME_AHEAD = "TIME_AHEAD"
    REGISTER_DECREASED = "REGISTER_DECREASED"
    REGISTER_RESET = "REGISTER_RESET"
    ABOVE_LIMIT = "ABOVE_LIMIT"
    METER_CHANGED = "METER_CHANGED"
    SPOOL_FULL = "SPOOL_FULL"
    SPOOL_FAILED = "SPOOL_FAILED"


@dataclass(frozen=True, slots=True)
class Observation:
    """The registers as a meter showed them at ``time_ms``, which may be any instant.

    ``equipment`` is the meter's own number, empty where a source does not know it.
    """

    time_ms: UnixMs
    import_wh: WattHours
    export_wh: WattHours
    status: MeterStatus = MeterStatus.GOOD
    equipment: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that was no observation, and why."""

    reason: DropReason


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether a source hears its meter now; ``problem`` is empty when it does, else one line why not."""

    problem: str = ""


Observed = Observation | Dropped | LinkState


class DropError(Exception):
    """What was read is no observation; ``reason`` names why. Caught where the source yields ``Dropped``."""

    def __init__(self, reason: DropReason) -> None:
        """Take the name."""
        super().__init__(reason.value)
        self.reason = reason


def parse_energy(text: str, unit: str) -> Decimal:
    """Return a written register as exact Wh, decimals and all.

    Raises:
        DropError: UNIT_UNKNOWN, NUMBER_INVALID.

    """
    factor = WH_PER_UNIT.get(unit)
    if factor is None:
        raise DropError(DropReason.UNIT_UNKNOWN)
    whole, _, decimals = text.partition(".")
    is_plain = whole.isascii() and whole.isdigit() and (not decimals or decimals.isdigit())
    if len(text) > NUMBER_CHARACTERS_MAX or not text.isascii() or not is_plain or text.endswith("."):
        raise DropError(DropReason.NUMBER_INVALID)
    return Decimal(text) * factor


def round_register(energy_wh: Decimal) -> WattHours:
    """Return a register in whole Wh, as a counter shows it: what is not complete is not counted yet.

    Raises:
        DropError: NUMBER_INVALID, it is beyond every register.

    """
    if not 0 <= energy_wh <= REGISTER_WH_MAX:
        raise DropError(DropReason.NUMBER_INVALID)
    return WattHours(int(energy_wh))
