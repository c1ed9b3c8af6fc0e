"""A home as its owner describes it in TOML: what it can move in time, and what that costs it.

Energy in Wh, power in W, money in currency units, hours counted from the first slot of the day. Every value is checked
here, so that a model built from a spec has a solution or a named reason why not.
"""

import math
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from primitives.encoding import DecodeError
from primitives.text import decode_toml
from vm.genesis import is_name_sound

SPEC_BYTES_MAX = 1024 * 1024
"""A thousand homes with everything; more go into files of their own."""
HOMES_MAX = 10_000
"""As many as a network has meters."""
DAY_HOURS = 24.0
POWER_W_MAX = 1_000_000
"""One megawatt: beyond any connection in a community."""
ENERGY_WH_MAX = 10_000_000
"""Ten megawatt hours: no home's battery or appliance holds that."""
MONEY_MAX = 1000.0
"""Currency units per kWh or per square of a degree: beyond anything that is worth planning for."""
APPLIANCES_MAX = 20


class HomeProblem(StrEnum):
    """What can be wrong with a home: the whole list."""

    FILE_UNREADABLE = "FILE_UNREADABLE"
    FILE_MALFORMED = "FILE_MALFORMED"
    NAME_INVALID = "NAME_INVALID"
    BATTERY_IMPOSSIBLE = "BATTERY_IMPOSSIBLE"
    SHIFT_IMPOSSIBLE = "SHIFT_IMPOSSIBLE"
    APPLIANCE_IMPOSSIBLE = "APPLIANCE_IMPOSSIBLE"
    CAR_IMPOSSIBLE = "CAR_IMPOSSIBLE"
    HEATING_IMPOSSIBLE = "HEATING_IMPOSSIBLE"
    GRID_IMPOSSIBLE = "GRID_IMPOSSIBLE"
    OFFER_IMPOSSIBLE = "OFFER_IMPOSSIBLE"
    DAY_INFEASIBLE = "DAY_INFEASIBLE"
    SOLVER_FAILED = "SOLVER_FAILED"


class HomeError(Exception):
    """A home was refused: ``problem`` names why; the message is one line that says what to change."""

    def __init__(self, problem: HomeProblem, detail: str) -> None:
        """Take the name of the problem and the sentence about it."""
        super().__init__(problem, detail)
        self.problem = problem
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.problem.value}: {self.detail}"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not have is a mistake."""


class Battery(_Section, frozen=True):
    """A battery: ``efficiency`` each way, ``wear`` per kWh charged or discharged, charge as parts of its capacity."""

    capacity_wh: int = 6400
    power_w: int = 5000
    efficiency: float = 0.95
    wear: float = 0.005
    charge_min: float = 0.1
    charge_max: float = 0.9
    charge_start: float = 0.5
    charge_end: float = 0.5


class Shift(_Section, frozen=True):
    """A part of each slot's load that may move within the day, from nothing to twice itself and ``slack_wh``."""

    share: float = 0.1
    slack_wh: int = 200
    discomfort: float = 0.02


class Appliance(_Section, frozen=True):
    """Something that needs an energy within a window, at most ``power_w`` at a time."""

    name: str
    energy_wh: int
    power_w: int
    from_hour: float = 0.0
    to_hour: float = DAY_HOURS


class Car(_Section, frozen=True):
    """An electric car: so much into its battery while it is plugged in."""

    energy_wh: int
    power_w: int = 11_000
    from_hour: float = 0.0
    to_hour: float = DAY_HOURS
    efficiency: float = 0.9


class Heating(_Section, frozen=True):
    """Heating or cooling: the house forgets its temperature within ``decay_hours`` (R times C), and a kWh moves it by
    ``gain`` degrees (negative: it cools); ``comfort`` is what the square of a degree off the reference costs per slot.
    """

    power_w: int = 3000
    decay_hours: float = 20.0
    gain: float = -0.8
    reference_c: float = 23.0
    start_c: float = 23.0
    comfort: float = 0.01


class Offer(_Section, frozen=True):
    """An offer of demand response that the home has taken up: ``reward`` per kWh drawn from the grid below the
    baseline (Wh per slot), within a window, in which it draws no more than that.
    """

    reward: float
    baseline_wh: int
    from_hour: float
    to_hour: float


class HomeSpec(_Section, frozen=True):
    """A home. ``demand_price`` is what the grid asks per kW of the day's highest purchase."""

    grid_w: int = 15_000
    demand_price: float = 0.0
    shift: Shift | None = None
    battery: Battery | None = None
    car: Car | None = None
    heating: Heating | None = None
    appliances: list[Appliance] = []
    offers: list[Offer] = []


class _Document(_Section, frozen=True):
    """A file with several homes; ``default`` is any home that is not named."""

    default: HomeSpec | None = None
    home: dict[str, HomeSpec] = {}


S = TypeVar("S", bound=_Section)


class HomeBook:
    """The homes of a file: those that are named in it, and what the others are."""

    def __init__(self, homes: dict[str, HomeSpec], default: HomeSpec | None) -> None:
        self.homes = homes
        self._default = default

    def get(self, name: str) -> HomeSpec:
        """Return the spec of a home.

        Raises:
            HomeError: NAME_INVALID; it is not named and there is no default.

        """
        spec = self.homes.get(name, self._default)
        if spec is None:
            raise HomeError(
                HomeProblem.NAME_INVALID, f"home {name} is not described: add [home.{name}] or [default]"
            )
        return spec


def read_homes(path: Path) -> HomeBook:
    """Return the homes of a TOML file ([home.NAME] tables and [default]), or of a folder with a NAME.toml for each.

    Raises:
        HomeError: FILE_UNREADABLE, FILE_MALFORMED, NAME_INVALID, or what is impossible about a home.

    """
    if path.is_dir():
        files = sorted(path.glob("*.toml"))
        if not 0 < len(files) <= HOMES_MAX:
            raise HomeError(
                HomeProblem.FILE_UNREADABLE, f"{path}: {len(files)} files NAME.toml, 1 to {HOMES_MAX} needed"
            )
        homes = {file.stem: _convert(file, _parse(file), HomeSpec) for file in files}
        book = HomeBook(homes, None)
    else:
        document = _convert(path, _parse(path), _Document)
        homes = {**document.home, **({} if document.default is None else {"default": document.default})}
        book = HomeBook(document.home, document.default)
    for name, spec in homes.items():
        if not is_name_sound(name):
            raise HomeError(HomeProblem.NAME_INVALID, f"{path}: {name!r} is not the name of a home")
        try:
            check_home(spec)
        except HomeError as error:
            raise HomeError(error.problem, f"{path}, home {name}: {error.detail}") from None
    return book


def check_home(spec: HomeSpec) -> None:
    """Refuse a home that no day can be planned for.

    Raises:
        HomeError: naming the first thing that is impossible.

    """
    if not 0 < spec.grid_w <= POWER_W_MAX or not _is_within(spec.demand_price, 0, MONEY_MAX):
        raise HomeError(
            HomeProblem.GRID_IMPOSSIBLE, f"grid_w is 1 to {POWER_W_MAX}, demand_price not negative"
        )
    if spec.battery is not None:
        _check_battery(spec.battery)
    shift = spec.shift
    if shift is not None and not (
        _is_within(shift.share, 0, 1) and 0 <= shift.slack_wh <= ENERGY_WH_MAX and _is_cost(shift.discomfort)
    ):
        raise HomeError(
            HomeProblem.SHIFT_IMPOSSIBLE, "share is 0 to 1; slack_wh and discomfort are not negative"
        )
    if len(spec.appliances) > APPLIANCES_MAX:
        raise HomeError(HomeProblem.APPLIANCE_IMPOSSIBLE, f"more than {APPLIANCES_MAX} appliances")
    for each in spec.appliances:
        what = f"appliance {each.name!r}"
        _check_window(HomeProblem.APPLIANCE_IMPOSSIBLE, what, each.energy_wh, each.power_w, each)
    if spec.car is not None:
        if not _is_within(spec.car.efficiency, 0.05, 1):
            raise HomeError(HomeProblem.CAR_IMPOSSIBLE, "the car's efficiency is 0.05 to 1")
        if abs(spec.car.energy_wh) > ENERGY_WH_MAX:
            raise HomeError(HomeProblem.CAR_IMPOSSIBLE, f"the car's energy_wh is at most {ENERGY_WH_MAX}")
        needed = math.ceil(spec.car.energy_wh / spec.car.efficiency)
        _check_window(HomeProblem.CAR_IMPOSSIBLE, "the car", needed, spec.car.power_w, spec.car)
    if spec.heating is not None:
        _check_heating(spec.heating)
    for offer in spec.offers:
        if not (_is_cost(offer.reward) and 0 <= offer.baseline_wh <= ENERGY_WH_MAX and _is_window(offer)):
            raise HomeError(
                HomeProblem.OFFER_IMPOSSIBLE,
                "reward and baseline_wh are not negative, the window is in the day",
            )


def _check_battery(battery: Battery) -> None:
    if not (0 < battery.capacity_wh <= ENERGY_WH_MAX and 0 < battery.power_w <= POWER_W_MAX):
        raise HomeError(HomeProblem.BATTERY_IMPOSSIBLE, "capacity_wh and power_w must be above 0")
    if not _is_within(battery.efficiency, 0.05, 1):
        raise HomeError(
            HomeProblem.BATTERY_IMPOSSIBLE,
            f"efficiency {battery.efficiency}: 0.05 to 1, each way; no more comes out",
        )
    low, high = battery.charge_min, battery.charge_max
    if not (_is_within(low, 0, 1) and _is_within(high, 0, 1) and low < high):
        raise HomeError(HomeProblem.BATTERY_IMPOSSIBLE, f"charge_min {low} is not below charge_max {high}")
    for name, part in (("charge_start", battery.charge_start), ("charge_end", battery.charge_end)):
        if not _is_within(part, low, high):
            raise HomeError(HomeProblem.BATTERY_IMPOSSIBLE, f"{name} {part} is not between {low} and {high}")
    if not _is_cost(battery.wear):
        raise HomeError(HomeProblem.BATTERY_IMPOSSIBLE, "wear is not negative")


def _check_heating(heating: Heating) -> None:
    if not (0 < heating.power_w <= POWER_W_MAX and _is_within(heating.decay_hours, 0.1, 10_000)):
        raise HomeError(HomeProblem.HEATING_IMPOSSIBLE, "power_w is above 0, decay_hours 0.1 to 10000")
    if not (_is_within(heating.gain, -100, 100) and heating.gain != 0 and _is_cost(heating.comfort)):
        raise HomeError(HomeProblem.HEATING_IMPOSSIBLE, "gain is -100 to 100 and not 0, comfort not negative")
    if not (_is_within(heating.reference_c, -50, 60) and _is_within(heating.start_c, -50, 60)):
        raise HomeError(HomeProblem.HEATING_IMPOSSIBLE, "temperatures are -50 to 60 degrees")


def _check_window(
    problem: HomeProblem, what: str, energy_wh: int, power_w: int, window: Appliance | Car
) -> None:
    if not (0 < energy_wh <= ENERGY_WH_MAX and 0 < power_w <= POWER_W_MAX):
        raise HomeError(problem, f"{what}: energy_wh and power_w must be above 0")
    if not _is_window(window):
        raise HomeError(problem, f"{what}: its window must lie in the day, 0 <= from_hour < to_hour <= 24")
    most = power_w * (window.to_hour - window.from_hour)
    if energy_wh > most:
        raise HomeError(problem, f"{what}: {energy_wh} Wh do not fit its window, which holds {most:.0f} Wh")


def _is_window(window: Appliance | Car | Offer) -> bool:
    return 0 <= window.from_hour < window.to_hour <= DAY_HOURS


def _is_cost(value: float) -> bool:
    return _is_within(value, 0, MONEY_MAX)


def _is_within(value: float, low: float, high: float) -> bool:
    return math.isfinite(value) and low <= value <= high


def _parse(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            data = file.read(SPEC_BYTES_MAX + 1)
    except OSError as error:
        raise HomeError(HomeProblem.FILE_UNREADABLE, f"{path}: {error.strerror or error}") from None
    if len(data) > SPEC_BYTES_MAX:
        raise HomeError(HomeProblem.FILE_UNREADABLE, f"{path}: more than {SPEC_BYTES_MAX} bytes")
    try:
        return decode_toml(data)
    except DecodeError as error:
        raise HomeError(HomeProblem.FILE_MALFORMED, f"{path}: {_to_line(error)}") from None


def _convert(path: Path, value: dict[str, object], kind: type[S]) -> S:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise HomeError(HomeProblem.FILE_MALFORMED, f"{path}: {_to_line(error)}") from None


def _to_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
