"""Amounts are shown from integers, to the last unit or rounded in a stated way."""

import pytest

from cli.money import count, format_kwh, format_money, format_price


@pytest.mark.parametrize(
    ("wh", "text"), [(0, "0.000"), (7, "0.007"), (1521, "1.521"), (-30, "-0.030"), (123456789, "123456.789")]
)
def test_energy_keeps_every_watt_hour(wh: int, text: str) -> None:
    assert format_kwh(wh) == text


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.0000"),
        (3_434_277_316, "3.4343"),
        (-202_478_605, "-0.2025"),
        (-49_999, "0.0000"),
        (-50_000, "-0.0001"),
        (50_000, "0.0001"),
    ],
)
def test_money_is_rounded_half_away_from_zero(nano: int, text: str) -> None:
    assert format_money(nano) == text


@pytest.mark.parametrize(
    ("price", "text"), [(220_000, "0.22"), (80_000, "0.08"), (107_317, "0.107317"), (10**6, "1.00")]
)
def test_a_price_keeps_every_digit(price: int, text: str) -> None:
    assert format_price(price) == text


def test_one_is_not_a_plural() -> None:
    assert (count(1, "block"), count(0, "block"), count(2, "block")) == ("1 block", "0 blocks", "2 blocks")
