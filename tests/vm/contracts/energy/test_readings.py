"""Which readings are taken, and the one reason why another is refused."""

import pytest

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import (
    OPENING_IMPORT_WH,
    RATING_W,
    Community,
    Home,
    make_registration,
)
from tests.vm.ledger import HOUR, START_S, make_wallet
from vm.contracts.energy import metering
from vm.contracts.energy.calls import CorrectReading, SubmitReading
from vm.contracts.energy.metering import INCREASE_WH_MAX, REGISTER_WH_MAX, VERSIONS_MAX
from vm.contracts.energy.records import Flag, Reading, get_history_key
from vm.contracts.ledger import Asset, Grant, Transfer
from vm.receipt import Rejection
from vm.state import read_record


def test_a_good_reading_is_kept_with_its_difference_and_its_author() -> None:
    community = Community()
    assert community.submit("a", 0, 1200, 30) is None
    reading = community.stored_reading("a", 0)
    assert (reading.delta_import_wh, reading.delta_export_wh) == (1200, 30)
    assert (reading.version, reading.flags, reading.previous_s) == (1, 0, START_S)
    assert reading.author == community.home["a"].account


def test_a_reading_that_shows_no_energy_is_a_reading() -> None:
    community = Community()
    assert community.submit("a", 0, 0, 0) is None
    assert community.submit("a", 1, 0, 0) is None
    assert community.stored_reading("a", 1).flags == 0


def test_who_has_no_meter_cannot_send_readings() -> None:
    community = Community()
    reading = community.reading("a", 0, 5, 0)
    assert community.chain.call(community.chain.utility, reading) == Rejection.METER_UNKNOWN


@pytest.mark.parametrize("status", ["", "g", "GG", "Z", "é"])
def test_an_unknown_status_is_refused(status: str) -> None:
    assert Community().submit("a", 0, 5, status=status) == Rejection.ARGUMENTS_INVALID


@pytest.mark.parametrize("status", "NTDRMXIOSEF")
def test_a_status_other_than_good_is_taken_and_flagged(status: str) -> None:
    community = Community(homes=("a",))
    assert community.submit("a", 0, 5, status=status) is None
    assert community.line("a", 0).flags == Flag.STATUS_NOT_GOOD


@pytest.mark.parametrize("slot_s", [900, 3600])
@pytest.mark.parametrize("off", [1, -1, 450, 899])
def test_a_reading_between_two_boundaries_is_refused(slot_s: int, off: int) -> None:
    community = Community(slot_s=slot_s)
    time_s = community.end_of(0) + off
    assert community.submit("a", 0, 5, time_s=time_s, at_s=time_s + 1) == Rejection.SLOT_MISALIGNED


def test_a_quarter_hour_is_no_boundary_of_an_hourly_community() -> None:
    assert Community().submit("a", 0, 5, time_s=START_S + 900) == Rejection.SLOT_MISALIGNED
    assert Community(slot_s=900).submit("a", 0, 5, time_s=START_S + 900) is None


@pytest.mark.parametrize("time_s", [START_S, START_S - HOUR, 0, -HOUR])
def test_a_reading_at_or_before_the_opening_is_refused(time_s: int) -> None:
    assert Community().submit("a", 0, 5, time_s=time_s) == Rejection.READING_BEFORE_OPENING


def test_a_reading_may_run_ahead_of_block_time_as_far_as_the_genesis_says() -> None:
    community = Community(future_s=5)
    end_s = community.end_of(0)
    assert community.submit("a", 0, 5, at_s=end_s - 6) == Rejection.READING_OF_FUTURE
    assert community.submit("a", 0, 5, at_s=end_s - 5) is None


@pytest.mark.parametrize("time_s", [2**63 - 1, 2**64 - 1])
def test_a_time_beyond_all_time_is_refused(time_s: int) -> None:
    aligned = time_s - time_s % HOUR
    assert Community().submit("a", 0, 5, time_s=aligned) == Rejection.READING_OF_FUTURE


def test_a_reading_is_taken_until_the_correction_window_closes() -> None:
    community = Community(correction_s=4 * HOUR)
    window_end_s = community.end_of(0) + 4 * HOUR
    assert community.submit("a", 0, 5, at_s=window_end_s) is None
    assert community.submit("b", 0, 5, at_s=window_end_s + 1) == Rejection.READING_TOO_LATE


def test_a_second_reading_at_the_same_instant_is_refused() -> None:
    community = Community()
    assert community.submit("a", 0, 5) is None
    assert community.submit("a", 0, 5, pagination=2) == Rejection.READING_EXISTS
    assert community.submit("a", 1, 9) is None
    assert community.submit("a", 0, 5, pagination=2) == Rejection.READING_EXISTS


@pytest.mark.parametrize(
    ("import_wh", "export_wh"), [(-1, 0), (99, 50), (100, 49), (-10, -10), (-(2**63), 0)]
)
def test_registers_never_fall(import_wh: int, export_wh: int) -> None:
    community = Community()
    assert community.submit("a", 0, 100, 50) is None
    registers = max(import_wh, -(2**62)), export_wh
    assert community.submit("a", 1, *registers) == Rejection.READING_NOT_INCREASING


def test_a_reading_in_between_lies_between_its_neighbours() -> None:
    community = Community()
    community.submit("a", 0, 100, 50)
    community.submit("a", 2, 300, 60)
    for import_wh, export_wh in ((99, 50), (301, 55), (200, 49), (200, 61)):
        assert community.submit("a", 1, import_wh, export_wh) == Rejection.READING_NOT_INCREASING
    assert community.submit("a", 1, 300, 50) is None


def test_a_connection_carries_no_more_than_its_rating_in_either_direction() -> None:
    community = Community()
    assert community.submit("a", 0, RATING_W + 1) == Rejection.READING_ABOVE_LIMIT
    assert community.submit("a", 0, 0, RATING_W + 1) == Rejection.READING_ABOVE_LIMIT
    assert community.submit("a", 0, RATING_W, RATING_W) is None
    assert community.submit("a", 2, 3 * RATING_W + 1) == Rejection.READING_NOT_INCREASING
    assert community.submit("a", 2, 3 * RATING_W + 1, RATING_W) == Rejection.READING_ABOVE_LIMIT
    assert community.submit("a", 2, 3 * RATING_W, RATING_W) is None


def test_the_rating_holds_on_both_sides_of_a_reading_in_between() -> None:
    community = Community()
    assert community.submit("a", 1, 2 * RATING_W) is None
    assert community.submit("a", 0, RATING_W - 1) == Rejection.READING_ABOVE_LIMIT
    assert community.submit("a", 0, RATING_W) is None


def test_the_rating_holds_for_the_slot_after_a_corrected_reading() -> None:
    community = Community()
    community.submit("a", 0, RATING_W)
    community.submit("a", 1, 2 * RATING_W)
    assert community.correct("a", 0, RATING_W - 1) == Rejection.READING_ABOVE_LIMIT


def test_a_register_beyond_every_meter_is_refused() -> None:
    community = Community()
    too_much = REGISTER_WH_MAX + 1 - OPENING_IMPORT_WH
    assert community.submit("a", 0, too_much) == Rejection.READING_ABOVE_LIMIT
    assert community.submit("a", 0, 2**63 - 1) == Rejection.READING_ABOVE_LIMIT


def test_a_gap_holds_no_more_energy_than_a_line_can_price() -> None:
    community = Community(homes=())
    wallet = make_wallet("m")
    community.chain.call(community.chain.utility, make_registration("m", rating_w=1_000_000))
    community.home["m"] = Home(wallet)
    years_later = 365 * 24
    assert community.submit("m", years_later, INCREASE_WH_MAX + 1) == Rejection.GAP_TOO_LONG
    assert community.submit("m", years_later, INCREASE_WH_MAX) is None


@pytest.mark.parametrize("pagination", [0, 3, 2, -1])
def test_a_pagination_is_never_used_twice(pagination: int) -> None:
    community = Community()
    community.submit("a", 0, 5, pagination=3)
    assert community.submit("a", 1, 6, pagination=pagination) == Rejection.PAGINATION_REUSED


def test_a_reading_in_between_has_a_pagination_in_between() -> None:
    community = Community()
    community.submit("a", 0, 5, pagination=4)
    community.submit("a", 2, 7, pagination=6)
    assert community.submit("a", 1, 6, pagination=6) == Rejection.PAGINATION_REUSED
    assert community.submit("a", 1, 6, pagination=4) == Rejection.PAGINATION_REUSED
    assert community.submit("a", 1, 6, pagination=5) is None


def test_a_jump_of_the_pagination_is_flagged_until_the_missing_reading_comes() -> None:
    community = Community(grace_s=4 * HOUR)
    community.submit("a", 0, 5)
    community.submit("a", 2, 7)
    assert community.stored_reading("a", 2).flags == Flag.GAP | Flag.PAGINATION_GAP
    community.submit("a", 1, 6)
    assert community.stored_reading("a", 1).flags == 0
    assert community.stored_reading("a", 2).flags == 0


def test_a_jump_without_a_gap_is_flagged_as_a_jump_only() -> None:
    community = Community()
    community.submit("a", 0, 5, pagination=7)
    assert community.stored_reading("a", 0).flags == Flag.PAGINATION_GAP


def test_a_suspended_meter_sends_nothing() -> None:
    community = Community()
    community.suspend("a")
    assert community.submit("a", 0, 5) == Rejection.SUSPENDED
    community.reinstate("a")
    assert community.submit("a", 0, 5) is None


def test_readings_are_refused_while_money_would_not_fit_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    community = Community(homes=("a",))
    assert community.submit("a", 0, 1000) is None
    monkeypatch.setattr(metering, "SETTLEMENT_MAX", community.net("a") - 1)
    assert community.submit("a", 1, 2000) == Rejection.BALANCE_OVERFLOW
    assert community.correct("a", 0, 900) == Rejection.BALANCE_OVERFLOW
    monkeypatch.undo()
    assert community.submit("a", 1, 2000) is None


def test_a_correction_supersedes_and_the_raw_reading_stays() -> None:
    community = Community()
    community.submit("a", 0, 100, 5)
    raw = community.stored_reading("a", 0)
    assert community.correct("a", 0, 90, 6, by=community.chain.utility, status="S") is None
    corrected = community.stored_reading("a", 0)
    assert (corrected.delta_import_wh, corrected.delta_export_wh, corrected.version) == (90, 6, 2)
    assert corrected.flags == Flag.CORRECTED | Flag.STATUS_NOT_GOOD
    assert corrected.author == community.chain.utility.account
    key = get_history_key(community.home["a"].account, community.end_of(0), 1)
    assert read_record(community.chain.state, key, Reading) == raw


def test_a_meter_and_the_utility_may_correct_and_nobody_else() -> None:
    community = Community()
    community.submit("a", 0, 100)
    assert community.correct("a", 0, 90, by=community.home["b"].wallet) == Rejection.NOT_ALLOWED
    auditor = community.chain.open_account("auditor", "auditor")
    assert community.correct("a", 0, 90, by=auditor) == Rejection.NOT_ALLOWED
    assert community.correct("a", 0, 90) is None
    assert community.correct("a", 0, 91, by=community.chain.utility) is None


def test_what_was_never_read_cannot_be_corrected() -> None:
    community = Community()
    community.chain.execute(at_s=community.end_of(0))
    assert community.correct("a", 0, 90) == Rejection.READING_MISSING
    unknown = CorrectReading(b"nobody", community.end_of(0), 1, 1, "G", "")
    assert community.chain.call(community.chain.utility, unknown) == Rejection.METER_UNKNOWN


def test_a_correction_lies_between_its_neighbours() -> None:
    community = Community()
    for slot, register in enumerate((100, 200, 300)):
        community.submit("a", slot, register)
    for register, expected in ((99, Rejection.READING_NOT_INCREASING), (100, None), (300, None)):
        assert community.correct("a", 1, register) == expected
    assert community.correct("a", 1, 301) == Rejection.READING_NOT_INCREASING
    assert community.correct("a", 2, 301) is None


def test_a_correction_is_taken_until_the_window_closes() -> None:
    community = Community(correction_s=4 * HOUR)
    community.submit("a", 0, 100)
    community.chain.time_s = community.end_of(0) + 4 * HOUR
    assert community.correct("a", 0, 90) is None
    community.chain.time_s += 1
    assert community.correct("a", 0, 80) == Rejection.READING_TOO_LATE


def test_a_reading_is_corrected_a_bounded_number_of_times() -> None:
    community = Community()
    community.submit("a", 0, 100)
    for version in range(VERSIONS_MAX - 1):
        assert community.correct("a", 0, 99 - version) is None
    assert community.correct("a", 0, 5) == Rejection.CORRECTION_LIMIT
    assert community.history("a") == VERSIONS_MAX - 1
    audit(community.chain.state, HOUR)


@pytest.mark.parametrize(
    "changes", [{"status": "?"}, {"reason": "x" * 121}, {"reason": "ä" * 61}], ids=["status", "long", "bytes"]
)
def test_a_correction_has_a_known_status_and_a_short_reason(changes: dict[str, str]) -> None:
    community = Community()
    community.submit("a", 0, 100)
    assert community.correct("a", 0, 90, **changes) == Rejection.ARGUMENTS_INVALID  # type: ignore[arg-type]


def test_a_reading_for_another_home_is_not_possible() -> None:
    community = Community()
    assert (
        community.chain.call(
            community.home["b"].wallet, community.reading("a", 0, 100, 0), at_s=START_S + HOUR
        )
        is None
    )
    assert community.stored_reading("b", 0).delta_import_wh == 100


def test_a_meters_account_pays_and_is_paid_like_any_other() -> None:
    community = Community()
    chain, home = community.chain, community.home["a"]
    assert chain.call(chain.utility, Grant(home.account, Asset.COIN, 5)) is None
    assert chain.call(home.wallet, Transfer(community.home["b"].account, Asset.COIN, 5)) is None


def test_arguments_of_another_shape_are_refused() -> None:
    community = Community()
    reading = SubmitReading(community.end_of(0), True, 1.5, "G", 1)  # type: ignore[arg-type]
    assert community.chain.call(community.home["a"].wallet, reading) == Rejection.ARGUMENTS_INVALID
