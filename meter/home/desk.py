"""Several homes that are worked for in one process; each still sees nothing but its own and what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from meter.home.model import Array
from meter.home.participant import HomeDay, Outcome, Participant, Seat, Trades
from vm.contracts.energy.coordination.records import Agreement, Exchange, Row


@dataclass(frozen=True)
class Told:
    """What the homes of a desk are told for an iteration: a row each, or the one exchange."""

    rho: int
    active: int
    rows: Sequence[Row | None]
    exchange: Exchange | None


class Desk:
    """A group of homes in one round."""

    def __init__(self, days: Sequence[HomeDay], seats: Sequence[Seat]) -> None:
        """Take the homes and their places.

        Raises:
            HomeError: a day that cannot be planned.

        """
        self._participants = [Participant(day, seat) for day, seat in zip(days, seats, strict=True)]

    def answer(self, told: Told) -> list[Trades]:
        """Return the vectors of an iteration, in the order of the homes.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        if told.exchange is not None:
            return [home.answer_exchange(told.exchange, told.active, told.rho) for home in self._participants]
        return [
            home.answer_row(row, told.rho) if row is not None else ()
            for home, row in zip(self._participants, told.rows, strict=True)
        ]

    def finish(self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array) -> list[Outcome]:
        """Return the homes' days with what they agreed to.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        return [
            home.finish(agreement, retail, feed_in)
            for home, agreement in zip(self._participants, agreements, strict=True)
        ]

    def compute_bound(self, prices: Array) -> float:
        """Return the homes' part of the Lagrangian bound.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        return sum(home.compute_bound(prices) for home in self._participants)
