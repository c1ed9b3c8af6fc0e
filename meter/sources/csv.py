"""The files a meter can be fed from: homes by slots, prices by slots, and plain register readings.

Times are UTC, energy is whole Wh, prices are micro-currency per kWh. A row of homes names the START of its slot and
gives the cumulative registers at its END; a row of readings names the instant of its registers.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from meter.reading import MeterStatus, Reading, parse_status
from meter.sources.table import Row, SourceError, SourceProblem, format_time, read_rows
from primitives.ids import MicroPerKwh, UnixSeconds, WattHours
from vm.genesis import PRICE_MAX, SLOT_SECONDS_ALLOWED

REGISTER_MAX_WH = 10**12
"""A terawatt hour: no home's register gets there, and sums of a community stay far below 64 bits."""
HOMES_MAX = 10_000
"""Ten times the largest community that a network of 80 validators serves."""
READINGS_MAX = 100_000
"""Quarter hours of one meter for almost three years; larger files are submitted in parts."""
DAY_S = 86_400

HOME_COLUMNS = ("slot_start_utc", "home", "import_wh", "export_wh", "reg_import_wh", "reg_export_wh")
CONTEXT_COLUMNS = ("slot_start_utc", "retail_price_uusd_per_kwh")
READING_COLUMNS = ("time_utc", "import_wh", "export_wh")
READING_COLUMNS_OPTIONAL = ("meter", "status")


@dataclass(frozen=True, slots=True)
class HomeSlot:
    """What a home drew and fed in during a slot, and its registers at the slot's end."""

    start_s: UnixSeconds
    import_wh: WattHours
    export_wh: WattHours
    import_register_wh: WattHours
    export_register_wh: WattHours


@dataclass(frozen=True, slots=True)
class HomeDay:
    """The slots of one home and its registers when the first of them began."""

    home: str
    opening_import_wh: WattHours
    opening_export_wh: WattHours
    slots: tuple[HomeSlot, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """Up to 24 hours of all chosen homes, sorted by name; every home has every slot of ``starts_s``."""

    slot_s: int
    starts_s: tuple[UnixSeconds, ...]
    homes: tuple[HomeDay, ...]


@dataclass(slots=True)
class _Series:
    """The registers of a home while its file is read: [opening, end of slot 0, end of slot 1, …]."""

    first_s: int
    first_line: int
    last_line: int
    imports: "array[int]"
    exports: "array[int]"


@dataclass(frozen=True)
class HomesFile:
    """A whole file of homes, checked: consecutive slots from ``first_s``, the same ones for every home."""

    path: Path
    slot_s: int
    first_s: UnixSeconds
    slot_count: int
    homes: tuple[str, ...]
    _series: Mapping[str, _Series] = field(repr=False)

    @property
    def day_count(self) -> int:
        """Return the number of days, a short last one included."""
        return -(-self.slot_count * self.slot_s // DAY_S)

    def get_day(self, day: int, homes: int | None = None) -> Day:
        """Return the ``day``-th 24 hours from the file's first slot, from 0, of the first ``homes`` homes by name.

        Raises:
            SourceError: DAY_BEYOND_FILE, HOMES_TOO_FEW.

        """
        if not 0 <= day < self.day_count:
            what = f"day {day} is beyond the file: it has the days 0 to {self.day_count - 1}"
            raise SourceError(self.path, None, SourceProblem.DAY_BEYOND_FILE, what)
        if homes is not None and not 1 <= homes <= len(self.homes):
            what = f"{homes} homes were asked for: it has {len(self.homes)}; ask for 1 to {len(self.homes)}"
            raise SourceError(self.path, None, SourceProblem.HOMES_TOO_FEW, what)
        per_day = DAY_S // self.slot_s
        slots = range(day * per_day, min((day + 1) * per_day, self.slot_count))
        return Day(
            self.slot_s,
            tuple(UnixSeconds(self.first_s + index * self.slot_s) for index in slots),
            tuple(self._get_home_day(home, slots) for home in self.homes[:homes]),
        )

    def _get_home_day(self, home: str, slots: range) -> HomeDay:
        imports, exports = self._series[home].imports, self._series[home].exports
        return HomeDay(
            home,
            WattHours(imports[slots.start]),
            WattHours(exports[slots.start]),
            tuple(
                HomeSlot(
                    UnixSeconds(self.first_s + index * self.slot_s),
                    WattHours(imports[index + 1] - imports[index]),
                    WattHours(exports[index + 1] - exports[index]),
                    WattHours(imports[index + 1]),
                    WattHours(exports[index + 1]),
                )
                for index in slots
            ),
        )


@dataclass(frozen=True)
class ContextFile:
    """Retail prices by slot; a price holds for the length of its file's slots from its start on."""

    path: Path
    slot_s: int
    _starts: tuple[int, ...] = field(repr=False)
    _prices: tuple[int, ...] = field(repr=False)

    def get_retail_price(self, start_s: UnixSeconds) -> MicroPerKwh | None:
        """Return the price of the slot that starts at ``start_s``, or None where the file gives none."""
        index = bisect_right(self._starts, start_s) - 1
        if index < 0 or start_s >= self._starts[index] + self.slot_s:
            return None
        return MicroPerKwh(self._prices[index])


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A line of a readings file; ``meter`` is None where the file has no such column."""

    line: int
    meter: str | None
    reading: Reading


def read_homes(path: Path) -> HomesFile:
    """Return a file of homes; the length of its slots is that between a home's first two rows.

    Rows of one home stand in the order of time; homes may be interleaved or follow each other.

    Raises:
        SourceError: at the first line that breaks a rule.

    """
    homes: dict[str, _Series] = {}
    slot_s = 0
    for row in read_rows(path, HOME_COLUMNS):
        start_s, name = row.get_time(0, HOME_COLUMNS[0]), row.get_name(1, HOME_COLUMNS[1])
        series = homes.get(name)
        if series is None:
            if len(homes) == HOMES_MAX:
                raise row.refuse(SourceProblem.HOMES_TOO_MANY, f"more than {HOMES_MAX} homes")
            series = homes[name] = _Series(start_s, row.line, row.line, array("q"), array("q"))
        else:
            slot_s = slot_s or _infer_slot_length(row, name, series.first_s, start_s)
            _check_follows(row, name, series, start_s, slot_s)
        _append_registers(row, name, series)
        series.last_line = row.line
    if slot_s == 0:
        what = "the length of the slots is unknown: a home with two rows is needed"
        raise SourceError(path, None, SourceProblem.SLOT_LENGTH_UNKNOWN, what)
    return _build_homes_file(path, slot_s, homes)


def _infer_slot_length(row: Row, name: str, first_s: int, second_s: int) -> int:
    length = second_s - first_s
    if length == 0:
        raise row.refuse(
            SourceProblem.SLOT_REPEATED, f"home {name} has the slot {format_time(second_s)} twice"
        )
    if length < 0:
        what = f"home {name} goes back in time; sort the rows by slot_start_utc"
        raise row.refuse(SourceProblem.SLOT_OUT_OF_ORDER, what)
    if length not in SLOT_SECONDS_ALLOWED:
        allowed = " or ".join(map(str, SLOT_SECONDS_ALLOWED))
        what = f"home {name} has slots {length} s apart; they must be {allowed} s long, without gaps"
        raise row.refuse(SourceProblem.SLOT_LENGTH_UNKNOWN, what)
    return length


def _check_follows(row: Row, name: str, series: _Series, start_s: int, slot_s: int) -> None:
    """Refuse a row that is not the next slot of its home."""
    expected_s = series.first_s + (len(series.imports) - 1) * slot_s
    if start_s == expected_s:
        return
    if (start_s - series.first_s) % slot_s:
        what = f"{format_time(start_s)} is not a start of slots of {slot_s} s"
        raise row.refuse(SourceProblem.TIME_MISALIGNED, what)
    if start_s > expected_s:
        what = f"home {name} has no row for the slot {format_time(expected_s)}"
        raise row.refuse(SourceProblem.SLOT_MISSING, what)
    if start_s >= series.first_s:
        raise row.refuse(
            SourceProblem.SLOT_REPEATED, f"home {name} has the slot {format_time(start_s)} twice"
        )
    what = f"home {name} goes back in time; sort the rows by slot_start_utc"
    raise row.refuse(SourceProblem.SLOT_OUT_OF_ORDER, what)


def _append_registers(row: Row, name: str, series: _Series) -> None:
    for energy, register, values in ((2, 4, series.imports), (3, 5, series.exports)):
        energy_wh = row.get_number(energy, HOME_COLUMNS[energy], REGISTER_MAX_WH)
        register_wh = row.get_number(register, HOME_COLUMNS[register], REGISTER_MAX_WH)
        if not values:
            if register_wh < energy_wh:
                what = f"{HOME_COLUMNS[register]} of home {name} is below the energy of its first slot"
                raise row.refuse(SourceProblem.REGISTER_INCONSISTENT, what)
            values.append(register_wh - energy_wh)
        if register_wh < values[-1]:
            what = f"{HOME_COLUMNS[register]} of home {name} runs back from {values[-1]} to {register_wh}"
            raise row.refuse(SourceProblem.REGISTER_DECREASING, what)
        if register_wh != values[-1] + energy_wh:
            advance = register_wh - values[-1]
            what = (
                f"{HOME_COLUMNS[register]} of home {name} advances by {advance}, but the slot has {energy_wh}"
            )
            raise row.refuse(SourceProblem.REGISTER_INCONSISTENT, what)
        values.append(register_wh)


def _build_homes_file(path: Path, slot_s: int, homes: dict[str, _Series]) -> HomesFile:
    names = tuple(sorted(homes))
    first_s = min(homes[name].first_s for name in names)
    slot_count = max(len(homes[name].imports) - 1 for name in names)
    for name in names:
        series = homes[name]
        if (series.first_s - first_s) % slot_s or series.first_s % slot_s:
            what = f"{format_time(series.first_s)} is not a start of slots of {slot_s} s"
            raise SourceError(path, series.first_line, SourceProblem.TIME_MISALIGNED, what)
        if series.first_s != first_s:
            what = f"home {name} has no row for the slot {format_time(first_s)}, with which others begin"
            raise SourceError(path, series.first_line, SourceProblem.HOME_MISSING, what)
        if len(series.imports) - 1 != slot_count:
            missing_s = first_s + (len(series.imports) - 1) * slot_s
            what = f"home {name} has no row for the slot {format_time(missing_s)} after this one, others have"
            raise SourceError(path, series.last_line, SourceProblem.HOME_MISSING, what)
    return HomesFile(path, slot_s, UnixSeconds(first_s), slot_count, names, MappingProxyType(homes))


def read_context(path: Path) -> ContextFile:
    """Return a file of prices; rows may stand in any order and leave gaps.

    Raises:
        SourceError: at the first line that breaks a rule.

    """
    prices: dict[int, int] = {}
    for row in read_rows(path, CONTEXT_COLUMNS):
        start_s = row.get_time(0, CONTEXT_COLUMNS[0])
        if start_s % min(SLOT_SECONDS_ALLOWED):
            what = f"{format_time(start_s)} is not the start of a quarter hour"
            raise row.refuse(SourceProblem.TIME_MISALIGNED, what)
        if start_s in prices:
            raise row.refuse(SourceProblem.SLOT_REPEATED, f"the slot {format_time(start_s)} is there twice")
        prices[start_s] = row.get_number(1, CONTEXT_COLUMNS[1], PRICE_MAX)
    starts = tuple(sorted(prices))
    # The longest slots on whose starts all of them lie: a file of hours has none at a quarter past.
    slot_s = max(length for length in SLOT_SECONDS_ALLOWED if not any(start_s % length for start_s in starts))
    return ContextFile(path, slot_s, starts, tuple(prices[start_s] for start_s in starts))


def read_readings(path: Path, slot_s: int = min(SLOT_SECONDS_ALLOWED)) -> tuple[ReadingRow, ...]:
    """Return a file of register readings in its order; times are ends of slots of ``slot_s`` seconds.

    Rows of one meter stand in the order of time, and its registers never run back. A meter is named as its account.

    Raises:
        SourceError: at the first line that breaks a rule.

    """
    rows: list[ReadingRow] = []
    latest: dict[str | None, Reading] = {}
    for row in read_rows(path, READING_COLUMNS, READING_COLUMNS_OPTIONAL):
        if len(rows) == READINGS_MAX:
            what = f"more than {READINGS_MAX} readings; split the file"
            raise row.refuse(SourceProblem.ROWS_TOO_MANY, what)
        meter = row.get_name(3, "meter") if row.fields[3] is not None else None
        reading = _parse_reading(row, slot_s)
        previous = latest.get(meter)
        if previous is not None:
            _check_advances(row, previous, reading)
        latest[meter] = reading
        rows.append(ReadingRow(row.line, meter, reading))
    return tuple(rows)


def _parse_reading(row: Row, slot_s: int) -> Reading:
    time_s = row.get_time(0, READING_COLUMNS[0])
    if time_s % slot_s:
        what = f"{format_time(time_s)} is not the end of a slot of {slot_s} s"
        raise row.refuse(SourceProblem.TIME_MISALIGNED, what)
    status: MeterStatus | None = MeterStatus.GOOD
    if row.fields[4] is not None:
        status = parse_status(row.fields[4])
    if status is None:
        words = ", ".join(f"{word.name.lower()} ({word.value})" for word in MeterStatus)
        what = f"the status must be empty or one of {words}"
        raise row.refuse(SourceProblem.STATUS_UNKNOWN, what)
    return Reading(
        time_s,
        WattHours(row.get_number(1, READING_COLUMNS[1], REGISTER_MAX_WH)),
        WattHours(row.get_number(2, READING_COLUMNS[2], REGISTER_MAX_WH)),
        status,
    )


def _check_advances(row: Row, previous: Reading, reading: Reading) -> None:
    if reading.time_s == previous.time_s:
        what = f"a second reading of {format_time(reading.time_s)}"
        raise row.refuse(SourceProblem.SLOT_REPEATED, what)
    if reading.time_s < previous.time_s:
        what = "the readings of a meter go back in time; sort the rows by time_utc"
        raise row.refuse(SourceProblem.SLOT_OUT_OF_ORDER, what)
    if reading.import_wh < previous.import_wh or reading.export_wh < previous.export_wh:
        what = f"a register runs back against the reading of {format_time(previous.time_s)}"
        raise row.refuse(SourceProblem.REGISTER_DECREASING, what)
