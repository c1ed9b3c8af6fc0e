"""The homes of a simulation: from the file, its context and the spec, with what each expects of the day."""

import random
from dataclasses import dataclass

import numpy as np

from cli.failure import build_usage_error
from cli.simulate.options import SimulationOptions
from meter.home.forecast import ForecastName, build_forecast
from meter.home.model import WH_PER_KWH, Array, DayInputs
from meter.home.participant import MICRO, HomeDay
from meter.home.spec import Battery, HomeBook, HomeError, HomeSpec, Shift, read_homes
from meter.sources.household import HouseholdFile, Surroundings, read_households, read_surroundings
from meter.sources.table import SourceError, SourceProblem, format_time
from primitives.ids import UnixSeconds

CENTI = 100.0
SCALE_LEAST, SCALE_MOST = 0.6, 1.4
"""A made home is a measured one on some day of its file, so much smaller or larger."""
PAST_DAYS = 7
"""How far a forecast looks back."""


@dataclass(frozen=True)
class DayInput:
    """A day to be simulated: its slots, prices, and homes in the order of their names."""

    number: int
    slot_s: int
    starts_s: tuple[UnixSeconds, ...]
    surroundings: Surroundings
    homes: tuple[HomeDay, ...]

    @property
    def retail(self) -> Array:
        """Return the retail prices, currency per kWh."""
        return np.array(self.surroundings.retail, dtype=np.float64) / MICRO


class Community:
    """The homes that were asked for, day by day."""

    def __init__(self, options: SimulationOptions) -> None:
        """Read the files.

        Raises:
            CliError: usage; a file is missing or malformed, a home unknown or impossible: named with its line.

        """
        self._options = options
        try:
            self._file = read_households(options.homes)
            self._book = None if options.spec is None else read_homes(options.spec)
            self._forecast = build_forecast(ForecastName(options.forecast))
        except SourceError as error:
            raise build_usage_error(f"--homes {error}") from None
        except HomeError as error:
            raise build_usage_error(f"--spec: {error}") from None
        except ValueError:
            names = ", ".join(name.value for name in ForecastName)
            raise build_usage_error(f"--forecast {options.forecast}: one of {names}") from None
        unknown = [name for name in options.only if name not in self._file.homes]
        if unknown:
            raise build_usage_error(f"--only: {options.homes} has no home {unknown[0]}")

    def build_day(self, number: int) -> DayInput:
        """Return a day of the file.

        Raises:
            CliError: usage; the day is not in the file, or the context lacks one of its hours.

        """
        options, file = self._options, self._file
        try:
            starts_s = file.get_starts(number)
        except SourceError as error:
            raise build_usage_error(f"--day {number}: {error}") from None
        try:
            surroundings = read_surroundings(options.context, starts_s, options.retail)
        except SourceError as error:
            raise build_usage_error(f"--context {error}") from None
        for start_s, retail in zip(starts_s, surroundings.retail, strict=True):
            if retail < options.feed_in:
                what = f"above the retail price {retail} of the slot {format_time(start_s)}"
                raise build_usage_error(f"--feed-in {options.feed_in}: {what}; surplus is never worth more")
        if options.count is None:
            names = options.only or file.homes
            sources = [(name, name, number, 1.0) for name in names]
        else:
            sources = _make_homes(file, options.count, number)
        homes = []
        for index, (name, source, day, scale) in enumerate(sources):
            spec = _get_spec(self._book, source, index)
            homes.append(self._build_home(name, source, day, scale, spec, surroundings))
        return DayInput(number, file.slot_s, starts_s, surroundings, tuple(homes))

    def _build_home(
        self, name: str, source: str, day: int, scale: float, spec: HomeSpec, around: Surroundings
    ) -> HomeDay:
        past = range(max(0, day - PAST_DAYS), day)
        load, pv = self._read_series(source, day, scale)
        pasts = [self._read_series(source, each, scale) for each in past]
        expected_load = self._forecast.predict([each[0] for each in pasts], load)
        expected_pv = self._forecast.predict([each[1] for each in pasts], pv)
        return HomeDay(
            name,
            spec,
            self._build_inputs(expected_load, expected_pv, around),
            self._build_inputs(load, pv, around),
        )

    def _read_series(self, home: str, day: int, scale: float) -> tuple[Array, Array]:
        found = self._file.get_day(home, day)
        factor = scale / WH_PER_KWH
        return np.array(found.load_wh) * factor, np.array(found.pv_wh) * factor

    def _build_inputs(self, load: Array, pv: Array, around: Surroundings) -> DayInputs:
        slots = len(load)
        return DayInputs(
            load_kwh=load,
            pv_kwh=pv,
            retail=np.array(around.retail, dtype=np.float64) / MICRO,
            feed_in=np.full(slots, self._options.feed_in / MICRO),
            outdoor_c=np.array(around.outdoor_centi_c, dtype=np.float64) / CENTI,
            slot_hours=self._file.slot_s / 3600,
        )


def build_reference_spec(index: int) -> HomeSpec:
    """Return a home of the reference runs: a tenth of its load may move, every second one has a battery."""
    return HomeSpec(shift=Shift(), battery=Battery() if index % 2 == 0 else None)


def _get_spec(book: HomeBook | None, name: str, index: int) -> HomeSpec:
    if book is None:
        return build_reference_spec(index)
    try:
        return book.get(name)
    except HomeError as error:
        raise build_usage_error(f"--spec: {error}") from None


def _make_homes(file: HouseholdFile, count: int, number: int) -> list[tuple[str, str, int, float]]:
    """Return (name, measured home, day, scale): the file's own homes first, then others made of them, always the
    same.
    """
    if number >= file.day_count:
        raise build_usage_error(f"--day {number}: {SourceProblem.DAY_BEYOND_FILE.value}")
    generator = random.Random(number)  # noqa: S311  # a workload, the same each time
    made = []
    for index in range(count):
        source = file.homes[index % len(file.homes)]
        if index < len(file.homes):
            made.append((source, source, number, 1.0))
            continue
        day = generator.randrange(file.day_count)
        scale = generator.uniform(SCALE_LEAST, SCALE_MOST)
        made.append((f"{source}-{index // len(file.homes)}", source, day, scale))
    return made
