"""A round is opened by the utility on sound terms, over free slots, for meters."""

import pytest

from tests.vm.contracts.energy.coordination.rounds import RoundOfHomes, make_terms
from tests.vm.ledger import HOUR
from vm.contracts.energy.coordination.calls import EnrolMembers, Form, Preference
from vm.contracts.energy.coordination.records import Status
from vm.contracts.energy.coordination.rounds import (
    AHEAD_S,
    BALANCING_MAX,
    OPEN_ROUNDS_MAX,
    PAIR_CELLS_MAX,
    RELIEF_PERMILLE_MAX,
    RHO_MAX,
    SLOTS_MAX,
)
from vm.genesis import PRICE_MAX
from vm.receipt import Rejection


def test_a_round_begins_with_nothing_traded_at_the_starting_price() -> None:
    homes = RoundOfHomes()
    assert homes.open() is None
    found = homes.round()
    assert (found.status, found.iteration, found.members, found.active) == (Status.OPEN, 1, 3, 3)
    row = homes.row("a")
    assert set(row.prices_x2) == {2 * 150_000}
    assert set(row.targets_x2) == {0}
    assert len(row.prices_x2) == len(row.targets_x2) == 2 * homes.slots


def test_only_the_utility_opens_a_round() -> None:
    homes = RoundOfHomes()
    assert homes.chain.call(homes.community.home["a"].wallet, homes.opening()) == Rejection.NOT_ALLOWED


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"form": 2}, Rejection.ARGUMENTS_INVALID),
        ({"slots": 0}, Rejection.ARGUMENTS_INVALID),
        ({"slots": SLOTS_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"distances": (1, 2, 3)}, Rejection.ARGUMENTS_INVALID),
        ({"members": (b"short",) * 2}, Rejection.ARGUMENTS_INVALID),
        ({"members": ()}, Rejection.MEMBER_LIMIT),
        ({"members": (bytes(16), bytes([1] * 16))}, Rejection.METER_UNKNOWN),
    ],
)
def test_an_opening_with_one_thing_wrong_is_refused(changes: dict[str, object], rejection: str) -> None:
    assert RoundOfHomes().open(**changes) == rejection


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rho", 0),
        ("rho", RHO_MAX + 1),
        ("tolerance_mwh", 0),
        ("iterations_max", 0),
        ("iteration_s", 0),
        ("silence_max", 0),
        ("balancing", 1),
        ("balancing", BALANCING_MAX + 1),
        ("price_start", -1),
        ("price_start", PRICE_MAX + 1),
        ("pair_limit_wh", 0),
        ("fee", -1),
        ("preference", 3),
        ("preference_price", -1),
        ("penalty_price", -1),
        ("relief_permille", RELIEF_PERMILLE_MAX + 1),
        ("claim_s", 0),
    ],
)
def test_a_term_out_of_its_range_is_refused(field: str, value: int) -> None:
    assert RoundOfHomes(terms=make_terms(**{field: value})).open() == Rejection.TERMS_INVALID


@pytest.mark.parametrize("preference", [Preference.DEMAND, Preference.DISTANCE])
def test_whom_one_prefers_means_nothing_in_an_exchange(preference: Preference) -> None:
    homes = RoundOfHomes(form=Form.EXCHANGE, terms=make_terms(preference=preference))
    assert homes.open() == Rejection.TERMS_INVALID


@pytest.mark.parametrize(
    ("shift_s", "rejection"),
    [
        (1, Rejection.SLOT_MISALIGNED),
        (-10 * HOUR, Rejection.SLOT_STARTED),
        (-11 * HOUR, Rejection.SLOT_STARTED),
        (AHEAD_S, Rejection.ROUND_TOO_FAR),
    ],
)
def test_a_round_over_slots_that_cannot_be_agreed_on_is_refused(shift_s: int, rejection: str) -> None:
    homes = RoundOfHomes()
    homes.chain.execute(at_s=homes.community.start_of(0))
    assert homes.open(first_slot_s=homes.first_slot_s + shift_s) == rejection


def test_a_meter_that_opens_later_cannot_be_a_member() -> None:
    homes = RoundOfHomes()
    late = homes.community.add("z", homes.first_slot_s + HOUR)
    assert homes.open(members=(homes.account("a"), late.account)) == Rejection.METER_UNKNOWN


def test_two_rounds_never_cover_one_slot() -> None:
    homes = RoundOfHomes()
    assert homes.open() is None
    for shift in (-2, -1, 0, 1, 2):
        assert homes.open(first_slot_s=homes.first_slot_s + shift * HOUR) == Rejection.ROUND_OVERLAPS
    assert homes.open(first_slot_s=homes.first_slot_s + 3 * HOUR) is None


def test_so_many_rounds_are_under_way_and_no_more() -> None:
    homes = RoundOfHomes()
    starts = [homes.first_slot_s + number * homes.slots * HOUR for number in range(OPEN_ROUNDS_MAX + 1)]
    results = [homes.open(first_slot_s=start_s) for start_s in starts]
    assert results == [None] * OPEN_ROUNDS_MAX + [Rejection.ROUND_LIMIT]


def test_a_bilateral_round_has_as_many_homes_as_fit_a_vector() -> None:
    slots = 100
    most = PAIR_CELLS_MAX // slots + 1
    names = tuple(f"h{number:02d}" for number in range(most + 1))
    homes = RoundOfHomes(homes=names, slots=slots)
    assert homes.open() == Rejection.MEMBER_LIMIT
    assert homes.open(members=tuple(homes.account(name) for name in names[:-1])) is None


def test_an_exchange_takes_members_until_its_first_iteration_is_solved() -> None:
    homes = RoundOfHomes(form=Form.EXCHANGE)
    utility, chain = homes.chain.utility, homes.chain
    assert homes.open(members=(homes.account("a"), homes.account("b"))) is None
    enrolment = EnrolMembers(homes.first_slot_s, (homes.account("c"),))
    assert chain.call(homes.community.home["a"].wallet, enrolment) == Rejection.NOT_ALLOWED
    assert chain.call(utility, replace_round(enrolment, homes.first_slot_s + HOUR)) == Rejection.ROUND_UNKNOWN
    assert chain.call(utility, enrolment) is None
    assert chain.call(utility, enrolment) == Rejection.MEMBER_EXISTS
    assert homes.round().members == 3
    homes.say({"a": (1, 0, 0), "b": (0, 2, 0), "c": (0, 0, 3)})
    late = homes.community.add("z")
    assert chain.call(utility, EnrolMembers(homes.first_slot_s, (late.account,))) == Rejection.ROUND_CLOSED


def replace_round(enrolment: EnrolMembers, first_slot_s: int) -> EnrolMembers:
    return EnrolMembers(first_slot_s, enrolment.members)


def test_a_bilateral_round_takes_no_more_members() -> None:
    homes = RoundOfHomes()
    assert homes.open(members=(homes.account("a"), homes.account("b"))) is None
    enrolment = EnrolMembers(homes.first_slot_s, (homes.account("c"),))
    assert homes.chain.call(homes.chain.utility, enrolment) == Rejection.ROUND_CLOSED


def test_distances_make_far_partners_dearer() -> None:
    terms = make_terms(preference=Preference.DISTANCE, preference_price=10_000, fee=500)
    homes = RoundOfHomes(terms=terms)
    assert homes.open() == Rejection.ARGUMENTS_INVALID
    assert homes.open(distances=(1, 0, 1)) == Rejection.ARGUMENTS_INVALID
    assert homes.open(distances=(100, 300, 100)) is None
    first, second, third = homes.order
    # From the first home the second is three times as near as the third: weights 0.75 and 0.25.
    assert homes.row(first).costs == (500 + 2_500, 500 + 7_500)
    assert homes.row(second).costs == (500 + 5_000, 500 + 5_000)
    assert homes.row(third).costs == (500 + 7_500, 500 + 2_500)
