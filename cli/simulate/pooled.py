"""The pooled optimum: all homes as one household, one quadratic programme, no iterations and no prices.

It is the yardstick of a round: with the same homes nothing can be cheaper, and a round that has converged comes close.
"""

from collections.abc import Sequence

import numpy as np
import piqp
from scipy import sparse

from cli.failure import CliError
from meter.home.model import HomeModel, Programme
from meter.home.participant import HomeDay

POOLED_MAX = 200
"""Homes in one programme: it takes a second. Larger communities are measured by the Lagrangian bound."""
ACCURACY = 1e-8
ITERATIONS_MAX = 1000


def compute_pooled_optimum(homes: Sequence[HomeDay]) -> float:
    """Return the least cost of a day when everything is decided in one place, in currency units.

    Raises:
        CliError: the programme has no solution.

    """
    models = [HomeModel(home.spec, home.expected) for home in homes]
    parts = [model.build() for model in models]
    slots = parts[0].slots
    sizes = [len(part.linear) for part in parts]
    # Each home's net sale is a variable of its own, which stands in its balances and, summed, in the community's.
    home_columns = sum(sizes)
    total = home_columns + slots * len(parts)
    equal, equal_to, limits, limits_to = _join(parts, home_columns, total)
    diagonal = [value for part in parts for value in part.quadratic] + [0.0] * (slots * len(parts))
    linear = [value for part in parts for value in part.linear] + [0.0] * (slots * len(parts))
    reach = [value for model in models for value in [model.limit_kwh] * slots]
    lower = [value for part in parts for value in part.lower] + [-value for value in reach]
    upper = [value for part in parts for value in part.upper] + reach
    solver = piqp.SparseSolver()
    solver.settings.eps_abs, solver.settings.eps_rel = ACCURACY, ACCURACY / 10
    solver.settings.max_iter = ITERATIONS_MAX
    solver.setup(
        sparse.diags(np.array(diagonal)).tocsc(),
        np.array(linear),
        equal,
        equal_to,
        limits,
        None,
        limits_to,
        np.array(lower),
        np.array(upper),
    )
    status = solver.solve()
    if status != piqp.PIQP_SOLVED:
        raise CliError(f"the pooled optimum has no solution: {status.name}")
    return float(solver.result.info.primal_obj) + sum(part.constant for part in parts)


def _join(
    parts: Sequence[Programme], home_columns: int, total: int
) -> tuple[sparse.csc_matrix, np.ndarray, sparse.csc_matrix | None, np.ndarray | None]:
    """Put the homes' equalities and limits one below the other, and the sum of all net sales below them."""
    slots = parts[0].slots
    rows, columns, values, right = [], [], [], []
    limit_rows, limit_columns, limit_values, limit_right = [], [], [], []
    first_row = first_column = first_limit = 0
    for number, part in enumerate(parts):
        for row, column, value in part.equal:
            rows.append(first_row + row)
            columns.append(first_column + column)
            values.append(value)
        for slot in range(slots):
            rows.append(first_row + slot)
            columns.append(home_columns + number * slots + slot)
            values.append(1.0)
        for row, column, value in part.at_most:
            limit_rows.append(first_limit + row)
            limit_columns.append(first_column + column)
            limit_values.append(value)
        right += part.equal_to
        limit_right += part.at_most_than
        first_row += len(part.equal_to)
        first_limit += len(part.at_most_than)
        first_column += len(part.linear)
    for slot in range(slots):
        for number in range(len(parts)):
            rows.append(first_row + slot)
            columns.append(home_columns + number * slots + slot)
            values.append(1.0)
    right += [0.0] * slots
    equal = sparse.csc_matrix((values, (rows, columns)), shape=(len(right), total))
    if not limit_right:
        return equal, np.array(right), None, None
    limits = sparse.csc_matrix((limit_values, (limit_rows, limit_columns)), shape=(len(limit_right), total))
    return equal, np.array(right), limits, np.array(limit_right)
