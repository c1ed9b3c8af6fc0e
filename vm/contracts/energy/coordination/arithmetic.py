"""The closed form of a round (the SCT of arXiv 2103.06046, eqs 15-17) in exact integers, and its residuals.

Bilateral: with λ symmetric, p̂ = (p_ij - p_ji)/2 and λ -= ρ·(p_ij + p_ji)/2. Both are kept doubled, so nothing is
divided. Exchange: λ -= ρ·Σx/N, in nano, rounded down; the homes take Σx and N and divide for themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt

from vm.genesis import PRICE_MAX

MWH_PER_WH = 1000
NANO_PER_MICRO = 1000
PERMILLE = 1000
NEARNESS_SCALE = 10**9
"""Weights by distance are shares of SCALE / distance: distances up to a million keep three digits."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far a round is from agreement: sums of squares in Wh², over ``count`` numbers, doubled sums ``scale``
    times. ``largest_wh`` is the most by which a pair, or a slot of an exchange, is off.
    """

    primal_squares: int
    dual_squares: int
    count: int
    scale: int
    traded_wh: int
    residual_wh: int
    largest_wh: int

    @property
    def primal_mwh(self) -> int:
        """Return the root mean square of what plans are off, in thousandths of a Wh, rounded down."""
        return _root_mean(self.primal_squares, self.scale * self.count)

    @property
    def dual_mwh(self) -> int:
        """Return the root mean square of the last move, in thousandths of a Wh, rounded down."""
        return _root_mean(self.dual_squares, self.scale * self.count)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A bilateral round by homes in order: for each the targets and prices against its partners, doubled."""

    targets_x2: list[list[int]]
    prices_x2: list[list[int]]


def solve_pairs(
    vectors: Sequence[Sequence[int]], before: Pairs, active: Sequence[bool], slots: int, rho: int
) -> tuple[Pairs, Residuals]:
    """Return targets and prices after an iteration; a pair with somebody who left has the target nothing."""
    homes = len(vectors)
    targets = [list(row) for row in before.targets_x2]
    prices = [list(row) for row in before.prices_x2]
    left_over = [[0] * slots for _ in range(homes)]
    primal = dual = traded_x2 = largest = 0
    for a in range(homes):
        for b in range(a + 1, homes):
            at_a, at_b = (b - 1) * slots, a * slots
            is_open = active[a] and active[b]
            for slot in range(slots):
                mine, theirs = (vectors[a][at_a + slot], vectors[b][at_b + slot]) if is_open else (0, 0)
                both, target = mine + theirs, mine - theirs
                primal += both * both
                largest = max(largest, abs(both))
                dual += (target - targets[a][at_a + slot]) ** 2
                traded_x2 += abs(target)
                price = _bound_price(prices[a][at_a + slot] - rho * both, 2)
                targets[a][at_a + slot], targets[b][at_b + slot] = target, -target
                prices[a][at_a + slot] = prices[b][at_b + slot] = price
                left_over[a][slot] += both
                left_over[b][slot] += both
    present = sum(active)
    residual_x2 = sum(abs(value) for row in left_over for value in row)
    count = present * (present - 1) * slots
    return Pairs(targets, prices), Residuals(
        primal, dual, count, 2, traded_x2 // 2, residual_x2 // 2, largest
    )


def bind_pairs(vectors: Sequence[Sequence[int]], before: Pairs, active: Sequence[bool], slots: int) -> Pairs:
    """Return what both sides of each pair said: the smaller quantity, doubled, at the price that both were told."""
    homes = len(vectors)
    targets = [[0] * (slots * (homes - 1)) for _ in range(homes)]
    for a in range(homes):
        for b in range(a + 1, homes):
            if not (active[a] and active[b]):
                continue
            at_a, at_b = (b - 1) * slots, a * slots
            for slot in range(slots):
                mine, theirs = vectors[a][at_a + slot], vectors[b][at_b + slot]
                agreed = max(min(mine, -theirs), 0) - max(min(-mine, theirs), 0)
                targets[a][at_a + slot], targets[b][at_b + slot] = 2 * agreed, -2 * agreed
    return Pairs(targets, before.prices_x2)


def solve_exchange(
    sums_wh: Sequence[int], prices_nano: Sequence[int], present: int, rho: int
) -> tuple[int, ...]:
    """Return the prices after an iteration: where more is sold than bought the price falls."""
    return tuple(
        _bound_price(price - rho * NANO_PER_MICRO * total // present, NANO_PER_MICRO)
        for price, total in zip(prices_nano, sums_wh, strict=True)
    )


def compute_exchange_residuals(
    sums_wh: Sequence[int], before_wh: Sequence[int], moved_squares: int, volume_wh: int, present: int
) -> Residuals:
    """Return an exchange's residuals: the mean over homes is off nothing by Σx/N, and each home moved by Δx - ΔΣx/N."""
    primal = sum(total * total for total in sums_wh)
    shift = sum((now - then) ** 2 for now, then in zip(sums_wh, before_wh, strict=True))
    dual = max(moved_squares * present - shift, 0)
    residual = sum(abs(total) for total in sums_wh)
    # Over N²·T: the primal is (Σx/N)² over T slots, the dual Σ(Δx - mean)² over N·T numbers, times N.
    largest = max(map(abs, sums_wh), default=0)
    return Residuals(primal, dual, present * present * len(sums_wh), 1, volume_wh // 2, residual, largest)


def is_within(residuals: Residuals, tolerance_mwh: int, dual_factor: int = 1) -> bool:
    """Tell whether both root mean squares are below the tolerance (the dual's times a factor), compared as squares."""
    bound = residuals.scale * residuals.count * tolerance_mwh * tolerance_mwh
    unit = MWH_PER_WH * MWH_PER_WH
    return residuals.primal_squares * unit < bound and (
        residuals.dual_squares * unit < bound * dual_factor * dual_factor
    )


def balance_rho(rho: int, residuals: Residuals, ratio: int, rho_max: int) -> int:
    """Return ρ doubled when plans are off by more than ``ratio`` times the move, halved when the other way round.

    Both residuals are in Wh here: the dual's factor ρ is left out, as it is in the rule that ends a round.
    """
    if ratio == 0:
        return rho
    if residuals.primal_squares > ratio * ratio * residuals.dual_squares:
        return min(2 * rho, rho_max)
    if residuals.dual_squares > ratio * ratio * residuals.primal_squares:
        return max(rho // 2, 1)
    return rho


def compute_costs(weights: Sequence[int], fee: int, preference_price: int) -> tuple[int, ...]:
    """Return what a traded kWh costs in a plan: the fee, and the preference's price for the part that lacks in
    weight.
    """
    total = sum(weights)
    if preference_price == 0 or total == 0:
        return (fee,) * len(weights)
    lacks = (preference_price * (total - weight) for weight in weights)
    return tuple(fee + (lack + total // 2) // total for lack in lacks)


def compute_nearness(distances: Iterable[int]) -> list[int]:
    """Return weights by distance: the nearer, the more."""
    return [NEARNESS_SCALE // distance for distance in distances]


def halve(doubled: int) -> int:
    """Return half of a doubled number, towards nothing: both sides of a trade round alike."""
    return doubled // 2 if doubled >= 0 else -(-doubled // 2)


def get_pair_index(a: int, b: int, homes: int) -> int:
    """Return the place of the pair (a, b), a < b, among all pairs in order."""
    return a * (2 * homes - a - 1) // 2 + (b - a - 1)


def _bound_price(price: int, scale: int) -> int:
    return max(-PRICE_MAX * scale, min(PRICE_MAX * scale, price))


def _root_mean(squares: int, count: int) -> int:
    return isqrt(squares * MWH_PER_WH * MWH_PER_WH // count) if count else 0
