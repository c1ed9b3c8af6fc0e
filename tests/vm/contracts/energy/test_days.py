"""Whole days of real homes: every line and every bill agrees, to the last unit, with the file alone."""

import csv
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import make_registration
from tests.vm.ledger import Chain, Wallet, make_energy, make_genesis, make_wallet
from vm.contracts.energy import queries
from vm.contracts.energy.calls import SetTariff, SubmitReading
from vm.contracts.ledger import GRID

DATA = Path(__file__).parents[4] / "cli" / "demo" / "data"
CITYLEARN = "citylearn/citylearn_10homes_7d_60min.csv"
CITYLEARN_PRICES = "citylearn/citylearn_context_7d_60min.csv"
SIMBENCH = "simbench/simbench_10homes_7d_15min.csv"
SPRING = "simbench/simbench_10homes_dst_spring_15min.csv"
AUTUMN = "simbench/simbench_10homes_dst_autumn_15min.csv"
FEED_IN, RETAIL = 50_000, 220_000
DAY_S = 86400


@dataclass(frozen=True)
class Row:
    """What a home's meter said of a slot."""

    home: str
    import_wh: int
    export_wh: int
    import_register_wh: int
    export_register_wh: int


@dataclass(frozen=True)
class Bill:
    """A home's part of a slot or of a day."""

    pool_bought_wh: int
    pool_sold_wh: int
    grid_bought_wh: int
    grid_sold_wh: int
    net_nano: int
    alone_nano: int


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@cache
def read_rows(name: str) -> dict[int, list[Row]]:
    slots: dict[int, list[Row]] = {}
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            fields = ("import_wh", "export_wh", "reg_import_wh", "reg_export_wh")
            row = Row(line["home"], *(int(line[field]) for field in fields))
            slots.setdefault(seconds(line["slot_start_utc"]), []).append(row)
    return dict(sorted(slots.items()))


@cache
def read_retail_prices(name: str) -> dict[int, int]:
    if name != CITYLEARN:
        return {}
    with (DATA / CITYLEARN_PRICES).open(encoding="utf-8", newline="") as file:
        return {
            seconds(line["slot_start_utc"]): int(line["retail_price_uusd_per_kwh"])
            for line in csv.DictReader(file)
        }


def compute_bills(rows: list[Row], retail: int) -> dict[str, Bill]:
    """Recompute a slot from the formulas, with fractions and none of the ledger's code."""
    demand, supply = sum(row.import_wh for row in rows), sum(row.export_wh for row in rows)
    price = FEED_IN
    if 0 < supply <= demand:
        price = int(Fraction(FEED_IN * retail * demand, (retail - FEED_IN) * supply + FEED_IN * demand))
    pool = min(supply, demand)
    bought = share(pool, {row.home: row.import_wh for row in rows})
    sold = share(pool, {row.home: row.export_wh for row in rows})
    return {
        row.home: Bill(
            bought[row.home],
            sold[row.home],
            row.import_wh - bought[row.home],
            row.export_wh - sold[row.home],
            (bought[row.home] - sold[row.home]) * price
            + (row.import_wh - bought[row.home]) * retail
            - (row.export_wh - sold[row.home]) * FEED_IN,
            row.import_wh * retail - row.export_wh * FEED_IN,
        )
        for row in rows
    }


def share(pool: int, wanted: dict[str, int]) -> dict[str, int]:
    """Give out whole watt-hours one by one: each to the home that is furthest below its part, ties by name."""
    exact = {home: Fraction(pool * wh, sum(wanted.values()) or 1) for home, wh in wanted.items()}
    shares = {home: int(part) for home, part in exact.items()}
    for home in sorted(wanted, key=lambda name: (shares[name] - exact[name], name))[
        : pool - sum(shares.values())
    ]:
        shares[home] += 1
    return shares


@cache
def play(name: str) -> Chain:
    """Return a chain on which every reading of the file was sent at the end of its slot."""
    slots = read_rows(name)
    starts = list(slots)
    first_s, slot_s = starts[0], starts[1] - starts[0]
    energy = make_energy(slot_s=slot_s, feed_in_price=FEED_IN, retail_price=RETAIL)
    genesis = replace(make_genesis(energy), time_ms=(first_s - slot_s) * 1000)
    chain = Chain(genesis, first_s - 1)
    wallets = {row.home: make_wallet(row.home) for row in slots[first_s]}
    registrations = [
        replace(
            make_registration(row.home, first_s),
            opening_import_wh=row.import_register_wh - row.import_wh,
            opening_export_wh=row.export_register_wh - row.export_wh,
        )
        for row in slots[first_s]
    ]
    calls = [chain.sign(chain.utility, registration) for registration in registrations]
    prices = read_retail_prices(name)
    starts_of_prices = sorted(prices)
    for begin in range(0, len(prices), 100):
        part = starts_of_prices[begin : begin + 100]
        calls.append(chain.sign(chain.utility, SetTariff(part[0], tuple((prices[s], FEED_IN) for s in part))))
    assert {receipt.rejection for receipt in chain.execute(*calls)} == {None}
    for number, (start_s, rows) in enumerate(slots.items(), 1):
        sealed = [chain.sign(wallets[row.home], make_reading(row, start_s + slot_s, number)) for row in rows]
        assert {receipt.rejection for receipt in chain.execute(*sealed, at_s=start_s + slot_s)} == {None}
    return chain


def make_reading(row: Row, time_s: int, number: int) -> SubmitReading:
    return SubmitReading(time_s, row.import_register_wh, row.export_register_wh, "G", number)


DAYS = [(name, day) for name in (CITYLEARN, SIMBENCH) for day in range(7)] + [(SPRING, 0), (AUTUMN, 0)]


@pytest.mark.parametrize(("name", "day"), DAYS)
def test_every_line_of_the_day_is_what_the_file_says(name: str, day: int) -> None:
    chain, slots, prices = play(name), read_rows(name), read_retail_prices(name)
    first_s = min(slots) + day * DAY_S
    of_day = {
        s: rows for s, rows in slots.items() if first_s <= s < first_s + DAY_S or name in {SPRING, AUTUMN}
    }
    for start_s, rows in of_day.items():
        expected = compute_bills(rows, prices.get(start_s, RETAIL))
        for row in rows:
            found = queries.get_bill_line(chain.state, account_of(row.home), start_s)
            assert found is not None
            line, bill = found.line, expected[row.home]
            assert (line.import_wh, line.export_wh, line.flags) == (row.import_wh, row.export_wh, 0)
            assert bill == Bill(
                line.pool_bought_wh,
                line.pool_sold_wh,
                line.grid_bought_wh,
                line.grid_sold_wh,
                line.net_nano,
                line.alone_nano,
            )
    check_totals(chain, of_day, prices)


def check_totals(chain: Chain, slots: dict[int, list[Row]], prices: dict[int, int]) -> None:
    """The bill of the day is the sum of its slots; the community pays the grid exactly what its homes pay."""
    nets = {row.home: 0 for row in next(iter(slots.values()))}
    for start_s, rows in slots.items():
        for home, bill in compute_bills(rows, prices.get(start_s, RETAIL)).items():
            nets[home] += bill.net_nano
            assert bill.net_nano <= bill.alone_nano
    for home, net in nets.items():
        found = [queries.get_bill_line(chain.state, account_of(home), slot_s) for slot_s in slots]
        lines = [line for line in found if line is not None]
        assert len(lines) == len(slots)
        assert queries.compute_totals(lines).net_nano == net
    grid = [queries.get_slot(chain.state, start_s) for start_s in slots]
    assert sum(nets.values()) == sum(slot.grid_net_nano for slot in grid if slot is not None)


@pytest.mark.parametrize(("name", "slots"), [(CITYLEARN, 168), (SIMBENCH, 672), (SPRING, 92), (AUTUMN, 100)])
def test_the_whole_file_sums_to_zero(name: str, slots: int) -> None:
    chain, rows = play(name), read_rows(name)
    assert len(rows) == slots
    slot_s = chain.genesis.energy.slot_s
    audit(chain.state, slot_s)
    settled = [queries.get_slot(chain.state, start_s) for start_s in rows]
    assert all(slot is not None and slot.settled and slot.received == 10 for slot in settled)
    paid = -sum(chain.balance(account_of(row.home)).amount for row in rows[min(rows)])
    assert paid == chain.balance(GRID).amount


def account_of(home: str) -> bytes:
    wallet: Wallet = make_wallet(home)
    return wallet.account
