"""What can be asked of a state: nothing where nothing happened, and bills within their bound."""

from functools import cache

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


def test_meters_come_in_the_order_of_their_accounts() -> None:
    accounts = [view.account for view in queries.iterate_meters(make_days(1).chain.state)]
    assert accounts == sorted(accounts)
    assert len(accounts) == 2


def list_lines(community: Community, slots: range) -> list[queries.BillLine | None]:
    return [queries.get_bill_line(community.chain.state, HOME, community.start_of(slot)) for slot in slots]


def test_a_line_is_there_for_each_settled_slot_under_the_key_that_a_proof_shows() -> None:
    community = make_days(5)
    *lines, after = list_lines(community, range(6))
    assert after is None
    starts = [community.start_of(slot) for slot in range(5)]
    assert [(line.slot_s, line.key) for line in lines if line is not None] == [
        (slot_s, get_line_key(HOME, slot_s)) for slot_s in starts
    ]
    assert {line.line.import_wh for line in lines if line is not None} == {100}


def test_the_totals_of_a_bill_are_the_sums_of_its_lines() -> None:
    community = make_days(5)
    lines = [line for line in list_lines(community, range(5)) if line is not None]
    totals = queries.compute_totals(lines)
    assert (totals.import_wh, totals.export_wh) == (500, 0)
    assert totals.pool_bought_wh + totals.grid_bought_wh == 500
    assert totals.net_nano == community.net("a")
    assert queries.compute_totals([]).net_nano == 0
