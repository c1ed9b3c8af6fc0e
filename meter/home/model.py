"""A home's day as a quadratic programme: its variables, what binds them, and what they cost (arXiv 2103.06046, eqs
1-9).

Energy in kWh per slot and money in currency units: the numbers of a home are then near one, as solvers like them.
Variables that could only be nothing (a battery that is not there, the sun at night) are left out.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meter.home.spec import Appliance, Battery, Car, Heating, HomeError, HomeProblem, HomeSpec, Offer, Shift

Array = NDArray[np.float64]
Columns = NDArray[np.intp]

WH_PER_KWH = 1000.0
LEAST_KWH = 1e-9
"""Less than a millionth of a Wh is nothing."""
OVERLOAD_PRICE = 10.0
"""Currency per kWh beyond the connection's rating; only a plan that is bound to trades already agreed may pay it."""


@dataclass(frozen=True)
class DayInputs:
    """What a home expects of a day: load, sun, the grid's prices, the weather. All arrays have one entry per slot."""

    load_kwh: Array
    pv_kwh: Array
    retail: Array
    feed_in: Array
    outdoor_c: Array
    slot_hours: float

    @property
    def slots(self) -> int:
        """Return how many slots the day has."""
        return len(self.load_kwh)


@dataclass(frozen=True)
class Plan:
    """A planned day, kWh per slot. ``cost`` is the home's own: grid, wear and discomfort, without what trades pay."""

    cost: float
    grid_kwh: Array
    feed_in_kwh: Array
    used_kwh: Array
    stored_kwh: Array


@dataclass
class Programme:
    """min ½ x'Px + c'x + constant, with Ax = b, Gx <= h, lower <= x <= upper; P is diagonal.

    Rows 0 to slots - 1 of A are the energy balances, whose right side is sun minus load: a sale is subtracted from it.
    """

    slots: int
    quadratic: list[float] = field(default_factory=list)
    linear: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    equal: list[tuple[int, int, float]] = field(default_factory=list)
    equal_to: list[float] = field(default_factory=list)
    at_most: list[tuple[int, int, float]] = field(default_factory=list)
    at_most_than: list[float] = field(default_factory=list)
    constant: float = 0.0
    columns: dict[str, Columns] = field(default_factory=dict)

    def add(
        self,
        name: str,
        upper: Array,
        linear: Array | float,
        quadratic: float = 0.0,
        lower: Array | float = 0.0,
    ) -> Columns:
        """Add one variable for each entry of ``upper`` and return their columns."""
        first, count = len(self.linear), len(upper)
        self.upper += upper.tolist()
        self.lower += np.broadcast_to(lower, count).tolist()
        self.linear += np.broadcast_to(linear, count).tolist()
        self.quadratic += [quadratic] * count
        columns = np.arange(first, first + count)
        self.columns[name] = columns
        return columns

    def bind(self, row: int, columns: Columns, factor: float) -> None:
        """Put variables into an equality."""
        self.equal += [(row, int(column), factor) for column in columns]

    def balance(self, columns: Columns, slots: Columns, factor: float) -> None:
        """Put variables into the balances of their slots: positive uses energy, negative brings it."""
        self.equal += [(int(slot), int(column), factor) for slot, column in zip(slots, columns, strict=True)]

    def add_equality(self, right: float) -> int:
        """Open an equality and return its row."""
        self.equal_to.append(right)
        return len(self.equal_to) - 1

    def add_limit(self, parts: list[tuple[int, float]], right: float) -> None:
        """Add an inequality over (column, factor)."""
        row = len(self.at_most_than)
        self.at_most += [(row, column, factor) for column, factor in parts]
        self.at_most_than.append(right)


class HomeModel:
    """A home on one day."""

    def __init__(self, spec: HomeSpec, day: DayInputs) -> None:
        """Take a checked spec and what is expected of the day."""
        self.spec = spec
        self.day = day
        self.limit_kwh = spec.grid_w * day.slot_hours / WH_PER_KWH

    def build(self, *, may_overload: bool = False) -> Programme:
        """Return the programme of the home by itself.

        Raises:
            HomeError: a window holds no whole slot.

        """
        day = self.day
        programme = Programme(day.slots)
        shift = self.spec.shift
        moved = day.load_kwh * shift.share if shift is not None else np.zeros(day.slots)
        programme.equal_to += (day.pv_kwh - (day.load_kwh - moved)).tolist()
        every = np.arange(day.slots)
        limit = np.full(day.slots, self.limit_kwh)
        grid = programme.add("grid", limit, day.retail)
        programme.balance(grid, every, -1.0)
        programme.balance(programme.add("feed_in", limit, -day.feed_in), every, 1.0)
        sunny = np.flatnonzero(day.pv_kwh > LEAST_KWH)
        programme.balance(programme.add("curtailed", day.pv_kwh[sunny], 0.0), sunny, 1.0)
        if may_overload:
            overload = programme.add("overload", np.full(day.slots, np.inf), OVERLOAD_PRICE)
            programme.balance(overload, every, -1.0)
            spilled = programme.add("spilled", np.full(day.slots, np.inf), OVERLOAD_PRICE)
            programme.balance(spilled, every, 1.0)
        if shift is not None:
            _add_shift(programme, shift, moved)
        if self.spec.battery is not None:
            _add_battery(programme, self.spec.battery, day.slot_hours)
        if self.spec.car is not None:
            _add_car(programme, self.spec.car, day.slot_hours)
        if self.spec.heating is not None:
            _add_heating(programme, self.spec.heating, day)
        for each in self.spec.appliances:
            _add_appliance(programme, each, day.slot_hours)
        for number, offer in enumerate(self.spec.offers):
            _add_offer(programme, number, offer, grid, day.slot_hours)
        if self.spec.demand_price > 0:
            peak = programme.add("peak", np.array([np.inf]), self.spec.demand_price)
            for column in grid:
                programme.add_limit([(int(column), 1.0), (int(peak[0]), -day.slot_hours)], 0.0)
        return programme

    def read_plan(self, programme: Programme, x: Array) -> Plan:
        """Return what the solution of a programme without trades means."""
        linear, quadratic = np.array(programme.linear), np.array(programme.quadratic)
        cost = float(linear @ x + 0.5 * quadratic @ x**2) + programme.constant
        grid = x[programme.columns["grid"]].copy()
        feed_in = x[programme.columns["feed_in"]].copy()
        if "overload" in programme.columns:
            grid += x[programme.columns["overload"]]
            feed_in += x[programme.columns["spilled"]]
        used = self.day.load_kwh.copy()
        if "shift" in programme.columns and self.spec.shift is not None:
            used += x[programme.columns["shift"]] - self.day.load_kwh * self.spec.shift.share
        for name, columns in programme.columns.items():
            if name.startswith(("appliance", "car", "heating")):
                used[_get_slots_of(programme, columns)] += x[columns]
        stored = np.zeros(self.day.slots)
        if "charge" in programme.columns:
            stored = x[programme.columns["charge"]] - x[programme.columns["discharge"]]
        return Plan(cost, grid, feed_in, used, stored)


def _add_shift(programme: Programme, shift: Shift, moved: Array) -> None:
    """Shiftable load: what moves stays the same in sum; the square of what moved is discomfort."""
    slack = shift.slack_wh / WH_PER_KWH
    columns = programme.add("shift", 2 * moved + slack, -2 * shift.discomfort * moved, 2 * shift.discomfort)
    programme.constant += float(shift.discomfort * (moved**2).sum())
    programme.balance(columns, np.arange(programme.slots), 1.0)
    programme.bind(programme.add_equality(float(moved.sum())), columns, 1.0)


def _add_battery(programme: Programme, battery: Battery, slot_hours: float) -> None:
    """A battery: e[t] = e[t-1] + η·charge - discharge/η within its bounds, at the end no emptier than asked."""
    slots, capacity = programme.slots, battery.capacity_wh / WH_PER_KWH
    power = np.full(slots, battery.power_w * slot_hours / WH_PER_KWH)
    every = np.arange(slots)
    charge = programme.add("charge", power, battery.wear)
    discharge = programme.add("discharge", power, battery.wear)
    programme.balance(charge, every, 1.0)
    programme.balance(discharge, every, -1.0)
    lower = np.full(slots, battery.charge_min * capacity)
    lower[-1] = battery.charge_end * capacity
    content = programme.add("content", np.full(slots, battery.charge_max * capacity), 0.0, 0.0, lower)
    for slot in range(slots):
        row = programme.add_equality(battery.charge_start * capacity if slot == 0 else 0.0)
        programme.bind(row, content[slot : slot + 1], 1.0)
        if slot > 0:
            programme.bind(row, content[slot - 1 : slot], -1.0)
        programme.bind(row, charge[slot : slot + 1], -battery.efficiency)
        programme.bind(row, discharge[slot : slot + 1], 1.0 / battery.efficiency)


def _add_appliance(programme: Programme, appliance: Appliance, slot_hours: float) -> None:
    slots = _find_slots(appliance, programme.slots, slot_hours)
    energy = appliance.energy_wh / WH_PER_KWH
    power = appliance.power_w * slot_hours / WH_PER_KWH
    if energy > power * len(slots):
        raise HomeError(
            HomeProblem.APPLIANCE_IMPOSSIBLE,
            f"appliance {appliance.name!r}: its window holds {len(slots)} whole slots, too few for its energy",
        )
    columns = programme.add(f"appliance {appliance.name}", np.full(len(slots), power), 0.0)
    programme.balance(columns, slots, 1.0)
    programme.bind(programme.add_equality(energy), columns, 1.0)


def _add_car(programme: Programme, car: Car, slot_hours: float) -> None:
    slots = _find_slots(car, programme.slots, slot_hours)
    energy = car.energy_wh / WH_PER_KWH / car.efficiency
    power = car.power_w * slot_hours / WH_PER_KWH
    if energy > power * len(slots):
        what = f"the car is plugged in for {len(slots)} whole slots, too few for its energy"
        raise HomeError(HomeProblem.CAR_IMPOSSIBLE, what)
    columns = programme.add("car", np.full(len(slots), power), 0.0)
    programme.balance(columns, slots, 1.0)
    programme.bind(programme.add_equality(energy), columns, 1.0)


def _add_heating(programme: Programme, heating: Heating, day: DayInputs) -> None:
    """Heating or cooling: τ[t] = out - (out - τ[t-1])·e^(-1/RC) + gain·energy; ω·(τ - reference)² is discomfort."""
    slots = programme.slots
    power = np.full(slots, heating.power_w * day.slot_hours / WH_PER_KWH)
    energy = programme.add("heating", power, 0.0)
    programme.balance(energy, np.arange(slots), 1.0)
    far = np.full(slots, np.inf)
    # The variable is the distance from the reference, whose square costs.
    off = programme.add("temperature", far, 0.0, 2 * heating.comfort, -far)
    keep = float(np.exp(-day.slot_hours / heating.decay_hours))
    for slot in range(slots):
        drift = (1 - keep) * (float(day.outdoor_c[slot]) - heating.reference_c)
        before = keep * (heating.start_c - heating.reference_c) if slot == 0 else 0.0
        row = programme.add_equality(drift + before)
        programme.bind(row, off[slot : slot + 1], 1.0)
        if slot > 0:
            programme.bind(row, off[slot - 1 : slot], -keep)
        programme.bind(row, energy[slot : slot + 1], -heating.gain)


def _add_offer(programme: Programme, number: int, offer: Offer, grid: Columns, slot_hours: float) -> None:
    """Demand response: what is drawn below the baseline is rewarded, and no more than the baseline is drawn.

    Without that bound the reward would make the programme non-convex: draw more here, be paid for less there.
    """
    slots = _find_slots(offer, programme.slots, slot_hours)
    baseline = offer.baseline_wh / WH_PER_KWH
    if len(slots) == 0 or baseline == 0:
        return
    saved = programme.add(f"saved {number}", np.full(len(slots), baseline), -offer.reward)
    for slot, column in zip(slots, saved, strict=True):
        programme.add_limit([(int(column), 1.0), (int(grid[slot]), 1.0)], baseline)


def _find_slots(window: Appliance | Car | Offer, slots: int, slot_hours: float) -> Columns:
    """Return the slots that lie wholly in a window."""
    starts = np.arange(slots) * slot_hours
    inside = (starts >= window.from_hour - LEAST_KWH) & (starts + slot_hours <= window.to_hour + LEAST_KWH)
    return np.flatnonzero(inside)


def _get_slots_of(programme: Programme, columns: Columns) -> Columns:
    first, last = int(columns[0]), int(columns[-1])
    found = [row for row, column, _ in programme.equal if first <= column <= last and row < programme.slots]
    return np.array(found, dtype=np.intp)
