"""What a home solves: alone, bound to given trades, or its part of a round (the ULT of arXiv 2103.06046, eq 14).

A *line* is one partner of the bilateral form, or the one exchange. Trades are kWh per slot, positive when the home
sells.
"""

from collections.abc import Sequence

import numpy as np

from meter.home.model import Array, HomeModel, Plan, Programme
from meter.home.solver import DaySolver

ROUNDING_KWH = 0.0006
"""A trade is rounded to Wh, which moves it by half of one at most; the solver may be off by less than the rest."""


class GivenTask:
    """The best day with trades that stand: none (alone), or those that were agreed."""

    def __init__(self, model: HomeModel, *, may_overload: bool) -> None:
        """Take a home's day; ``may_overload`` lets a plan break the connection's rating at a high price, which trades
        agreed a few Wh off the home's own plan may need.
        """
        self._model = model
        self._programme = model.build(may_overload=may_overload)
        self._solver = DaySolver(self._programme)

    def solve(self, net_sale_kwh: Array | None = None) -> Plan:
        """Return the plan beside these net sales.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        equal_to = self._solver.equal_to.copy()
        if net_sale_kwh is not None:
            equal_to[: self._model.day.slots] -= net_sale_kwh
        return self._model.read_plan(self._programme, self._solver.solve(equal_to=equal_to))


class TradeTask:
    """The home's task of each iteration: own cost - λ·p + ρ/2·(p̂ - p)², with a cost per kWh of |p| where asked."""

    def __init__(
        self, model: HomeModel, limits_kwh: Sequence[float], costs: Sequence[float], rho: float
    ) -> None:
        """Take a home's day, each line's limit in a slot and cost per kWh, and ρ (currency per kWh²)."""
        self.lines = len(limits_kwh)
        self.slots = model.day.slots
        self._model = model
        programme = model.build()
        self._first = len(programme.linear)
        self._is_split = any(costs)
        self._costs = np.repeat(np.array(costs, dtype=np.float64), self.slots)
        self._rho = rho
        room = max(model.limit_kwh - ROUNDING_KWH * self.lines, 0.0)
        _add_trades(programme, [min(limit, room) for limit in limits_kwh], rho, is_split=self._is_split)
        if self.lines > 1:
            _limit_connection(programme, self._first, self.lines, room, is_split=self._is_split)
        self._programme = programme
        self._solver = DaySolver(programme, self._build_mixed())

    def solve(self, prices: Array, targets_kwh: Array, rho: float | None = None) -> Array:
        """Return the trades (lines × slots) that answer the prices λ (currency per kWh) and targets p̂ (kWh).

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        if rho is not None and rho != self._rho:
            self._rho = rho
            self._solver.set_quadratic(slice(self._first, None), rho, self._build_mixed())
        pull = (self._rho * targets_kwh + prices).ravel()
        linear = self._solver.linear.copy()
        size = pull.size
        linear[self._first : self._first + size] = self._costs - pull
        if self._is_split:
            linear[self._first + size :] = self._costs + pull
        trades = self._solver.solve(linear)[self._first :]
        if self._is_split:
            trades = trades[:size] - trades[size:]
        return trades.reshape(self.lines, self.slots)

    def _build_mixed(self) -> list[tuple[int, int, float]]:
        if not self._is_split:
            return []
        size = self.lines * self.slots
        first = self._first
        return [(first + number, first + size + number, -self._rho) for number in range(size)]


class PriceTask:
    """The best day against given prices for trades, with no pull to any target: a term of the Lagrangian bound."""

    def __init__(self, model: HomeModel) -> None:
        """Take a home's day."""
        programme = model.build()
        self._constant = programme.constant
        self._first = len(programme.linear)
        _add_trades(programme, [model.limit_kwh], 0.0, is_split=False)
        self._solver = DaySolver(programme)
        self._quadratic = np.array(programme.quadratic)

    def solve(self, prices: Array) -> float:
        """Return the least of own cost less what trades bring, at these prices (currency per kWh).

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        linear = self._solver.linear.copy()
        linear[self._first :] = -prices
        x = self._solver.solve(linear)
        return float(linear @ x + 0.5 * self._quadratic @ x**2) + self._constant


def _add_trades(programme: Programme, limits_kwh: Sequence[float], rho: float, *, is_split: bool) -> None:
    """Add the trades; where they cost something, sales and purchases are variables of their own."""
    slots = programme.slots
    upper = np.repeat(np.array(limits_kwh, dtype=np.float64), slots)
    every = np.tile(np.arange(slots), len(limits_kwh))
    trades = programme.add("trade", upper, 0.0, rho, 0.0 if is_split else -upper)
    programme.balance(trades, every, 1.0)
    if is_split:
        programme.balance(programme.add("purchase", upper, 0.0, rho), every, -1.0)


def _limit_connection(
    programme: Programme, first: int, lines: int, room_kwh: float, *, is_split: bool
) -> None:
    """All trades of a slot together pass the connection, also when each of them is rounded to Wh."""
    slots = programme.slots
    for slot in range(slots):
        sales = [first + line * slots + slot for line in range(lines)]
        signed = [(column, 1.0) for column in sales]
        if is_split:
            signed += [(column + lines * slots, -1.0) for column in sales]
        programme.add_limit(signed, room_kwh)
        programme.add_limit([(column, -sign) for column, sign in signed], room_kwh)
