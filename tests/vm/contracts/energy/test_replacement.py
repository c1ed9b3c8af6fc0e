"""A meter is exchanged by the utility's word: nothing is lost, nothing is counted twice, nothing goes back."""

import pytest

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import (
    OPENING_EXPORT_WH,
    OPENING_IMPORT_WH,
    RATING_W,
    Community,
)
from tests.vm.ledger import HOUR
from vm.contracts.energy import queries
from vm.contracts.energy.calls import ReplaceMeter, SubmitReading
from vm.contracts.energy.metering import REGISTER_WH_MAX
from vm.contracts.energy.records import Flag
from vm.receipt import Rejection

NEW = (7, 3)
"""What the new meter shows on its first day."""


def submit_new(community: Community, slot: int, import_wh: int, export_wh: int = 0) -> str | None:
    """A reading of the new meter, counted from its own first registers."""
    record = SubmitReading(community.end_of(slot), NEW[0] + import_wh, NEW[1] + export_wh, "G", slot + 1)
    wallet = community.home["a"].wallet
    return community.chain.call(wallet, record, at_s=max(community.end_of(slot), community.chain.time_s))


def test_what_the_old_meter_counted_is_booked_and_the_new_ones_registers_go_on() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 1000, 10)
    assert community.replace("a", 1, (1500, 30), NEW) is None
    assert submit_new(community, 2, 200, 5) is None
    energies = [
        (community.line("a", slot).import_wh, community.line("a", slot).export_wh) for slot in range(3)
    ]
    assert energies == [(1000, 10), (500, 20), (200, 5)]
    assert [community.line("a", slot).flags for slot in range(3)] == [0, 0, 0]
    assert community.is_settled(2)
    audit(community.chain.state, HOUR)


def test_the_meter_shows_the_new_registers_and_the_readings_author_is_the_utility() -> None:
    community = Community(homes=("a",))
    assert community.replace("a", 0, (400, 0), NEW) is None
    view = queries.get_meter(community.chain.state, community.home["a"].account)
    assert view is not None
    assert (view.latest.time_s, view.latest.import_wh, view.latest.export_wh) == (community.end_of(0), *NEW)
    reading = community.stored_reading("a", 0)
    assert (reading.import_wh, reading.author) == (OPENING_IMPORT_WH + 400, community.chain.utility.account)
    assert reading.pagination == 1


def test_slots_without_a_reading_before_the_exchange_are_booked_in_its_slot() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100)
    assert community.replace("a", 3, (700, 0), NEW) is None
    assert community.line("a", 3).import_wh == 600
    assert community.line("a", 3).flags == Flag.GAP | Flag.PAGINATION_GAP
    audit(community.chain.state, HOUR)


def test_late_readings_of_the_old_and_of_the_new_meter_still_fit_in() -> None:
    community = Community(homes=("a",))
    assert community.replace("a", 2, (900, 0), NEW) is None
    assert submit_new(community, 4, 400) is None
    assert community.submit("a", 0, 300, at_s=community.chain.time_s) is None
    assert submit_new(community, 3, 100) is None
    assert [community.line("a", slot).import_wh for slot in (0, 2, 3, 4)] == [300, 600, 100, 300]
    audit(community.chain.state, HOUR)


def test_readings_around_an_exchange_are_corrected_against_their_own_meter() -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 100)
    assert community.replace("a", 1, (300, 0), NEW) is None
    assert submit_new(community, 2, 50) is None
    assert community.correct("a", 0, 301) == Rejection.READING_NOT_INCREASING
    assert community.correct("a", 0, 150) is None
    account, utility = community.home["a"].account, community.chain.utility
    below = ReplaceMeter(account, community.end_of(2), 1, 1, 1, 1)
    assert community.chain.call(utility, below) == Rejection.READING_EXISTS
    assert [community.line("a", slot).import_wh for slot in range(3)] == [150, 150, 50]
    audit(community.chain.state, HOUR)


def test_the_last_registers_of_the_old_meter_are_not_corrected() -> None:
    community = Community(homes=("a",))
    assert community.replace("a", 0, (300, 0), NEW) is None
    assert community.correct("a", 0, 200, by=community.chain.utility) == Rejection.METER_REPLACED


def test_a_meter_may_be_exchanged_again() -> None:
    community = Community(homes=("a",))
    assert community.replace("a", 0, (300, 0), NEW) is None
    second = ReplaceMeter(community.home["a"].account, community.end_of(1), NEW[0] + 20, NEW[1], 0, 0)
    assert community.chain.call(community.chain.utility, second, at_s=community.end_of(1)) is None
    assert community.line("a", 1).import_wh == 20
    audit(community.chain.state, HOUR)


def test_an_exchange_after_the_grace_adjusts_a_settled_slot() -> None:
    community = Community()
    community.submit("b", 0, 500)
    community.submit("c", 0, 0, 400)
    community.pass_grace(0)
    assert community.replace("a", 0, (250, 0), NEW) is None
    assert community.line("a", 0).flags == Flag.LATE
    assert community.line("a", 0).import_wh == 250
    audit(community.chain.state, HOUR)


@pytest.mark.parametrize(
    ("slot", "last_wh", "first_wh", "expected"),
    [
        (1, (1000, 0), (0, 0), None),
        (1, (1000, 0), (REGISTER_WH_MAX, REGISTER_WH_MAX), None),
        (1, (1000, 0), (-1, 0), Rejection.ARGUMENTS_INVALID),
        (1, (1000, 0), (0, REGISTER_WH_MAX + 1), Rejection.ARGUMENTS_INVALID),
        (1, (999, 0), NEW, Rejection.READING_NOT_INCREASING),
        (1, (1000, -1), NEW, Rejection.READING_NOT_INCREASING),
        (1, (1000 + RATING_W, 0), NEW, None),
        (1, (1001 + RATING_W, 0), NEW, Rejection.READING_ABOVE_LIMIT),
        (0, (1000, 0), NEW, Rejection.READING_EXISTS),
        (-1, (1000, 0), NEW, Rejection.READING_BEFORE_OPENING),
    ],
)
def test_each_bound_of_an_exchange_holds(
    slot: int, last_wh: tuple[int, int], first_wh: tuple[int, int], expected: Rejection | None
) -> None:
    community = Community(homes=("a",))
    community.submit("a", 0, 1000)
    assert community.replace("a", slot, last_wh, first_wh) == expected
    audit(community.chain.state, HOUR)


def test_an_exchange_is_the_utilitys_word_about_a_meter_at_a_boundary_in_its_window() -> None:
    community = Community(homes=("a", "b"), correction_s=3 * HOUR)
    chain, account = community.chain, community.home["a"].account
    registers = (OPENING_IMPORT_WH, OPENING_EXPORT_WH, 0, 0)
    for wallet in (community.home["a"].wallet, community.home["b"].wallet):
        assert community.replace("a", 0, (0, 0), NEW, by=wallet) == Rejection.NOT_ALLOWED
    unknown = ReplaceMeter(b"nobody", community.end_of(0), *registers)
    assert chain.call(chain.utility, unknown) == Rejection.METER_UNKNOWN
    crooked = ReplaceMeter(account, community.end_of(0) + 1, *registers)
    assert chain.call(chain.utility, crooked) == Rejection.SLOT_MISALIGNED
    ahead = ReplaceMeter(account, community.end_of(9), *registers)
    assert chain.call(chain.utility, ahead) == Rejection.READING_OF_FUTURE
    chain.time_s = community.end_of(0) + 3 * HOUR + 1
    late = ReplaceMeter(account, community.end_of(0), *registers)
    assert chain.call(chain.utility, late) == Rejection.READING_TOO_LATE
