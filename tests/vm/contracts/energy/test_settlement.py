"""When a slot settles, what it books, and what later readings and corrections change, to the last unit."""

from itertools import permutations

import pytest

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import HOUR, START_S
from vm.contracts.energy.contract import SLOTS_PER_BLOCK_MAX
from vm.contracts.energy.records import Flag
from vm.receipt import Rejection

FEED_IN, RETAIL = 80_000, 220_000


def check(community: Community) -> None:
    audit(community.chain.state, community.slot_s)


def test_a_slot_settles_in_the_block_of_its_last_expected_reading() -> None:
    community = Community()
    community.submit("a", 0, 700)
    community.submit("b", 0, 300)
    assert not community.is_settled(0)
    community.submit("c", 0, 0, 500)
    slot = community.slot(0)
    assert (slot.settled, slot.expected, slot.received, slot.missing) == (True, 3, 3, 0)
    assert slot.settled_height == community.chain.header.height
    assert (slot.demand_wh, slot.supply_wh, slot.pool_wh) == (1000, 500, 500)
    check(community)


@pytest.mark.parametrize("slot_s", [900, 3600])
def test_the_lines_of_a_slot_to_the_last_unit(slot_s: int) -> None:
    community = Community(slot_s=slot_s)
    for name, import_wh, export_wh in (("a", 70, 0), ("b", 31, 0), ("c", 0, 50)):
        community.submit(name, 0, import_wh, export_wh)
    price = FEED_IN * RETAIL * 101 // ((RETAIL - FEED_IN) * 50 + FEED_IN * 101)
    a, b, c = (community.line(name, 0) for name in "abc")
    # 50 of 101: a has 34.65…, b 15.34…; the rest goes to a
    assert (a.pool_bought_wh, a.grid_bought_wh) == (35, 35)
    assert (b.pool_bought_wh, b.grid_bought_wh) == (15, 16)
    assert (c.pool_sold_wh, c.grid_sold_wh) == (50, 0)
    assert a.net_nano == 35 * price + 35 * RETAIL == community.net("a")
    assert b.net_nano == 15 * price + 16 * RETAIL == community.net("b")
    assert c.net_nano == -50 * price == community.net("c")
    assert community.grid_net() == 51 * RETAIL
    check(community)


def test_import_and_export_of_one_home_are_not_netted() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100, 60)
    line = community.line("a", 0)
    assert (line.pool_bought_wh, line.pool_sold_wh, line.grid_bought_wh, line.grid_sold_wh) == (60, 60, 40, 0)
    assert line.net_nano == 40 * RETAIL
    check(community)


def test_the_order_of_readings_in_a_block_or_over_blocks_does_not_show_in_the_lines() -> None:
    energies = {"a": (700, 0), "b": (300, 10), "c": (0, 500)}
    results = set()
    for order in permutations("abc"):
        community = Community()
        for name in order:
            community.submit(name, 0, *energies[name])
        results.add(tuple(community.line(name, 0) for name in "abc"))
    together = Community()
    sealed = [together.sign(name, together.reading(name, 0, *energies[name])) for name in "cab"]
    together.chain.execute(*sealed, at_s=together.end_of(0))
    results.add(tuple(together.line(name, 0) for name in "abc"))
    assert len(results) == 1


def test_a_silent_meter_is_waited_for_until_the_grace_has_passed() -> None:
    community = Community(grace_s=900)
    community.submit("a", 0, 700)
    assert community.chain.last.next_due_ms == (community.end_of(0) + 900) * 1000
    community.chain.execute(at_s=community.end_of(0) + 899)
    assert not community.is_settled(0)
    community.chain.execute(at_s=community.end_of(0) + 900)
    slot = community.slot(0)
    assert (slot.settled, slot.received, slot.missing) == (True, 1, 2)
    assert community.line("b", 0).flags == Flag.MISSING
    assert community.line("a", 0).flags == 0
    assert community.chain.last.next_due_ms == (community.end_of(1) + 900) * 1000
    check(community)


def test_a_slot_without_any_reading_settles_after_the_grace_too() -> None:
    community = Community()
    community.pass_grace(0)
    slot = community.slot(0)
    assert (slot.settled, slot.expected, slot.received, slot.missing) == (True, 3, 0, 3)
    check(community)


def test_an_early_reading_settles_its_slot_when_it_is_the_last() -> None:
    community = Community(homes=("a",), future_s=HOUR)
    assert community.submit("a", 0, 100, at_s=START_S) is None
    assert community.is_settled(0)
    check(community)


def test_the_energy_of_a_gap_is_booked_in_the_slot_that_closes_it_and_flagged() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100)
    community.submit("a", 3, 900)
    line = community.line("a", 3)
    assert (line.import_wh, line.flags) == (800, Flag.GAP | Flag.PAGINATION_GAP)
    assert [community.line("a", slot).flags for slot in (1, 2)] == [Flag.MISSING] * 2
    check(community)


def test_a_late_reading_is_adjusted_at_grid_prices_and_touches_nobody_else() -> None:
    community = Community()
    community.submit("a", 0, 700)
    community.submit("c", 0, 0, 500)
    community.pass_grace(0)
    others = [community.line(name, 0) for name in "ac"]
    assert community.submit("b", 0, 300, 40, at_s=community.end_of(0) + 1000) is None
    line = community.line("b", 0)
    assert (line.pool_bought_wh, line.grid_bought_wh, line.grid_sold_wh) == (0, 300, 40)
    assert (line.net_nano, line.flags) == (300 * RETAIL - 40 * FEED_IN, Flag.LATE)
    assert line.net_nano == line.alone_nano == community.net("b")
    assert [community.line(name, 0) for name in "ac"] == others
    slot = community.slot(0)
    assert (slot.received, slot.missing, slot.adjusted, slot.demand_wh) == (3, 0, 1, 1000)
    check(community)


def test_a_reading_in_between_takes_its_energy_back_from_the_slot_that_closed_the_gap() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100)
    community.submit("a", 2, 900)
    assert community.submit("a", 1, 300, at_s=community.end_of(2) + 10) is None
    assert [community.line("a", slot).import_wh for slot in range(3)] == [100, 200, 600]
    assert community.line("a", 1).flags == Flag.LATE
    assert community.line("a", 2).flags == Flag.SPLIT
    assert community.net("a") == 900 * RETAIL
    check(community)


def test_what_the_pool_had_covered_of_moved_energy_is_sold_to_the_grid() -> None:
    community = Community(homes=("a", "b"))
    for slot in range(3):
        community.submit("b", slot, 0, (slot + 1) * 500)
    community.submit("a", 2, 500)
    line = community.line("a", 2)
    assert (line.import_wh, line.pool_bought_wh) == (500, 500)
    assert community.submit("a", 1, 400, at_s=community.end_of(2) + 10) is None
    line = community.line("a", 2)
    assert (line.import_wh, line.pool_bought_wh, line.grid_sold_wh) == (100, 500, 400)
    assert community.line("a", 1).grid_bought_wh == 400
    assert community.net("b") == -1500 * FEED_IN
    check(community)


def test_out_of_order_readings_of_open_slots_settle_as_if_they_came_in_order() -> None:
    states = []
    for order in permutations(range(3)):
        community = Community(homes=("a", "b"), grace_s=9 * HOUR)
        for slot in range(3):
            community.submit("b", slot, 0, (slot + 1) * 300)
        community.chain.time_s = community.end_of(3)
        for slot in order:
            assert community.submit("a", slot, (slot + 1) ** 2 * 100, at_s=community.end_of(3)) is None
        check(community)
        states.append([community.line("a", slot).import_wh for slot in range(3)])
    assert states == [[100, 300, 500]] * 6


def test_a_correction_before_settlement_settles_as_if_it_had_been_read_so() -> None:
    corrected, plain = Community(), Community()
    corrected.submit("a", 0, 900)
    assert corrected.correct("a", 0, 700) is None
    plain.submit("a", 0, 700)
    for community in (corrected, plain):
        community.submit("b", 0, 300)
        community.submit("c", 0, 0, 500)
        check(community)
    assert corrected.slot(0).adjusted == 0
    assert [corrected.line(name, 0) for name in "bc"] == [plain.line(name, 0) for name in "bc"]
    assert corrected.line("a", 0).net_nano == plain.line("a", 0).net_nano
    assert corrected.line("a", 0).flags == Flag.CORRECTED


def test_a_correction_after_settlement_moves_the_line_at_grid_prices() -> None:
    community = Community()
    for name, import_wh, export_wh in (("a", 700, 0), ("b", 300, 0), ("c", 0, 500)):
        community.submit(name, 0, import_wh, export_wh)
    before = community.line("a", 0)
    assert community.correct("a", 0, 800) is None
    assert community.line("a", 0).net_nano == before.net_nano + 100 * RETAIL
    assert community.correct("a", 0, 600) is None
    assert community.line("a", 0).net_nano == before.net_nano - 100 * RETAIL
    assert community.correct("a", 0, before.pool_bought_wh - 10) is None
    line = community.line("a", 0)
    assert (line.grid_bought_wh, line.grid_sold_wh) == (0, 10)
    assert community.correct("a", 0, 700) is None
    assert community.line("a", 0).net_nano == before.net_nano
    assert community.slot(0).adjusted == 4
    check(community)


def test_export_that_did_not_happen_is_bought_from_the_grid_for_those_who_were_promised_it() -> None:
    community = Community(homes=("a", "c"))
    community.submit("a", 0, 700)
    community.submit("c", 0, 0, 500)
    price = community.slot(0).pool_price
    assert community.correct("c", 0, 0, 100) is None
    line = community.line("c", 0)
    assert (line.pool_sold_wh, line.grid_bought_wh) == (500, 400)
    assert line.net_nano == -500 * price + 400 * RETAIL
    assert community.net("a") == 500 * price + 200 * RETAIL
    check(community)


def test_a_correction_moves_energy_between_its_slot_and_the_next_and_flags_both() -> None:
    community = Community(homes=("a",))
    for slot, register in enumerate((100, 300, 600)):
        community.submit("a", slot, register)
    assert community.correct("a", 1, 250) is None
    assert [community.line("a", slot).import_wh for slot in range(3)] == [100, 150, 350]
    assert [community.line("a", slot).flags for slot in range(3)] == [0, Flag.CORRECTED, Flag.CORRECTED]
    assert community.net("a") == 600 * RETAIL
    check(community)


def test_a_corrected_status_shows_on_the_line_and_a_good_one_clears_it() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100, status="E")
    assert community.line("a", 0).flags == Flag.STATUS_NOT_GOOD
    community.correct("a", 0, 100)
    assert community.line("a", 0).flags == Flag.CORRECTED
    community.correct("a", 0, 100, status="S")
    assert community.line("a", 0).flags == Flag.CORRECTED | Flag.STATUS_NOT_GOOD


@pytest.mark.parametrize("order", list(permutations((650, 820, 90))))
def test_the_last_of_several_corrections_decides_whatever_the_way_there(order: tuple[int, ...]) -> None:
    community = Community()
    for name, import_wh, export_wh in (("a", 700, 0), ("b", 300, 0), ("c", 0, 500)):
        community.submit(name, 0, import_wh, export_wh)
    for register in (*order, 640):
        assert community.correct("a", 0, register) is None
    direct = Community()
    for name, import_wh, export_wh in (("a", 700, 0), ("b", 300, 0), ("c", 0, 500)):
        direct.submit(name, 0, import_wh, export_wh)
    direct.correct("a", 0, 640)
    assert community.line("a", 0) == direct.line("a", 0)
    assert community.net("a") == direct.net("a")
    check(community)


def test_late_readings_give_the_same_money_in_any_order() -> None:
    results = set()
    for order in permutations(range(4)):
        community = Community(homes=("a", "b"))
        for slot in range(5):
            community.submit("b", slot, 0, (slot + 1) * 300)
        community.submit("a", 4, 2500)
        community.pass_grace(4)
        for slot in order:
            assert community.submit("a", slot, (slot + 1) * 450) is None
        check(community)
        results.add((community.net("a"), tuple(community.line("a", slot).net_nano for slot in range(5))))
    assert len(results) == 1


def test_a_suspended_meter_is_not_waited_for_and_gets_an_empty_line() -> None:
    community = Community()
    community.suspend("c")
    community.submit("a", 0, 700)
    community.submit("b", 0, 300)
    slot = community.slot(0)
    assert (slot.settled, slot.expected, slot.received, slot.missing) == (True, 2, 2, 1)
    assert community.line("c", 0).flags == Flag.MISSING
    check(community)


def test_a_meter_suspended_after_the_slot_opened_is_waited_for_no_longer_than_the_grace() -> None:
    community = Community()
    community.submit("a", 0, 700)
    community.suspend("c")
    community.submit("b", 0, 300)
    assert not community.is_settled(0)
    community.pass_grace(0)
    assert community.is_settled(0)
    check(community)


def test_a_reinstated_meter_does_not_take_the_place_of_one_that_is_still_expected() -> None:
    community = Community()
    community.suspend("c")
    community.submit("a", 0, 700)
    community.reinstate("c")
    assert community.submit("c", 0, 0, 500) is None
    assert not community.is_settled(0)
    assert community.submit("b", 0, 300) is None
    slot = community.slot(0)
    assert (slot.settled, slot.expected, slot.received, slot.missing) == (True, 3, 3, 0)
    assert community.line("b", 0).pool_bought_wh == 150
    check(community)


def test_a_reinstated_meter_is_waited_for_as_any_other() -> None:
    community = Community()
    community.suspend("c")
    community.submit("a", 0, 700)
    community.reinstate("c")
    community.submit("b", 0, 300)
    assert not community.is_settled(0)
    community.submit("c", 0, 0, 500)
    assert community.is_settled(0)
    check(community)


def test_the_energy_of_a_suspension_is_not_lost() -> None:
    community = Community(homes=("a", "b"))
    community.submit("a", 0, 100)
    community.suspend("a")
    for slot in range(3):
        community.submit("b", slot, slot)
    community.reinstate("a")
    community.submit("a", 3, 1000)
    community.submit("b", 3, 4)
    assert community.line("a", 3).import_wh == 900
    assert community.net("a") == 1000 * RETAIL
    check(community)


def test_after_an_outage_the_backlog_spreads_over_blocks_without_a_reading() -> None:
    community = Community(homes=("a", "b"), slot_s=900, correction_s=31 * 86400)
    slots = 3 * SLOTS_PER_BLOCK_MAX + 5
    community.chain.time_s = community.end_of(slots - 1) + community.grace_s
    now_ms = community.chain.time_s * 1000
    settled = []
    for _ in range(4):
        community.chain.execute()
        settled.append(sum(community.is_settled(slot) for slot in range(slots + 1)))
    assert settled == [32, 64, 96, 101]
    assert community.chain.last.next_due_ms is not None
    assert community.chain.last.next_due_ms > now_ms
    check(community)


def test_while_a_backlog_waits_the_next_block_is_due_at_once() -> None:
    community = Community(homes=("a",), slot_s=900)
    community.chain.time_s = community.end_of(200)
    community.chain.execute()
    assert community.chain.last.next_due_ms is not None
    assert community.chain.last.next_due_ms < community.chain.time_s * 1000


def test_readings_of_an_outage_are_taken_when_they_come_and_nothing_is_lost() -> None:
    community = Community(homes=("a", "b"), slot_s=900)
    community.chain.time_s = community.end_of(49)
    sealed = [
        community.sign(name, community.reading(name, slot, slot * 10, slot * 3))
        for slot in reversed(range(50))
        for name in "ab"
    ]
    receipts = community.chain.execute(*sealed)
    assert [receipt.rejection for receipt in receipts] == [None] * 100
    for _ in range(3):
        community.chain.execute(at_s=community.end_of(49) + 900)
    assert all(community.is_settled(slot) for slot in range(50))
    assert sum(community.line("a", slot).import_wh for slot in range(50)) == 490
    check(community)


def test_the_slot_after_an_unsettled_one_may_settle_first() -> None:
    community = Community(homes=("a", "b"), grace_s=5 * HOUR)
    community.submit("a", 0, 100)
    community.submit("a", 1, 200)
    community.submit("b", 1, 700)
    assert (community.is_settled(0), community.is_settled(1)) == (False, True)
    assert community.submit("b", 0, 300) is None
    assert community.is_settled(0)
    assert community.line("b", 1).import_wh == 400
    assert community.line("b", 0).flags == 0
    check(community)


def test_a_reading_after_the_window_is_refused_and_its_energy_stays_in_the_gap() -> None:
    community = Community(homes=("a",), correction_s=2 * HOUR)
    community.submit("a", 0, 100)
    community.submit("a", 5, 900)
    assert community.submit("a", 1, 300) == Rejection.READING_TOO_LATE
    assert community.submit("a", 3, 300) is None
    assert sum(community.line("a", slot).import_wh for slot in range(6)) == 900
    check(community)
