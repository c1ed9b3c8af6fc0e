"""What gadgets publish over MQTT, and where in it the registers are: maps, and messages read by them.

Sources: Tasmota docs "MQTT" and "Power Monitoring"; Shelly Gen2 API "EMData", "PM1", "Switch"; Home Assistant docs
"MQTT Statestream".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from meter.collect.observation import (
    NUMBER_CHARACTERS_MAX,
    WH_PER_UNIT,
    DropError,
    Dropped,
    DropReason,
    Observation,
    Observed,
    round_register,
)
from primitives.encoding import DecodeError
from primitives.ids import UnixMs, WattHours
from primitives.text import decode_toml, to_line

PAYLOAD_BYTES_MAX = 64 * 1024
"""The longest status of a three-phase meter takes 2 kB."""
MAP_BYTES_MAX = 16 * 1024
AGE_MAX_MS = 60_000
"""A message that says its time counts while it is not older: a gateway needs seconds."""
PHASES_MAX = 8
EXPONENT_MAX = 20


class MapError(ValueError):
    """No such map, or a file that is none; the message is one line."""


class RegisterField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a register is: a topic, and in its JSON a path of names; without ``field`` the message is the number."""

    topic: str
    field: str = ""
    unit: str = "kWh"
    optional: bool = False


class TimeField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the same message says its time: UTC seconds, or an ISO time with its offset."""

    field: str


class MqttMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the registers and, in the same messages, the time are."""

    imported: RegisterField = msgspec.field(name="import")
    exported: RegisterField | None = msgspec.field(name="export", default=None)
    time: TimeField | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """Return what to subscribe to."""
        fields = [self.imported] if self.exported is None else [self.imported, self.exported]
        return tuple(dict.fromkeys(each.topic for each in fields))


BUILT_IN: Mapping[str, tuple[RegisterField, RegisterField, TimeField | None]] = {
    "tasmota": (
        RegisterField("tele/{}/SENSOR", "ENERGY.Total"),
        RegisterField("tele/{}/SENSOR", "ENERGY.ExportActive", optional=True),
        None,
    ),
    "shelly-em": (
        RegisterField("{}/status/emdata:0", "total_act", "Wh"),
        RegisterField("{}/status/emdata:0", "total_act_ret", "Wh"),
        None,
    ),
    "shelly-pm": (
        RegisterField("{}/status/pm1:0", "aenergy.total", "Wh"),
        RegisterField("{}/status/pm1:0", "ret_aenergy.total", "Wh", optional=True),
        None,
    ),
    "shelly-switch": (
        RegisterField("{}/status/switch:0", "aenergy.total", "Wh"),
        RegisterField("{}/status/switch:0", "ret_aenergy.total", "Wh", optional=True),
        None,
    ),
    "homeassistant": (
        RegisterField("{}_import/state"),
        RegisterField("{}_export/state"),
        None,
    ),
    "homeassistant-json": (
        RegisterField("{}", "import_kwh"),
        RegisterField("{}", "export_kwh"),
        TimeField("time"),
    ),
}
"""Maps by name; {} is the device or the topic that the owner names."""


def build_map(name: str, topic: str) -> MqttMap:
    """Return a built-in map for a device or topic.

    Raises:
        MapError: there is none of this name.

    """
    found = BUILT_IN.get(name)
    if found is None:
        raise MapError(f"{to_line(name)!r} is no map; there are {', '.join(BUILT_IN)}, or name a file .toml")
    imported, exported, time = found
    places = [
        msgspec.structs.replace(each, topic=each.topic.replace("{}", topic)) for each in (imported, exported)
    ]
    return _check(MqttMap(places[0], places[1], time), name)


def read_map(path: Path) -> MqttMap:
    """Return the map of a file.

    Raises:
        MapError: it cannot be read, or something in it is wrong.

    """
    try:
        with path.open("rb") as file:
            content = file.read(MAP_BYTES_MAX)
        found = msgspec.convert(decode_toml(content), MqttMap)
    except OSError as error:
        raise MapError(f"{path}: {error.strerror}") from None
    except (DecodeError, msgspec.ValidationError) as error:
        raise MapError(f"{path}: {to_line(str(error))}") from None
    return _check(found, str(path))


def _check(found: MqttMap, name: str) -> MqttMap:
    for field in (found.imported, found.exported):
        if field is None:
            continue
        if not field.topic or not field.topic.isprintable() or set("+#{}") & set(field.topic):
            raise MapError(
                f"{name}: {to_line(field.topic)!r} is no topic; no wildcards, at least a character"
            )
        if field.unit not in WH_PER_UNIT:
            raise MapError(f"{name}: {to_line(field.unit)!r} is no unit; Wh, kWh or MWh")
    return found


@dataclass(slots=True)
class MessageReader:
    """Makes observations of messages; remembers one value for each register, until the link breaks.

    What the broker retained was true at an unknown time: it counts only where the message itself says a recent one.
    """

    map: MqttMap
    imported: WattHours | None = None
    exported: WattHours | None = None

    def forget(self) -> None:
        """Begin a new link: what was known may have changed meanwhile."""
        self.imported = self.exported = None

    def take(self, topic: str, payload: bytes, *, retained: bool, now_ms: UnixMs) -> Iterator[Observed]:
        """Yield what a message that comes now says."""
        if topic not in self.map.topics:
            return
        try:
            self._store(topic, payload, retained=retained, now_ms=now_ms)
        except DropError as error:
            yield Dropped(error.reason)
            return
        exported = WattHours(0) if self.map.exported is None else self.exported
        if self.imported is not None and exported is not None:
            yield Observation(now_ms, self.imported, exported)

    def _store(self, topic: str, payload: bytes, *, retained: bool, now_ms: UnixMs) -> None:
        """Keep what the message says of each register, all or nothing.

        Raises:
            DropError: MESSAGE_TOO_LONG, MESSAGE_MALFORMED, MESSAGE_OLD, TIME_INVALID, REGISTER_MISSING, NUMBER_INVALID.

        """
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise DropError(DropReason.MESSAGE_TOO_LONG)
        content = _decode(payload)
        self._check_age(content, retained=retained, now_ms=now_ms)
        found = {
            name: _read_register(content, field)
            for name, field in (("import", self.map.imported), ("export", self.map.exported))
            if field is not None and field.topic == topic
        }
        self.imported = found.get("import", self.imported)
        self.exported = found.get("export", self.exported)

    def _check_age(self, content: object, *, retained: bool, now_ms: UnixMs) -> None:
        time_ms = None if self.map.time is None else _read_time(_find(content, self.map.time.field))
        if time_ms is None and retained:
            raise DropError(DropReason.MESSAGE_OLD)
        if time_ms is not None and now_ms - time_ms > AGE_MAX_MS:
            raise DropError(DropReason.MESSAGE_OLD)
        if time_ms is not None and time_ms - now_ms > AGE_MAX_MS:
            raise DropError(DropReason.TIME_INVALID)


def _decode(payload: bytes) -> object:
    """Return the JSON of a payload with its numbers as they are written; any other text as a text."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise DropError(DropReason.MESSAGE_MALFORMED) from None
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return text.strip()


def _find(content: object, path: str) -> object:
    """Return what stands at a path of names, None where nothing does."""
    for name in path.split(".") if path else ():
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _read_register(content: object, field: RegisterField) -> WattHours:
    value = _find(content, field.field)
    if field.field and not isinstance(content, dict):
        raise DropError(DropReason.MESSAGE_MALFORMED)
    if value is None:
        if field.optional:
            return WattHours(0)
        raise DropError(DropReason.REGISTER_MISSING)
    # A meter of several phases may say a list: the register is their sum.
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= PHASES_MAX:
        raise DropError(DropReason.NUMBER_INVALID)
    return round_register(sum((_read_number(each) for each in values), Decimal(0)) * WH_PER_UNIT[field.unit])


def _read_number(value: object) -> Decimal:
    if not isinstance(value, str) or not 0 < len(value) <= NUMBER_CHARACTERS_MAX:
        raise DropError(DropReason.NUMBER_INVALID)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise DropError(DropReason.NUMBER_INVALID) from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > EXPONENT_MAX:
        raise DropError(DropReason.NUMBER_INVALID)
    return number


def _read_time(value: object) -> UnixMs:
    """Return a message's time; numbers are UTC seconds.

    Raises:
        DropError: TIME_MISSING, TIME_INVALID.

    """
    if not isinstance(value, str):
        raise DropError(DropReason.TIME_MISSING if value is None else DropReason.TIME_INVALID)
    try:
        return UnixMs(int(_read_number(value) * 1000))
    except DropError:
        pass  # not a number: an ISO time
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise DropError(DropReason.TIME_INVALID)
        return UnixMs(int(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise DropError(DropReason.TIME_INVALID) from None
