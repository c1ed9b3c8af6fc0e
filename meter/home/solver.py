"""The quadratic programmes of homes, solved by PIQP: an interior point method that is set up once and asked again.

Between two solves only the linear costs change (or the right sides, or the penalty on trades), so the structure is
analysed once for the day. Why PIQP: docs/adr/0018-piqp-solves-the-homes.md.
"""

from collections.abc import Sequence

import numpy as np
import piqp
from scipy import sparse

from meter.home.model import Array, Programme
from meter.home.spec import HomeError, HomeProblem

ACCURACY = 1e-7
"""kWh and currency: a tenth of a milliwatt hour, far below the Wh in which homes speak."""
ACCURACY_RETRY = 1e-5
"""A hundredth of a Wh: still below what leaves the home."""
ITERATIONS_MAX = 200
"""A day takes about 15; more than this and the numbers are ill."""


class DaySolver:
    """One programme, solved many times; mutable inside, and used by one task at a time."""

    def __init__(self, programme: Programme, mixed: Sequence[tuple[int, int, float]] = ()) -> None:
        """Take the programme, and entries above the diagonal of P."""
        size = len(programme.linear)
        self._mixed = _mirror(mixed)
        self._quadratic = np.array(programme.quadratic)
        self._linear = np.array(programme.linear)
        self._equal_to = np.array(programme.equal_to)
        equal = _build_matrix(programme.equal, (len(programme.equal_to), size))
        limits = _build_matrix(programme.at_most, (len(programme.at_most_than), size))
        has_limits = bool(programme.at_most_than)
        self._solver = piqp.SparseSolver()
        self._solver.settings.max_iter = ITERATIONS_MAX
        self._set_accuracy(ACCURACY)
        self._solver.setup(
            self._build_quadratic(),
            self._linear,
            equal,
            self._equal_to,
            limits if has_limits else None,
            None,
            np.array(programme.at_most_than) if has_limits else None,
            np.array(programme.lower),
            np.array(programme.upper),
        )

    def set_quadratic(
        self, columns: slice, value: float, mixed: Sequence[tuple[int, int, float]] = ()
    ) -> None:
        """Change the squares of some variables."""
        self._quadratic[columns] = value
        self._mixed = _mirror(mixed)
        self._solver.update(P=self._build_quadratic())

    def solve(self, linear: Array | None = None, equal_to: Array | None = None) -> Array:
        """Return the solution with these linear costs and right sides, where given.

        Raises:
            HomeError: DAY_INFEASIBLE, SOLVER_FAILED.

        """
        if linear is not None:
            self._solver.update(c=linear)
        if equal_to is not None:
            self._solver.update(b=equal_to)
        status = self._solver.solve()
        if status != piqp.PIQP_SOLVED:
            self._set_accuracy(ACCURACY_RETRY)
            status = self._solver.solve()
            self._set_accuracy(ACCURACY)
        if status == piqp.PIQP_PRIMAL_INFEASIBLE:
            raise HomeError(
                HomeProblem.DAY_INFEASIBLE,
                "no plan fits the connection and the offers: "
                "raise grid_w or baseline_wh, widen a window, or need less energy",
            )
        if status != piqp.PIQP_SOLVED:
            raise HomeError(
                HomeProblem.SOLVER_FAILED, f"the solver ended with {status.name}: check the home's values"
            )
        return np.array(self._solver.result.x)

    @property
    def linear(self) -> Array:
        """Return the programme's own linear costs."""
        return self._linear

    @property
    def equal_to(self) -> Array:
        """Return the programme's own right sides."""
        return self._equal_to

    def _set_accuracy(self, accuracy: float) -> None:
        self._solver.settings.eps_abs = accuracy
        self._solver.settings.eps_rel = accuracy / 10

    def _build_quadratic(self) -> sparse.csc_matrix:
        # The diagonal is given even where it is nothing, so that an update finds the same structure.
        diagonal = [(number, number, float(value)) for number, value in enumerate(self._quadratic)]
        return _build_matrix([*diagonal, *self._mixed], (len(self._quadratic), len(self._quadratic)))


def _mirror(entries: Sequence[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Return the entries above the diagonal together with those below it."""
    return [each for row, column, value in entries for each in ((row, column, value), (column, row, value))]


def _build_matrix(entries: Sequence[tuple[int, int, float]], shape: tuple[int, int]) -> sparse.csc_matrix:
    rows = [row for row, _, _ in entries]
    columns = [column for _, column, _ in entries]
    values = [value for _, _, value in entries]
    return sparse.csc_matrix((values, (rows, columns)), shape=shape)
