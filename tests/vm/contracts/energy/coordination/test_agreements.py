"""What was agreed is settled against what is metered: to the last unit, with penalties, and with relief for losers."""

import pytest

from tests.vm.contracts.energy.coordination.rounds import LEAD_SLOTS, RoundOfHomes, make_terms
from vm.contracts.energy.coordination.calls import ClaimRelief, Form, Terms
from vm.contracts.energy.coordination.records import Status
from vm.contracts.ledger import GRID, Asset
from vm.receipt import Rejection

FEED_IN, RETAIL = 80_000, 220_000
PRICE = 150_000
"""λ as both were told: a round that ends before it converged moves no price after the last word."""


def agree(terms: Terms | None = None, homes: tuple[str, ...] = ("a", "b")) -> RoundOfHomes:
    """Let a sell 200 Wh to b in the first slot; anybody else trades nothing."""
    found = RoundOfHomes(homes=homes, terms=terms or make_terms(iterations_max=1))
    assert found.open() is None
    vectors = {name: found.vector(name) for name in homes}
    vectors["a"], vectors["b"] = found.vector("a", b=[250, 0, 0]), found.vector("b", a=[-200, 0, 0])
    found.say(vectors)
    assert found.round().status == Status.FIXED
    return found


def meter(homes: RoundOfHomes, **energy: tuple[int, int]) -> None:
    """Let the homes' meters say what they drew and fed in during the first slot of the round; nothing before it."""
    for slot in range(LEAD_SLOTS + 1):
        for name in homes.homes:
            homes.community.submit(name, slot, *(energy[name] if slot == LEAD_SLOTS else (0, 0)))


def money(homes: RoundOfHomes) -> int:
    return homes.chain.sum_of_asset(Asset.SETTLEMENT)


def test_both_sides_of_a_pair_agree_to_the_same_energy_at_the_same_price() -> None:
    homes = agree()
    a, b = homes.agreement("a"), homes.agreement("b")
    assert (a.net_wh, b.net_wh) == ((200, 0, 0), (-200, 0, 0))
    assert a.prices == b.prices == (PRICE, 150_000, 150_000)
    assert (a.paid_nano, b.paid_nano) == ((-200 * PRICE, 0, 0), (200 * PRICE, 0, 0))


def test_half_a_watt_hour_is_left_to_both() -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(tolerance_mwh=10**6))
    homes.open()
    homes.say({"a": homes.vector("a", b=[1001, -3, 1]), "b": homes.vector("b", a=[-1000, 0, 0])})
    assert homes.round().converged
    assert homes.agreement("a").net_wh == (1000, -1, 0)
    assert homes.agreement("b").net_wh == (-1000, 1, 0)
    # λ moved by half of ρ x what they were off, in micro-currency, rounded down.
    assert homes.agreement("a").prices == (150_000 - 50, 150_000 + 150, 150_000 - 50)


@pytest.mark.parametrize(
    ("a_wh", "b_wh", "agreed"),
    [(300, -200, 200), (200, -300, 200), (-300, 200, -200), (300, 200, 0), (-300, -200, 0), (0, -500, 0)],
)
def test_a_round_that_ends_early_binds_nobody_to_more_than_it_said(a_wh: int, b_wh: int, agreed: int) -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(iterations_max=1))
    homes.open()
    homes.say({"a": homes.vector("a", b=[a_wh, 0, 0]), "b": homes.vector("b", a=[b_wh, 0, 0])})
    assert not homes.round().converged
    assert homes.agreement("a").net_wh[0] == agreed == -homes.agreement("b").net_wh[0]
    assert homes.agreement("a").prices[0] == 150_000


def test_the_fee_is_paid_by_both_sides_to_the_grid() -> None:
    homes = agree(make_terms(iterations_max=1, fee=1000))
    paid = homes.agreement("a").paid_nano[0], homes.agreement("b").paid_nano[0]
    assert paid == (-200 * PRICE + 200_000, 200 * PRICE + 200_000)


def test_an_exchange_shares_the_scarce_side_in_proportion() -> None:
    homes = RoundOfHomes(form=Form.EXCHANGE, terms=make_terms(iterations_max=1))
    homes.open()
    homes.say({"a": (300, 0, 10), "b": (100, 0, 10), "c": (-200, -50, -30)})
    nets = [homes.agreement(name).net_wh for name in "abc"]
    assert nets == [(150, 0, 10), (50, 0, 10), (-200, 0, -20)]
    assert homes.agreement("a").paid_nano[0] == -150 * 150_000
    assert sum(homes.agreement(name).paid_nano[0] for name in "abc") == 0


def test_what_was_agreed_and_metered_costs_what_was_agreed() -> None:
    homes = agree()
    meter(homes, a=(0, 200), b=(200, 0))
    a, b = homes.community.line("a", LEAD_SLOTS), homes.community.line("b", LEAD_SLOTS)
    assert (a.net_nano, b.net_nano) == (-200 * PRICE, 200 * PRICE)
    assert (a.grid_sold_wh, b.grid_bought_wh, a.pool_sold_wh) == (0, 0, 0)
    assert money(homes) == 0


def test_the_pool_takes_what_is_metered_beyond_the_agreement() -> None:
    homes = agree()
    meter(homes, a=(0, 300), b=(350, 0))
    slot = homes.community.slot(LEAD_SLOTS)
    assert (slot.supply_wh, slot.demand_wh, slot.pool_wh) == (300, 350, 100)
    assert slot.pool_price == FEED_IN * RETAIL * 150 // ((RETAIL - FEED_IN) * 100 + FEED_IN * 150)
    a, b = homes.community.line("a", LEAD_SLOTS), homes.community.line("b", LEAD_SLOTS)
    assert a.net_nano == -200 * PRICE - 100 * slot.pool_price
    assert b.net_nano == 200 * PRICE + 100 * slot.pool_price + 50 * RETAIL
    assert homes.chain.balance(GRID).amount == 50 * RETAIL


def test_a_seller_that_does_not_deliver_pays_retail_and_the_penalty() -> None:
    homes = agree(make_terms(iterations_max=1, penalty_price=30_000))
    meter(homes, a=(0, 80), b=(200, 0))
    a, b = homes.community.line("a", LEAD_SLOTS), homes.community.line("b", LEAD_SLOTS)
    assert a.net_nano == -200 * PRICE + 120 * (RETAIL + 30_000)
    assert b.net_nano == 200 * PRICE
    assert homes.chain.balance(GRID).amount == 120 * (RETAIL + 30_000)


def test_a_buyer_that_does_not_take_sells_to_the_grid() -> None:
    homes = agree()
    meter(homes, a=(0, 200), b=(50, 0))
    assert homes.community.line("b", LEAD_SLOTS).net_nano == 200 * PRICE - 150 * FEED_IN
    assert homes.chain.balance(GRID).amount == -150 * FEED_IN


def test_a_correction_takes_the_penalty_back() -> None:
    homes = agree(make_terms(iterations_max=1, penalty_price=30_000))
    meter(homes, a=(0, 80), b=(200, 0))
    assert homes.community.correct("a", LEAD_SLOTS, 0, 200) is None
    assert homes.community.line("a", LEAD_SLOTS).net_nano == -200 * PRICE
    assert homes.chain.balance(GRID).amount == 0
    assert money(homes) == 0


def test_a_silent_meter_is_settled_as_if_it_had_done_nothing() -> None:
    homes = agree()
    for slot in range(LEAD_SLOTS):
        for name in homes.homes:
            homes.community.submit(name, slot, 0)
    homes.community.submit("a", LEAD_SLOTS, 0, 200)
    homes.community.pass_grace(LEAD_SLOTS)
    assert homes.community.line("b", LEAD_SLOTS).net_nano == 200 * PRICE - 200 * FEED_IN
    assert homes.community.submit("b", LEAD_SLOTS, 200) is None
    assert homes.community.line("b", LEAD_SLOTS).net_nano == 200 * PRICE
    assert money(homes) == 0


def test_whoever_is_not_in_the_round_is_settled_as_ever() -> None:
    homes = RoundOfHomes(terms=make_terms(iterations_max=1))
    homes.open(members=(homes.account("a"), homes.account("b")))
    homes.submit("a", (250, 0, 0))
    homes.submit("b", (-200, 0, 0))
    meter(homes, a=(0, 200), b=(200, 0), c=(70, 0))
    assert homes.community.line("c", LEAD_SLOTS).net_nano == 70 * RETAIL


def test_a_claim_is_paid_by_those_who_gained() -> None:
    homes = agree(homes=("a", "b", "c"))
    # b gains 200 Wh x (retail - price); it gives at most a tenth of it, the round having ended early.
    most = 200 * (RETAIL - PRICE) // 10
    assert homes.claim("a", most - 1) is None
    homes.pass_deadline()
    assert homes.round().status == Status.CLOSED
    assert homes.agreement("a").relief_nano == most - 1
    assert homes.agreement("b").relief_nano == -(most - 1)
    assert homes.agreement("c").relief_nano == 0
    assert (homes.community.net("a"), homes.community.net("b")) == (-(most - 1), most - 1)
    assert money(homes) == 0


def test_nobody_gives_more_than_the_bound_of_its_gain() -> None:
    homes = agree()
    bound = 200 * RETAIL // 10
    assert homes.claim("a", bound) is None
    homes.pass_deadline()
    assert homes.agreement("a").relief_nano == 200 * (RETAIL - PRICE) // 10 < bound


def test_where_a_round_converged_the_relief_is_a_tenth_of_that() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    for _ in range(2):
        homes.say({"a": homes.vector("a", b=[200, 0, 0]), "b": homes.vector("b", a=[-200, 0, 0])})
    assert homes.round().converged
    bound = 200 * RETAIL // 100
    assert homes.claim("a", bound + 1) == Rejection.CLAIM_TOO_HIGH
    assert homes.claim("a", bound) is None
    homes.pass_deadline()
    assert homes.agreement("a").relief_nano == 200 * (RETAIL - PRICE) // 100


def test_who_claims_gives_nothing() -> None:
    homes = agree()
    assert homes.claim("a", 1000) is None
    assert homes.claim("b", 1) is None
    homes.pass_deadline()
    assert homes.agreement("a").relief_nano == homes.agreement("b").relief_nano == 0


def test_claims_out_of_place_are_refused() -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(iterations_max=1))
    assert homes.claim("a", 1) == Rejection.ROUND_UNKNOWN
    homes.open()
    assert homes.claim("a", 1) == Rejection.ROUND_CLOSED
    homes = agree(homes=("a", "b", "c"))
    bound = 200 * RETAIL // 10
    assert homes.claim("a", 0) == Rejection.CLAIM_TOO_HIGH
    assert homes.claim("a", bound + 1) == Rejection.CLAIM_TOO_HIGH
    assert homes.claim("c", 1) == Rejection.CLAIM_TOO_HIGH
    assert homes.claim("a", bound) is None
    assert homes.claim("a", 1) == Rejection.CLAIM_EXISTS
    outsider = homes.community.add("z").wallet
    assert homes.chain.call(outsider, claim_of(homes)) == Rejection.MEMBER_UNKNOWN
    homes.pass_deadline()
    assert homes.claim("b", 1) == Rejection.ROUND_CLOSED


def claim_of(homes: RoundOfHomes) -> ClaimRelief:
    return ClaimRelief(homes.first_slot_s, 1)


@pytest.mark.parametrize("form", list(Form))
def test_a_closed_round_keeps_its_agreements_and_nothing_else(form: Form) -> None:
    homes = RoundOfHomes(form=form, terms=make_terms(iterations_max=1))
    homes.open()
    homes.say(dict.fromkeys("abc", (0,) * (6 if form == Form.BILATERAL else 3)))
    homes.pass_deadline()
    kept = {key[:2] for key in homes.chain.state.values if key[:1] == b"c"}
    assert kept == {b"cr", b"cg", b"cs", b"co"}
