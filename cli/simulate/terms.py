"""The terms of a round as simulations and the demonstration open it: those of the reference runs."""

from collections.abc import Sequence
from statistics import median

from cli.simulate.options import SimulationOptions
from vm.contracts.energy.coordination.calls import Terms

ITERATION_S = 60
CLAIM_S = 600
SILENCE_MAX = 3
PAIR_LIMIT_WH = 5000
RELIEF_PERMILLE = 10
PRICE_START_PERCENT = 70
"""λ starts at 0.7 of the median retail price."""


def build_terms(options: SimulationOptions, retail: Sequence[int]) -> Terms:
    """Return the terms of a round over slots with these retail prices."""
    return Terms(
        rho=options.rho,
        tolerance_mwh=options.tolerance_mwh,
        iterations_max=options.iterations_max,
        iteration_s=ITERATION_S,
        silence_max=SILENCE_MAX,
        balancing=options.balancing,
        price_start=int(median(retail)) * PRICE_START_PERCENT // 100,
        pair_limit_wh=PAIR_LIMIT_WH,
        fee=options.fee,
        preference=options.preference,
        preference_price=options.preference_price,
        penalty_price=options.penalty,
        relief_permille=RELIEF_PERMILLE,
        claim_s=CLAIM_S,
    )
