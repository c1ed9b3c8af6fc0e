"""What a household's meters and inverter recorded: load and sun by slot, and the prices and weather of the day.

A file of homes has ``load_wh`` and ``pv_wh``; where it has registers only, what was drawn stands for the load and
what was fed in for the sun. A day is 24 hours from the file's first slot; a file of one local day with a change of
the clocks (92 or 100 quarter hours, 23 or 25 hours) is one day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from meter.sources.csv import DAY_S, HOMES_MAX, REGISTER_MAX_WH, read_context
from meter.sources.table import Row, SourceError, SourceProblem, format_time, read_rows
from primitives.ids import UnixSeconds
from vm.genesis import SLOT_SECONDS_ALLOWED

COLUMNS = ("slot_start_utc", "home")
COLUMNS_OPTIONAL = ("load_wh", "pv_wh", "import_wh", "export_wh")
WEATHER_COLUMNS = ("slot_start_utc", "outdoor_temp_centi_c")
CLOCK_CHANGES_S = (DAY_S - 3600, DAY_S + 3600)
"""A local day on which the clocks change lasts 23 or 25 hours."""
MILD_CENTI_C = 2000
TEMPERATURE_MAX = 10_000
"""A hundred degrees, either way."""


@dataclass(frozen=True)
class HouseholdDay:
    """One home's day: whole Wh per slot."""

    home: str
    load_wh: tuple[int, ...]
    pv_wh: tuple[int, ...]


@dataclass(frozen=True)
class HouseholdFile:
    """A file of homes: the same consecutive slots for each."""

    path: Path
    slot_s: int
    first_s: UnixSeconds
    homes: tuple[str, ...]
    series: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def slot_count(self) -> int:
        """Return how many slots each home has."""
        return len(self.series[self.homes[0]][0])

    @property
    def day_slots(self) -> int:
        """Return how many slots a day has: the whole file where it is a day on which the clocks change."""
        if self.slot_count * self.slot_s in CLOCK_CHANGES_S:
            return self.slot_count
        return DAY_S // self.slot_s

    @property
    def day_count(self) -> int:
        """Return how many whole days the file has."""
        return self.slot_count // self.day_slots

    def get_starts(self, day: int) -> tuple[UnixSeconds, ...]:
        """Return the slots of a day.

        Raises:
            SourceError: DAY_BEYOND_FILE.

        """
        if not 0 <= day < self.day_count:
            what = f"day {day} is beyond the file: it has {self.day_count} whole days, counted from 0"
            raise SourceError(self.path, None, SourceProblem.DAY_BEYOND_FILE, what)
        first = day * self.day_slots
        return tuple(
            UnixSeconds(self.first_s + index * self.slot_s) for index in range(first, first + self.day_slots)
        )

    def get_day(self, home: str, day: int) -> HouseholdDay:
        """Return a home's day, which must be in the file."""
        part = slice(day * self.day_slots, (day + 1) * self.day_slots)
        load, pv = self.series[home]
        return HouseholdDay(home, load[part], pv[part])


@dataclass(frozen=True)
class Surroundings:
    """Prices (micro-currency per kWh) and outdoor temperature (hundredths of a degree) of a day's slots."""

    retail: tuple[int, ...]
    outdoor_centi_c: tuple[int, ...]


@dataclass
class _Series:
    first_s: int
    load: list[int]
    pv: list[int]


def read_households(path: Path) -> HouseholdFile:
    """Return a file of homes with their load and sun.

    Raises:
        SourceError: at the first line that breaks a rule; a missing hour is named.

    """
    homes: dict[str, _Series] = {}
    slot_s = 0
    for row in read_rows(path, COLUMNS, COLUMNS_OPTIONAL):
        start_s, name = row.get_time(0, COLUMNS[0]), row.get_name(1, COLUMNS[1])
        series = homes.get(name)
        if series is None:
            if len(homes) == HOMES_MAX:
                raise row.refuse(SourceProblem.HOMES_TOO_MANY, f"more than {HOMES_MAX} homes")
            series = homes[name] = _Series(start_s, [], [])
        elif slot_s == 0:
            slot_s = _infer_slot(row, start_s - series.first_s)
        expected_s = series.first_s + len(series.load) * slot_s
        if start_s != expected_s:
            problem = SourceProblem.SLOT_MISSING if start_s > expected_s else SourceProblem.SLOT_OUT_OF_ORDER
            what = f"home {name}: the slot {format_time(expected_s)} is expected here, not {format_time(start_s)}"
            raise row.refuse(problem, what)
        load, pv = _read_energy(row)
        series.load.append(load)
        series.pv.append(pv)
    return _build_file(path, slot_s, homes)


def read_surroundings(path: Path | None, starts_s: tuple[UnixSeconds, ...], retail: int) -> Surroundings:
    """Return the prices and the weather of some slots; without a file, one price and a mild day.

    Raises:
        SourceError: SLOT_MISSING where the file has no price for a slot, or what is wrong with a line.

    """
    mild = (MILD_CENTI_C,) * len(starts_s)
    if path is None:
        return Surroundings((retail,) * len(starts_s), mild)
    context = read_context(path)
    prices = []
    for start_s in starts_s:
        price = context.get_retail_price(start_s)
        if price is None:
            what = f"there is no price for the slot {format_time(start_s)}; every slot of the day needs one"
            raise SourceError(path, None, SourceProblem.SLOT_MISSING, what)
        prices.append(int(price))
    weather = _read_weather(path)
    temperatures, latest = [], MILD_CENTI_C
    for start_s in starts_s:
        latest = weather.get(start_s, latest)
        temperatures.append(latest)
    return Surroundings(tuple(prices), tuple(temperatures) if weather else mild)


def _infer_slot(row: Row, length: int) -> int:
    if length not in SLOT_SECONDS_ALLOWED:
        allowed = " or ".join(map(str, SLOT_SECONDS_ALLOWED))
        what = f"the first two slots are {length} s apart; they must be {allowed} s long"
        raise row.refuse(SourceProblem.SLOT_LENGTH_UNKNOWN, what)
    return length


def _read_energy(row: Row) -> tuple[int, int]:
    """Return (load, sun) of a row."""
    has_load, has_import = row.fields[2] is not None, row.fields[4] is not None
    if not (has_load or has_import):
        raise row.refuse(SourceProblem.COLUMN_MISSING, "load_wh or import_wh is needed")
    columns = (2, 3) if has_load else (4, 5)
    values = [
        row.get_number(column, COLUMNS_OPTIONAL[column - 2], REGISTER_MAX_WH)
        if row.fields[column] is not None
        else 0
        for column in columns
    ]
    return values[0], values[1]


def _build_file(path: Path, slot_s: int, homes: dict[str, _Series]) -> HouseholdFile:
    if slot_s == 0:
        what = "the length of the slots is unknown: a home with two rows is needed"
        raise SourceError(path, None, SourceProblem.SLOT_LENGTH_UNKNOWN, what)
    names = tuple(sorted(homes))
    first = homes[names[0]]
    for name in names:
        if (homes[name].first_s, len(homes[name].load)) != (first.first_s, len(first.load)):
            what = f"home {name} has other slots than home {names[0]}; all homes need the same"
            raise SourceError(path, None, SourceProblem.SLOT_MISSING, what)
    if first.first_s % slot_s:
        what = f"{format_time(first.first_s)} is not a start of slots of {slot_s} s"
        raise SourceError(path, None, SourceProblem.TIME_MISALIGNED, what)
    series = {name: (tuple(homes[name].load), tuple(homes[name].pv)) for name in names}
    return HouseholdFile(path, slot_s, UnixSeconds(first.first_s), names, series)


def _read_weather(path: Path) -> dict[int, int]:
    """Return temperatures by slot; none where the file has no such column."""
    found: dict[int, int] = {}
    for row in read_rows(path, WEATHER_COLUMNS[:1], WEATHER_COLUMNS[1:]):
        text = row.fields[1]
        if text is None:
            return {}
        sign = -1 if text.startswith("-") else 1
        plain = Row(row.path, row.line, (row.fields[0], text.removeprefix("-")))
        found[row.get_time(0, WEATHER_COLUMNS[0])] = sign * plain.get_number(
            1, WEATHER_COLUMNS[1], TEMPERATURE_MAX
        )
    return found
