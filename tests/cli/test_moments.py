"""A day is a number counted from the meter's opening, or a date."""

import pytest

from cli.failure import CliError
from cli.moments import format_moment, parse_boundary, parse_day

OPENING = 1_497_254_400  # 2017-06-12T08:00:00Z


def test_a_number_counts_24_hours_from_the_opening() -> None:
    assert parse_day("0", OPENING) == (OPENING, OPENING + 86_400)
    assert parse_day("2", OPENING) == (OPENING + 2 * 86_400, OPENING + 3 * 86_400)


def test_a_date_is_a_day_of_utc() -> None:
    begin, end = parse_day("2017-06-12", OPENING)
    assert (format_moment(begin), end - begin) == ("2017-06-12 00:00", 86_400)


@pytest.mark.parametrize(
    "text", ["-1", "x", "", "2017-13-01", "2017-06-1", "99999999", "2017-06-12T00:00:00Z"]
)
def test_anything_else_is_no_day(text: str) -> None:
    with pytest.raises(CliError, match="a number from 0, or a date"):
        parse_day(text, OPENING)


@pytest.mark.parametrize("text", ["2017-06-12T08:00:00Z", "2017-06-12T10:00:00+02:00"])
def test_a_boundary_may_be_written_with_any_offset(text: str) -> None:
    assert parse_boundary(text, 3600) == OPENING
