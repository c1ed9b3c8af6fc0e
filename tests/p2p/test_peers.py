"""Scores, bans and the wait before dialling again, at times that the test chooses."""

from hypothesis import given
from hypothesis import strategies as st

from p2p.peers import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    BAN_S,
    BAN_SCORE,
    ERROR_CHARACTERS_MAX,
    SCORE_HALVES_S,
    PeerRecord,
    compute_backoff_s,
    is_dialer,
)
from tests.p2p.members import make_members


def make_record(now_s: float = 0.0) -> PeerRecord:
    return PeerRecord(make_members(2)[0].build_address(), now_s)


def test_a_score_below_the_bound_does_not_ban() -> None:
    record = make_record()
    assert not record.penalize(BAN_SCORE - 1, "clumsy", 0.0)
    assert not record.is_banned(0.0)
    assert record.last_error == "clumsy"


def test_a_score_at_the_bound_bans_until_the_ban_is_over_and_begins_anew() -> None:
    record = make_record()
    record.penalize(BAN_SCORE - 1, "clumsy", 0.0)
    assert record.penalize(1, "forged", 0.0)
    assert record.is_banned(0.0)
    assert record.get_ban_s(1.0) == BAN_S - 1
    assert not record.is_banned(BAN_S)
    assert record.get_ban_s(BAN_S + 1) == 0.0
    assert record.compute_score(BAN_S) == 0.0


def test_faults_during_a_ban_do_not_prolong_it() -> None:
    record = make_record()
    assert record.penalize(BAN_SCORE, "forged", 0.0)
    assert not record.penalize(BAN_SCORE, "forged again", 1.0)
    assert not record.is_banned(BAN_S)


def test_old_faults_are_forgotten_by_halves() -> None:
    record = make_record()
    record.penalize(80, "clumsy", 0.0)
    assert record.compute_score(SCORE_HALVES_S) == 40
    assert not record.penalize(50, "clumsy again", SCORE_HALVES_S)
    assert record.compute_score(SCORE_HALVES_S) == 90


def test_what_a_stranger_says_becomes_one_short_printable_line() -> None:
    record = make_record()
    record.note_error("two\nlines\x1b[31m and\u202e more" + "!" * 1000)
    assert record.last_error.startswith("two lines?[31m and? more!")
    assert len(record.last_error) == ERROR_CHARACTERS_MAX


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_the_wait_before_dialling_is_never_long(failures: int, jitter: float) -> None:
    assert 0.5 * BACKOFF_FIRST_S <= compute_backoff_s(failures, jitter) <= BACKOFF_MAX_S


def test_the_wait_doubles_and_is_spread_by_half() -> None:
    assert [round(compute_backoff_s(failures, 0.0), 3) for failures in range(6)] == [
        0.05, 0.1, 0.2, 0.4, 0.5, 0.5,
    ]  # fmt: skip


def test_of_two_members_exactly_one_dials() -> None:
    one, two = (member.key.public for member in make_members(2))
    assert is_dialer(one, two)
    assert not is_dialer(two, one)
    assert not is_dialer(one, one)
