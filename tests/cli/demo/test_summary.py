"""What is told is exact: amounts are formatted from integers, percentiles are real observations."""

import pytest

from cli.demo.summary import (
    Checks,
    HomeBill,
    compute_latency,
    sum_bills,
)


def test_percentiles_are_values_that_were_observed() -> None:
    latency = compute_latency(list(range(1, 101)))
    assert (latency.p50, latency.p99) == (50, 99)
    assert compute_latency([7]).p99 == 7
    assert compute_latency([]).p50 == 0


def bill(net: int, alone: int) -> HomeBill:
    return HomeBill(0, 0, 0, 0, 0, 0, net, alone)


def test_what_the_community_saved_is_what_its_homes_saved() -> None:
    community = sum_bills({"A": bill(5, 9), "B": bill(-3, -1)}, 0)
    assert (community.net_nano, community.alone_nano, community.saved_nano) == (2, 8, 6)


@pytest.mark.parametrize(
    ("checks", "name"),
    [
        (Checks(False, True, 9, 0, True), "state_roots_equal"),
        (Checks(True, False, 9, 0, True), "conservation"),
        (Checks(True, True, 9, 1, True), "receipts_failed"),
        (Checks(True, True, 9, 0, False), "caught_up"),
    ],
)
def test_one_failed_check_fails_the_whole_and_is_named(checks: Checks, name: str) -> None:
    assert not checks.are_good
    assert checks.name_failed() == [name]
    assert Checks(True, True, 9, 0, True).are_good
