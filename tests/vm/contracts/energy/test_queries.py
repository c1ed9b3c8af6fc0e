"""What can be asked of a state: nothing where nothing happened, and bills within their bound."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import START_S, Chain, make_wallet
from vm.contracts.energy import queries
from vm.contracts.energy.records import get_line_key

HOME = make_wallet("a").account


@cache
def make_days(slots: int) -> Community:
    community = Community(homes=("a", "b"))
    for slot in range(slots):
        community.submit("a", slot, (slot + 1) * 100)
        community.submit("b", slot, 0, (slot + 1) * 30)
    return community


def test_a_new_chain_knows_no_meter_slot_reading_or_bill() -> None:
    state = Chain().state
    assert queries.get_meter(state, HOME) is None
    assert list(queries.iterate_meters(state)) == []
    assert queries.get_slot(state, START_S) is None
    assert queries.get_tariff(state, START_S) is None
    assert queries.get_progress(state) is None
    assert queries.get_reading(state, HOME, START_S) is None
    assert queries.get_bill_line(state, HOME, START_S) is None
    assert list(queries.iterate_bill_lines(state, HOME, 0, 2**40)) == []


def test_meters_come_in_the_order_of_their_accounts() -> None:
    accounts = [view.account for view in queries.iterate_meters(make_days(1).chain.state)]
    assert accounts == sorted(accounts)
    assert len(accounts) == 2


def test_a_bill_holds_the_slots_from_the_first_to_the_last_and_no_others_lines() -> None:
    community = make_days(5)
    first, last = community.start_of(1), community.start_of(3)
    lines = list(queries.iterate_bill_lines(community.chain.state, HOME, first, last))
    assert [line.slot_s for line in lines] == [community.start_of(slot) for slot in (1, 2, 3)]
    assert [line.key for line in lines] == [get_line_key(HOME, line.slot_s) for line in lines]
    assert {line.line.import_wh for line in lines} == {100}


def test_the_totals_of_a_bill_are_the_sums_of_its_lines() -> None:
    community = make_days(5)
    lines = list(queries.iterate_bill_lines(community.chain.state, HOME, 0, 2**40))
    totals = queries.compute_totals(lines)
    assert (totals.import_wh, totals.export_wh) == (500, 0)
    assert totals.pool_bought_wh + totals.grid_bought_wh == 500
    assert totals.net_nano == community.net("a")
    assert queries.compute_totals([]).net_nano == 0


def test_an_answer_holds_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "BILL_SLOTS_MAX", 3)
    lines = list(queries.iterate_bill_lines(make_days(5).chain.state, HOME, 0, 2**40))
    assert [line.slot_s for line in lines] == [START_S, START_S + 3600, START_S + 7200]


def test_a_bill_that_ends_before_it_begins_is_empty() -> None:
    assert list(queries.iterate_bill_lines(make_days(2).chain.state, HOME, START_S + 3600, START_S)) == []


@pytest.mark.parametrize("first", [-5, 0, 7, 60, 2**70])
@pytest.mark.parametrize("length", [-1, 0, 1, 30, 2**40, 2**70])
def test_a_bill_is_the_same_however_its_lines_are_looked_up(first: int, length: int) -> None:
    community = make_days(80)
    first_s = community.start_of(first) if abs(first) < 1000 else first
    last_s = first_s + (length * 3600 if length < 1000 else length)
    found = [line.slot_s for line in queries.iterate_bill_lines(community.chain.state, HOME, first_s, last_s)]
    every = [community.start_of(slot) for slot in range(80)]
    assert found == [slot_s for slot_s in every if first_s <= slot_s <= last_s]


def test_a_day_of_a_long_history_is_read_without_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    community = make_days(80)
    state = community.chain.state
    touched = 0
    iterate = state.iterate

    def count(prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        nonlocal touched
        for entry in iterate(prefix):
            touched += 1
            yield entry

    monkeypatch.setattr(state, "iterate", count)
    first_s = community.start_of(24)
    lines = list(queries.iterate_bill_lines(state, HOME, first_s, first_s + 23 * 3600))
    assert len(lines) == 24
    assert touched <= 24 + 2 * 18
