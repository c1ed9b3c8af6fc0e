"""Prices: published by the utility before a slot begins, else those of the genesis."""

import pytest

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import HOUR, START_S, Chain
from vm.contracts.energy import queries
from vm.contracts.energy.calls import TARIFF_SLOTS_MAX, SetTariff
from vm.contracts.energy.metering import TARIFF_AHEAD_S
from vm.contracts.energy.records import Tariff
from vm.genesis import PRICE_MAX
from vm.receipt import Rejection

NEXT_S = START_S + HOUR
PRICES = ((300_000, 50_000),)


def publish(chain: Chain, first_s: int = NEXT_S, prices: tuple[tuple[int, int], ...] = PRICES) -> str | None:
    return chain.call(chain.utility, SetTariff(first_s, prices))


def test_published_prices_hold_for_their_slots_and_the_genesis_for_the_others() -> None:
    community = Community(homes=("a",))
    assert publish(community.chain, NEXT_S, ((300_000, 50_000), (1, 0))) is None
    for slot in range(4):
        community.submit("a", slot, (slot + 1) * 1000)
    assert [community.slot(slot).retail_price for slot in range(4)] == [220_000, 300_000, 1, 220_000]
    assert [community.line("a", slot).feed_in_price for slot in range(4)] == [80_000, 50_000, 0, 80_000]
    assert community.net("a") == 1000 * (220_000 + 300_000 + 1 + 220_000)
    audit(community.chain.state, HOUR)


def test_prices_may_be_published_again_until_their_slot_begins() -> None:
    chain = Chain()
    assert publish(chain) is None
    assert publish(chain, prices=((400_000, 1),)) is None
    assert queries.get_tariff(chain.state, NEXT_S) == Tariff(400_000, 1)
    chain.time_s = NEXT_S
    assert publish(chain) == Rejection.SLOT_STARTED


def test_a_slot_that_settled_early_kept_its_prices() -> None:
    community = Community(homes=("a",), future_s=HOUR)
    assert community.submit("a", 0, 1000, at_s=START_S) is None
    assert community.is_settled(0)
    assert publish(community.chain, START_S) == Rejection.SLOT_STARTED


@pytest.mark.parametrize("role", ["prosumer", "validator", "auditor"])
def test_only_the_utility_publishes(role: str) -> None:
    chain = Chain()
    assert chain.call(chain.open_account("other", role), SetTariff(NEXT_S, PRICES)) == Rejection.NOT_ALLOWED


@pytest.mark.parametrize("pair", [(-1, -1), (10, -1), (10, 11), (PRICE_MAX + 1, 0), (2**63, 2**63)])
def test_prices_are_bounded_and_feed_in_never_exceeds_retail(pair: tuple[int, int]) -> None:
    assert publish(Chain(), prices=(PRICES[0], pair)) == Rejection.PRICE_INVALID


@pytest.mark.parametrize("pair", [(0, 0), (10, 10), (PRICE_MAX, PRICE_MAX), (PRICE_MAX, 0)])
def test_prices_at_their_bounds_are_taken(pair: tuple[int, int]) -> None:
    assert publish(Chain(), prices=(pair,)) is None


def test_a_local_day_of_100_quarter_hours_fits_one_call_and_no_more() -> None:
    chain = Chain()
    assert publish(chain, prices=PRICES * TARIFF_SLOTS_MAX) is None
    assert publish(chain, prices=PRICES * (TARIFF_SLOTS_MAX + 1)) == Rejection.ARGUMENTS_INVALID
    assert publish(chain, prices=()) == Rejection.ARGUMENTS_INVALID


@pytest.mark.parametrize(
    ("first_s", "expected"),
    [
        (NEXT_S + 1, Rejection.SLOT_MISALIGNED),
        (START_S, Rejection.SLOT_STARTED),
        (0, Rejection.SLOT_STARTED),
        (-HOUR, Rejection.SLOT_STARTED),
        (-(2**62) * 2 + 2**62 * 2 % HOUR, Rejection.SLOT_STARTED),
        (START_S + TARIFF_AHEAD_S - HOUR, None),
        (START_S + TARIFF_AHEAD_S, Rejection.TARIFF_TOO_FAR),
        (2**64 - 2**64 % HOUR, Rejection.TARIFF_TOO_FAR),
    ],
)
def test_prices_are_for_slots_between_now_and_a_year_ahead(first_s: int, expected: Rejection | None) -> None:
    assert publish(Chain(), first_s) == expected
