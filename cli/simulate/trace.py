"""The cost of each iteration as it would be if the trades were fixed there: for the report's curve, nothing else."""

from collections.abc import Sequence

import numpy as np

from meter.home.model import WH_PER_KWH, HomeModel
from meter.home.participant import HomeDay
from meter.home.tasks import GivenTask
from vm.contracts.energy.coordination.records import Exchange, Row


class CostTrace:
    """Plans every home again with an iteration's targets as given trades."""

    def __init__(self, homes: Sequence[HomeDay]) -> None:
        """Take the homes in the order of their accounts."""
        self._tasks = [GivenTask(HomeModel(home.spec, home.expected), may_overload=True) for home in homes]
        self._slots = homes[0].expected.slots

    def cost_of_rows(self, rows: Sequence[Row | None]) -> float:
        """Return the cost of bilateral targets.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        total = 0.0
        for task, row in zip(self._tasks, rows, strict=True):
            targets = np.array(() if row is None else row.targets_x2, dtype=np.float64).reshape(
                -1, self._slots
            )
            total += task.solve(targets.sum(axis=0) / 2 / WH_PER_KWH).cost
        return total

    def cost_of_vectors(self, vectors: Sequence[Sequence[int]], exchange: Exchange) -> float:
        """Return the cost of an exchange's vectors, each less its part of what is too much.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        surplus = np.array(exchange.solved_wh, dtype=np.float64) / len(vectors)
        net = [(np.array(vector, dtype=np.float64) - surplus) / WH_PER_KWH for vector in vectors]
        return sum(task.solve(each).cost for task, each in zip(self._tasks, net, strict=True))
