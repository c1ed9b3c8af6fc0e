"""Telegrams of the customer port P1 (DSMR 4 and 5, Sagemcom) and of D0 (EasyMeter), from bytes to observations.

A telegram begins with a line ``/…`` and ends with a line ``!`` and, but for old D0 meters, a CRC-16/ARC of every byte
from ``/`` to ``!``. The registers are the OBIS objects 1-0:1.8.0 and 1-0:2.8.0, or the sum of their tariffs.
Source: DSMR P1 companion standard 5.0.2, chapters 5 and 6; IEC 62056-21 for D0.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from meter.collect.observation import (
    DropError,
    Dropped,
    DropReason,
    Observation,
    parse_energy,
    round_register,
)
from primitives.ids import UnixMs, WattHours

TELEGRAM_BYTES_MAX = 16 * 1024
"""DSMR 5 with four other meters on the bus and a text message of 1,024 characters takes 4 kB."""
LINE_BYTES_MAX = 4 * 1024
"""A text message of 1,024 characters in hexadecimal is the longest line."""
TARIFFS = range(1, 5)
"""Two in most countries; OBIS knows more, and energy in a tariff that nobody looked at would be lost."""

IMPORT, EXPORT = "1-0:1.8", "1-0:2.8"
VERSION = "1-3:0.2.8"
"""Who names a version of DSMR also owes a CRC."""
TIME = "0-0:1.0.0"
EQUIPMENT = ("0-0:96.1.1", "1-0:0.0.0", "0-0:96.1.255")
OFFSETS = {"W": timedelta(hours=1), "S": timedelta(hours=2)}
"""Winter and summer time of the countries that have P1: central European time."""

_LINE = re.compile(r"(\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})(?:\*\d{1,3})?((?:\([^()]*\))+)")
_VALUE = re.compile(r"\(([0-9.]+)\*([A-Za-z]+)\)")
_TIME = re.compile(r"\((\d{12})([WS])\)")


def _build_crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_CRC_TABLE = _build_crc_table()


def compute_crc(data: bytes) -> int:
    """Return the CRC-16/ARC of bytes (polynomial 0x8005 reflected, begun at 0)."""
    value = 0
    for byte in data:
        value = (value >> 8) ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value


@dataclass(frozen=True, slots=True)
class Telegram:
    """What one telegram says: its registers, the meter's own time and number where it has them."""

    import_wh: WattHours
    export_wh: WattHours
    time_ms: UnixMs | None
    equipment: str

    def observe(self, received_ms: UnixMs | None) -> Observation:
        """Return the observation of when it was received, or of the meter's own time where that is None.

        Raises:
            DropError: TIME_MISSING.

        """
        time_ms = self.time_ms if received_ms is None else received_ms
        if time_ms is None:
            raise DropError(DropReason.TIME_MISSING)
        return Observation(time_ms, self.import_wh, self.export_wh, equipment=self.equipment)


class TelegramReader:
    """Finds telegrams in bytes as they come; keeps at most one telegram and one line, whatever comes."""

    def __init__(self) -> None:
        """Begin outside of any telegram."""
        self._line = bytearray()
        self._telegram: bytearray | None = None
        self._is_in_noise = False
        self._is_long_line = False

    @property
    def kept_bytes(self) -> int:
        """Return how much waits for its end."""
        return len(self._line) + len(self._telegram or b"")

    def leave_link(self) -> Iterator[Dropped]:
        """Forget what was heard before the line broke: half of one telegram and half of another are none."""
        if self._telegram is not None:
            yield Dropped(DropReason.TELEGRAM_CUT)
        self._line.clear()
        self._telegram = None
        self._is_long_line = False

    def feed(self, data: bytes) -> Iterator[Telegram | Dropped]:
        """Yield what these bytes complete."""
        begin = 0
        while begin < len(data):
            end = data.find(b"\n", begin)
            part = data[begin:] if end < 0 else data[begin : end + 1]
            begin += len(part)
            if self._is_long_line:
                self._is_long_line = end < 0
                continue
            is_long = len(self._line) + len(part) > LINE_BYTES_MAX
            if is_long:
                self._line.clear()
                self._is_long_line = end < 0
                yield from self._leave(DropReason.TELEGRAM_TOO_LONG)
                continue
            self._line += part
            if end >= 0:
                line = bytes(self._line)
                self._line.clear()
                yield from self._take_line(line)

    def _take_line(self, line: bytes) -> Iterator[Telegram | Dropped]:
        """Take a line; no value contains ``/``, so one in it begins a telegram even where a line's end was lost."""
        start = line.rfind(b"/")
        if start != 0:
            yield from self._take_part(line if start < 0 else line[:start])
        if start >= 0:
            if self._telegram is not None:
                yield Dropped(DropReason.TELEGRAM_CUT)
            self._telegram = bytearray(line[start:])
            self._is_in_noise = False

    def _take_part(self, line: bytes) -> Iterator[Telegram | Dropped]:
        if self._telegram is None:
            yield from self._leave(DropReason.NOISE)
        elif len(self._telegram) + len(line) > TELEGRAM_BYTES_MAX:
            yield from self._leave(DropReason.TELEGRAM_TOO_LONG)
        elif line.startswith(b"!"):
            content = bytes(self._telegram) + b"!"
            self._telegram = None
            try:
                yield parse_telegram(content, line[1:].strip())
            except DropError as error:
                yield Dropped(error.reason)
        else:
            self._telegram += line

    def _leave(self, reason: DropReason) -> Iterator[Dropped]:
        """Forget the telegram; what follows until the next one begins is the same noise, told once."""
        if self._telegram is None:
            reason = DropReason.NOISE
        if self._telegram is not None or not self._is_in_noise:
            yield Dropped(reason)
        self._telegram = None
        self._is_in_noise = True


def parse_telegram(content: bytes, trailer: bytes) -> Telegram:
    """Return what a telegram from ``/`` to ``!`` says; ``trailer`` is the CRC that stood behind it, or nothing.

    Raises:
        DropError: CRC_WRONG, CRC_MISSING, LINE_MALFORMED, REGISTER_MISSING, NUMBER_INVALID, UNIT_UNKNOWN,
            TIME_INVALID.

    """
    if trailer and trailer.upper() != b"%04X" % compute_crc(content):
        raise DropError(DropReason.CRC_WRONG)
    objects = _read_objects(content, is_checked=bool(trailer))
    if not trailer and VERSION in objects:
        raise DropError(DropReason.CRC_MISSING)
    equipment = next((objects[name].strip("()") for name in EQUIPMENT if name in objects), "")
    export = _read_register(objects, EXPORT)
    imported = _read_register(objects, IMPORT)
    if imported is None:
        raise DropError(DropReason.REGISTER_MISSING)
    return Telegram(
        round_register(imported),
        round_register(export or Decimal(0)),
        _read_time(objects),
        equipment,
    )


def _read_objects(content: bytes, *, is_checked: bool) -> dict[str, str]:
    """Return the values by OBIS code; the first line is the meter's name, blank lines are none.

    Under a CRC a line of unknown shape is the meter's business; without one it says that something was lost.
    """
    try:
        lines = content[:-1].decode("ascii").splitlines()[1:]
    except UnicodeDecodeError:
        raise DropError(DropReason.LINE_MALFORMED) from None
    objects: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None and is_checked:
            continue
        if found is None or objects.setdefault(found[1], found[2]) != found[2]:
            raise DropError(DropReason.LINE_MALFORMED)
    return objects


def _read_register(objects: Mapping[str, str], code: str) -> Decimal | None:
    """Return the total register, else the sum of the tariffs, else None where the meter has none of them.

    Raises:
        DropError: only one of the first two tariffs is there, or a number is none.

    """
    if f"{code}.0" in objects:
        return _read_energy(objects[f"{code}.0"])
    tariffs = [objects[f"{code}.{tariff}"] for tariff in TARIFFS if f"{code}.{tariff}" in objects]
    if not tariffs:
        return None
    if f"{code}.1" not in objects or f"{code}.2" not in objects:
        raise DropError(DropReason.REGISTER_MISSING)
    return sum(map(_read_energy, tariffs), Decimal(0))


def _read_energy(value: str) -> Decimal:
    found = _VALUE.fullmatch(value)
    if found is None:
        raise DropError(DropReason.NUMBER_INVALID)
    return parse_energy(found[1], found[2])


def _read_time(objects: Mapping[str, str]) -> UnixMs | None:
    if TIME not in objects:
        return None
    found = _TIME.fullmatch(objects[TIME])
    if found is None:
        raise DropError(DropReason.TIME_INVALID)
    try:
        local = datetime.strptime(found[1], "%y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise DropError(DropReason.TIME_INVALID) from None
    return UnixMs(int((local - OFFSETS[found[2]]).timestamp()) * 1000)
