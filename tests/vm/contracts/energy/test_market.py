"""The price of the pool by supply and demand, and how its energy is shared: vectors, and what always holds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.contracts.energy.market import (
    Clearing,
    clear_pool,
    compute_buyers_price,
    compute_pool_price,
    share_energy,
)
from vm.contracts.energy.records import Tariff
from vm.contracts.energy.settlement import build_line

FEED_IN, RETAIL = 80_000, 220_000
WATT_HOURS = st.integers(0, 10**7)
PRICES = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)).map(sorted)
PARTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 10**6), max_size=8)


@pytest.mark.parametrize(
    ("supply_kwh", "pool_price", "buyers_price"),
    [(30, 144_262, 197_278), (60, 107_317, 152_390), (100, 80_000, 80_000), (150, 80_000, 80_000)],
)
def test_the_published_vectors(supply_kwh: int, pool_price: int, buyers_price: int) -> None:
    clearing = clear_pool(supply_kwh * 1000, 100_000, FEED_IN, RETAIL)
    assert (clearing.pool_price, clearing.buyers_price) == (pool_price, buyers_price)
    assert clearing.pool_wh == min(supply_kwh, 100) * 1000


@pytest.mark.parametrize(
    ("supply", "demand", "feed_in", "retail", "expected"),
    [
        (0, 100, FEED_IN, RETAIL, Clearing(0, 100, 0, FEED_IN, RETAIL)),
        (100, 0, FEED_IN, RETAIL, Clearing(100, 0, 0, FEED_IN, FEED_IN)),
        (0, 0, FEED_IN, RETAIL, Clearing(0, 0, 0, FEED_IN, FEED_IN)),
        (100, 100, FEED_IN, RETAIL, Clearing(100, 100, 100, FEED_IN, FEED_IN)),
        (101, 100, FEED_IN, RETAIL, Clearing(101, 100, 100, FEED_IN, FEED_IN)),
        (50, 100, 0, RETAIL, Clearing(50, 100, 50, 0, RETAIL // 2)),
        (50, 100, 0, 0, Clearing(50, 100, 50, 0, 0)),
        (50, 100, RETAIL, RETAIL, Clearing(50, 100, 50, RETAIL, RETAIL)),
        (1, 10**9, FEED_IN, RETAIL, Clearing(1, 10**9, 1, 219_999, 219_999)),
    ],
)
def test_the_edges_of_the_formula(
    supply: int, demand: int, feed_in: int, retail: int, expected: Clearing
) -> None:
    assert clear_pool(supply, demand, feed_in, retail) == expected


@given(WATT_HOURS, WATT_HOURS, PRICES)
def test_the_price_is_the_formula_rounded_down_and_lies_between_feed_in_and_retail(
    supply: int, demand: int, prices: list[int]
) -> None:
    feed_in, retail = prices
    price = compute_pool_price(supply, demand, feed_in, retail)
    assert feed_in <= price <= retail
    if 0 < supply <= demand and feed_in > 0:
        exact = Fraction(feed_in * retail * demand, (retail - feed_in) * supply + feed_in * demand)
        assert price <= exact < price + 1
    elif supply != 0:
        assert price == feed_in


@given(WATT_HOURS, WATT_HOURS, PRICES)
def test_the_buyers_average_price_lies_between_the_pools_and_retail(
    supply: int, demand: int, prices: list[int]
) -> None:
    feed_in, retail = prices
    price = compute_pool_price(supply, demand, feed_in, retail)
    assert price <= compute_buyers_price(supply, demand, price, retail) <= retail


@given(WATT_HOURS, WATT_HOURS, WATT_HOURS)
def test_more_supply_never_raises_the_price(supply: int, more: int, demand: int) -> None:
    before = compute_pool_price(max(supply, 1), demand, FEED_IN, RETAIL)
    assert compute_pool_price(max(supply, 1) + more, demand, FEED_IN, RETAIL) <= before


@pytest.mark.parametrize(
    ("pool", "parts", "shares"),
    [
        (0, {"a": 5, "b": 7}, {"a": 0, "b": 0}),
        (12, {"a": 5, "b": 7}, {"a": 5, "b": 7}),
        (1, {"a": 5, "b": 5}, {"a": 1, "b": 0}),
        (1, {"b": 5, "a": 5}, {"a": 1, "b": 0}),
        (2, {"c": 1, "b": 1, "a": 1}, {"a": 1, "b": 1, "c": 0}),
        (10, {"a": 1, "b": 2, "c": 3, "d": 9}, {"a": 1, "b": 1, "c": 2, "d": 6}),
        (5, {"a": 0, "b": 10}, {"a": 0, "b": 5}),
        (0, {"a": 0}, {"a": 0}),
        (0, {}, {}),
    ],
)
def test_the_largest_remainder_gets_the_rest_and_ties_go_by_name(
    pool: int, parts: dict[str, int], shares: dict[str, int]
) -> None:
    assert share_energy(pool, parts) == shares


@given(PARTS, st.integers(0, 10**6))
def test_shares_sum_to_the_pool_none_exceeds_its_own_and_order_does_not_matter(
    parts: dict[str, int], part: int
) -> None:
    pool = sum(parts.values()) * part // 10**6
    shares = share_energy(pool, parts)
    assert sum(shares.values()) == pool
    for home, share in shares.items():
        assert 0 <= share <= parts[home]
        assert abs(share - Fraction(pool * parts[home], sum(parts.values()) or 1)) < 1
    assert share_energy(pool, dict(sorted(parts.items(), reverse=True))) == shares


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(WATT_HOURS, WATT_HOURS), max_size=6), PRICES)
def test_nobody_pays_more_than_alone_and_the_slot_sums_to_zero(
    homes: dict[str, tuple[int, int]], prices: list[int]
) -> None:
    feed_in, retail = prices
    imports = {home: wh[0] for home, wh in homes.items()}
    exports = {home: wh[1] for home, wh in homes.items()}
    clearing = clear_pool(sum(exports.values()), sum(imports.values()), feed_in, retail)
    bought, sold = share_energy(clearing.pool_wh, imports), share_energy(clearing.pool_wh, exports)
    lines = [
        build_line(*homes[home], (bought[home], sold[home]), Tariff(retail, feed_in), clearing.pool_price, 0)
        for home in homes
    ]
    assert all(line.net_nano <= line.alone_nano for line in lines)
    grid = sum(line.grid_bought_wh for line in lines), sum(line.grid_sold_wh for line in lines)
    assert sum(line.net_nano for line in lines) == grid[0] * retail - grid[1] * feed_in
    assert clearing.demand_wh - clearing.supply_wh == grid[0] - grid[1]
