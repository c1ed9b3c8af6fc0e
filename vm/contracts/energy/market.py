"""The real-time pool: its price by supply and demand (Liu et al. 2017), and how its energy is shared.

Pure arithmetic over integers: energy Wh, prices micro-currency per kWh.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clearing:
    """What a slot's pool comes to. ``buyers_price`` is what buyers pay on average; it is shown, never settled."""

    supply_wh: int
    demand_wh: int
    pool_wh: int
    pool_price: int
    buyers_price: int


def compute_pool_price(supply_wh: int, demand_wh: int, feed_in_price: int, retail_price: int) -> int:
    """Return the SDR price: floor(ls * lb * D / ((lb - ls) * S + ls * D)) for 0 < S <= D, else the feed-in price.

    It lies between feed-in and retail, so nobody is worse off than alone. Requires 0 <= ls <= lb.
    """
    if supply_wh <= 0 or supply_wh > demand_wh:
        return feed_in_price
    denominator = (retail_price - feed_in_price) * supply_wh + feed_in_price * demand_wh
    if denominator == 0:
        return feed_in_price
    return feed_in_price * retail_price * demand_wh // denominator


def compute_buyers_price(supply_wh: int, demand_wh: int, pool_price: int, retail_price: int) -> int:
    """Return the buyers' average price (Ps * S + lb * (D - S)) / D, rounded down; Ps when the pool covers all."""
    if demand_wh <= 0 or supply_wh >= demand_wh:
        return pool_price
    return (pool_price * supply_wh + retail_price * (demand_wh - supply_wh)) // demand_wh


def clear_pool(supply_wh: int, demand_wh: int, feed_in_price: int, retail_price: int) -> Clearing:
    """Return the clearing of a slot."""
    price = compute_pool_price(supply_wh, demand_wh, feed_in_price, retail_price)
    return Clearing(
        supply_wh,
        demand_wh,
        min(supply_wh, demand_wh),
        price,
        compute_buyers_price(supply_wh, demand_wh, price, retail_price),
    )


def share_energy(pool_wh: int, parts_wh: Mapping[str, int]) -> dict[str, int]:
    """Split ``pool_wh`` in proportion to each home's energy, by largest remainder, ties by the home's name.

    The shares sum to ``pool_wh`` exactly, and none exceeds the home's own energy. Requires pool_wh <= sum of parts.
    """
    total = sum(parts_wh.values())
    if total == 0:
        return dict.fromkeys(parts_wh, 0)
    shares = {home: pool_wh * energy // total for home, energy in parts_wh.items()}
    left = pool_wh - sum(shares.values())
    by_remainder = sorted(parts_wh, key=lambda home: (-(pool_wh * parts_wh[home] % total), home))
    for home in by_remainder[:left]:
        shares[home] += 1
    return shares
