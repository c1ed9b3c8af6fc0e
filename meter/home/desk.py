"""Several homes that are worked for in one process; each still sees nothing but its own and what it is told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from meter.home.model import Array
from meter.home.participant import HomeDay, Outcome, Participant, Seat, Trades
from meter.home.spec import HomeError
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
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED, with the home's name.

        """
        exchange = told.exchange
        vectors: list[Trades] = []
        for home, row in zip(self._participants, told.rows, strict=True):
            with _naming(home):
                if exchange is not None:
                    vectors.append(home.answer_exchange(exchange, told.active, told.rho))
                else:
                    vectors.append(() if row is None else home.answer_row(row, told.rho))
        return vectors

    def finish(
        self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array, relief_permille: int
    ) -> list[Outcome]:
        """Return the homes' days with what they agreed to.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED, with the home's name.

        """
        outcomes = []
        for home, agreement in zip(self._participants, agreements, strict=True):
            with _naming(home):
                outcomes.append(home.finish(agreement, retail, feed_in, relief_permille))
        return outcomes

    def compute_bound(self, prices: Array) -> float:
        """Return the homes' part of the Lagrangian bound.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED, with the home's name.

        """
        total = 0.0
        for home in self._participants:
            with _naming(home):
                total += home.compute_bound(prices)
        return total


@contextmanager
def _naming(home: Participant) -> Iterator[None]:
    """Say whose day it is that has no plan."""
    try:
        yield
    except HomeError as error:
        raise HomeError(error.problem, f"home {home.name}: {error.detail}") from None
