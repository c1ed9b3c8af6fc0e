"""A day's bills recomputed from the files alone, with fractions and none of the product's code.

The formulas are those of the supply/demand ratio (Liu et al. 2017) with settlement by lines: the pool's energy is
shared in proportion by largest remainder, ties by the home's name.
"""

import csv
from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from pathlib import Path

Bill = dict[str, int]


def recompute_bills(
    data: Path,
    context: Path | None,
    *,
    day: int,
    homes: int,
    feed_in: int,
    retail: int,
) -> dict[str, Bill]:
    """Return what the demonstration must say under "bills"."""
    slots = read_day(data, day, homes)
    prices = read_prices(context)
    bills: dict[str, Bill] = defaultdict(lambda: defaultdict(int))
    for start, energies in slots.items():
        settle_slot(energies, feed_in, prices.get(hour_of(start, prices), retail), bills)
    return {home: dict(bill) for home, bill in bills.items()}


def read_day(data: Path, day: int, homes: int) -> dict[int, dict[str, tuple[int, int]]]:
    """Return {slot start: {home: (import, export)}} of the N-th 24 hours, from 0."""
    with data.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = sorted({row["home"] for row in rows})[:homes]
    starts = [seconds(row["slot_start_utc"]) for row in rows]
    first = min(starts) + day * 86400
    slots: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    for start, row in zip(starts, rows, strict=True):
        if first <= start < first + 86400 and row["home"] in chosen:
            slots[start][row["home"]] = (int(row["import_wh"]), int(row["export_wh"]))
    return dict(sorted(slots.items()))


def read_prices(context: Path | None) -> dict[int, int]:
    if context is None:
        return {}
    with context.open(newline="", encoding="utf-8") as file:
        return {
            seconds(row["slot_start_utc"]): int(row["retail_price_uusd_per_kwh"])
            for row in csv.DictReader(file)
        }


def hour_of(start: int, prices: dict[int, int]) -> int:
    return start if start in prices else start - start % 3600


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def settle_slot(
    energies: dict[str, tuple[int, int]], feed_in: int, retail: int, bills: dict[str, Bill]
) -> None:
    deficit = sum(energy[0] for energy in energies.values())
    surplus = sum(energy[1] for energy in energies.values())
    seller_price = sdr_price(surplus, deficit, feed_in, retail)
    pool = min(surplus, deficit)
    bought = share(pool, {home: energy[0] for home, energy in energies.items()})
    sold = share(pool, {home: energy[1] for home, energy in energies.items()})
    for home, (drawn, fed) in energies.items():
        bill = bills[home]
        bill["import_wh"] += drawn
        bill["export_wh"] += fed
        bill["pool_bought_wh"] += bought[home]
        bill["pool_sold_wh"] += sold[home]
        bill["grid_bought_wh"] += drawn - bought[home]
        bill["grid_sold_wh"] += fed - sold[home]
        bill["net_nano"] += (
            bought[home] * seller_price
            + (drawn - bought[home]) * retail
            - sold[home] * seller_price
            - (fed - sold[home]) * feed_in
        )
        bill["alone_nano"] += drawn * retail - fed * feed_in
        bill["agreed_bought_wh"] = bill["agreed_sold_wh"] = 0


def sdr_price(surplus: int, deficit: int, feed_in: int, retail: int) -> int:
    """The seller's price; without a pool nobody pays it."""
    if surplus == 0 or surplus > deficit:
        return feed_in
    divisor = (retail - feed_in) * surplus + feed_in * deficit
    return feed_in if divisor == 0 else int(Fraction(feed_in * retail * deficit, divisor))


def share(pool: int, wanted: dict[str, int]) -> dict[str, int]:
    """Largest remainder, ties by name."""
    total = sum(wanted.values())
    if total == 0:
        return dict.fromkeys(wanted, 0)
    exact = {home: Fraction(pool * amount, total) for home, amount in wanted.items()}
    shares = {home: int(value) for home, value in exact.items()}
    left = pool - sum(shares.values())
    for home in sorted(wanted, key=lambda name: (shares[name] - exact[name], name))[:left]:
        shares[home] += 1
    return shares
