"""A home in a round: it is told prices and targets, and says trades. Nothing else leaves it before its meter speaks.

The local plan uses floats; what is said is whole Wh, and what is told is the contract's integers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meter.home.model import WH_PER_KWH, Array, DayInputs, HomeModel, Plan
from meter.home.spec import HomeSpec
from meter.home.tasks import GivenTask, PriceTask, TradeTask
from vm.contracts.energy.coordination.calls import Form, Terms
from vm.contracts.energy.coordination.records import Agreement, Exchange, Row
from vm.contracts.energy.coordination.rounds import RHO_UNIT

MICRO = 1e6
NANO = 1e9
PERMILLE = 1000

Trades = tuple[int, ...]


@dataclass(frozen=True)
class HomeDay:
    """A home and its day: what it expects, and what will be."""

    name: str
    spec: HomeSpec
    expected: DayInputs
    actual: DayInputs


@dataclass(frozen=True)
class Seat:
    """A home's place in a round: the form, how many partners it has, the terms, its connection's limit in a slot."""

    form: Form
    partners: int
    terms: Terms


@dataclass(frozen=True)
class Outcome:
    """A home's day after the trades are fixed, in currency units; positive is paid.

    ``own`` is what its plan costs beside the trades, ``paid`` what it pays for them; ``import_wh`` and ``export_wh``
    are what its meter will count, ``comfort`` is the part of ``own`` that no meter sees: wear and discomfort.
    """

    name: str
    alone: float
    own: float
    paid: float
    comfort: float
    claim_nano: int
    import_wh: list[int]
    export_wh: list[int]
    alone_plan: Plan
    plan: Plan

    @property
    def together(self) -> float:
        """Return what the day costs with the trades."""
        return self.own + self.paid


class Participant:
    """One home in one round."""

    def __init__(self, day: HomeDay, seat: Seat) -> None:
        """Take the home and its place.

        Raises:
            HomeError: the day cannot be planned at all.

        """
        self._day = day
        self._seat = seat
        self._model = HomeModel(day.spec, day.expected)
        self._task: TradeTask | None = None
        self._shape: tuple[tuple[int, ...], tuple[bool, ...]] = ((), ())
        self._said: NDArray[np.int64] = np.zeros(day.expected.slots, dtype=np.int64)

    @property
    def name(self) -> str:
        """Return the home's name."""
        return self._day.name

    def plan_alone(self) -> Plan:
        """Return the best day without anybody else.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        return GivenTask(self._model, may_overload=False).solve()

    def answer_row(self, row: Row, rho: int) -> Trades:
        """Return the vector that answers a row of the bilateral form.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        slots = self._day.expected.slots
        is_open = np.array(row.open_to, dtype=bool)
        task = self._get_task(row.costs, row.open_to, rho)
        shape = (self._seat.partners, slots)
        prices = np.array(row.prices_x2, dtype=np.float64).reshape(shape)[is_open] / 2 / MICRO
        targets = np.array(row.targets_x2, dtype=np.float64).reshape(shape)[is_open] / 2 / WH_PER_KWH
        trades = np.zeros(shape, dtype=np.int64)
        if task is not None:
            trades[is_open] = _round(task.solve(prices, targets, rho / RHO_UNIT))
        return tuple(trades.ravel().tolist())

    def answer_exchange(self, exchange: Exchange, active: int, rho: int) -> Trades:
        """Return the vector that answers an exchange: pulled to its own last one, less its part of what is too much.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        task = self._get_task((self._seat.terms.fee,), (True,), rho)
        if task is None:
            return tuple(self._said.tolist())
        prices = np.array([exchange.prices_nano], dtype=np.float64) / NANO
        targets = (self._said - np.array(exchange.solved_wh, dtype=np.float64) / active) / WH_PER_KWH
        self._said = _round(task.solve(prices, targets.reshape(1, -1), rho / RHO_UNIT))[0]
        return tuple(self._said.tolist())

    def recall(self, trades_wh: Trades) -> None:
        """Take over what this home said last, as the chain holds it: nothing before its first vector."""
        if trades_wh:
            self._said = np.array(trades_wh, dtype=np.int64)

    def finish(
        self, agreement: Agreement | None, retail: Array, feed_in: Array, relief_permille: int
    ) -> Outcome:
        """Return the day with what was agreed (None: it was left out): the plan is made once more with the trades
        given.

        ``relief_permille`` is the round's bound on claims (``relief.get_relief_permille``).

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        expected, actual = self._day.expected, self._day.actual
        net_wh = (
            np.zeros(expected.slots) if agreement is None else np.array(agreement.net_wh, dtype=np.float64)
        )
        net = net_wh / WH_PER_KWH
        paid = 0.0 if agreement is None else sum(agreement.paid_nano) / NANO
        alone = self.plan_alone()
        plan = GivenTask(self._model, may_overload=True).solve(net)
        deviation = (actual.pv_kwh - expected.pv_kwh) - (actual.load_kwh - expected.load_kwh)
        metered = _round(plan.feed_in_kwh - plan.grid_kwh + net + deviation)
        grid_cost = float(plan.grid_kwh @ expected.retail - plan.feed_in_kwh @ expected.feed_in)
        loss = plan.cost + paid - alone.cost
        return Outcome(
            name=self._day.name,
            alone=alone.cost,
            own=plan.cost,
            paid=paid,
            comfort=plan.cost - grid_cost,
            claim_nano=_compute_claim(agreement, loss, relief_permille, retail, feed_in),
            import_wh=np.maximum(-metered, 0).tolist(),
            export_wh=np.maximum(metered, 0).tolist(),
            alone_plan=alone,
            plan=plan,
        )

    def compute_bound(self, prices: Array) -> float:
        """Return the home's term of the Lagrangian bound at prices in currency per kWh.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        return PriceTask(self._model).solve(prices)

    def _get_task(self, costs: tuple[int, ...], open_to: tuple[bool, ...], rho: int) -> TradeTask | None:
        """Return the task for these costs and partners, made anew when somebody left or the costs came to be known."""
        if self._shape != (costs, open_to):
            self._shape = (costs, open_to)
            prices = [cost / MICRO for cost, is_open in zip(costs, open_to, strict=True) if is_open]
            limit = self._model.limit_kwh
            if self._seat.form == Form.BILATERAL:
                limit = self._seat.terms.pair_limit_wh / WH_PER_KWH
            limits = [limit] * len(prices)
            self._task = TradeTask(self._model, limits, prices, rho / RHO_UNIT) if prices else None
        return self._task


def _compute_claim(
    agreement: Agreement | None, loss: float, permille: int, retail: Array, feed_in: Array
) -> int:
    """Return the claim (nano) of a home that is, or might become, worse off than alone; 0 for none.

    Who claims gives nothing to others, so a home whose gain is smaller than what it might have to give claims one nano.
    """
    if agreement is None or permille == 0:
        return 0
    net = np.array(agreement.net_wh, dtype=np.float64) / WH_PER_KWH
    part = permille / PERMILLE
    gain = (
        float(np.maximum(-net, 0) @ retail - np.maximum(net, 0) @ feed_in) - sum(agreement.paid_nano) / NANO
    )
    if -loss >= max(gain, 0.0) * part:
        return 0
    bound = int(float(np.abs(net) @ retail) * part * NANO)
    return min(max(int(np.ceil(loss * NANO)), 1), bound)


def _round(kwh: Array) -> NDArray[np.int64]:
    return np.rint(kwh * WH_PER_KWH).astype(np.int64)
