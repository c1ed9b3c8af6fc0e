"""Whom an observer asks, and how long it leaves alone who was of no use."""

import pytest

from node.observer.budget import Budget
from node.observer.sources import LIED_S, USELESS_S, Sources
from primitives.ids import Height


def make_sources(**heights: int) -> Sources:
    sources = Sources()
    for name, height in heights.items():
        sources.announce(name.encode(), Height(height))
    return sources


def test_only_who_announced_the_next_block_is_asked() -> None:
    sources = make_sources(a=4, b=5, c=6)
    assert sources.select(Height(5), 0.0) == (b"b", b"c")
    assert sources.select(Height(7), 0.0) == ()


def test_the_one_that_gave_the_last_blocks_is_asked_first() -> None:
    sources = make_sources(a=5, b=5, c=5)
    sources.followed = b"c"
    assert sources.select(Height(5), 0.0) == (b"c", b"a", b"b")


def test_who_is_lost_is_not_asked_and_not_followed() -> None:
    sources = make_sources(a=5, b=5)
    sources.followed = b"a"
    sources.lose(b"a")
    assert sources.followed is None
    assert sources.select(Height(5), 0.0) == (b"b",)


@pytest.mark.parametrize("seconds", [USELESS_S, LIED_S])
def test_who_was_of_no_use_rests_even_across_a_new_link(seconds: float) -> None:
    sources = make_sources(a=5, b=5)
    sources.rest(b"a", seconds, 10.0)
    sources.lose(b"a")
    sources.add(b"a")
    sources.announce(b"a", Height(9))
    assert sources.select(Height(5), 10.0 + seconds - 0.1) == (b"b",)
    assert sources.select(Height(5), 10.0 + seconds) == (b"a", b"b")


def test_when_all_rest_the_pause_ends_with_the_first() -> None:
    sources = make_sources(a=5, b=5, c=4)
    sources.rest(b"a", 2.0, 0.0)
    sources.rest(b"b", 60.0, 0.0)
    assert sources.compute_pause_s(Height(5), 0.5) == pytest.approx(1.5)
    assert sources.compute_pause_s(Height(6), 0.5) is None


@pytest.mark.parametrize(
    ("heights", "target"),
    [({}, 0), ({"a": 9}, 9), ({"a": 9, "b": 5}, 5), ({"a": 9, "b": 5, "c": 7, "d": 7}, 7)],
)
def test_a_single_liar_among_several_moves_nobodys_target(heights: dict[str, int], target: int) -> None:
    assert make_sources(**heights).compute_target(weak_quorum=2) == target


def test_who_is_no_member_any_more_is_forgotten() -> None:
    sources = make_sources(a=5, b=5)
    sources.keep(frozenset({b"b"}))
    assert sources.select(Height(5), 0.0) == (b"b",)


def test_a_budget_gives_at_once_and_lets_the_next_one_wait_for_what_was_given() -> None:
    budget = Budget(1000, 0.0)
    assert budget.compute_wait_s(0.0) == 0.0
    budget.spend(4000, 0.0)
    assert budget.compute_wait_s(0.0) == pytest.approx(3.0)
    assert budget.compute_wait_s(2.5) == pytest.approx(0.5)


def test_a_rested_budget_holds_one_second_and_no_more() -> None:
    budget = Budget(1000, 0.0)
    budget.spend(2000, 1000.0)
    assert budget.compute_wait_s(1000.0) == pytest.approx(1.0)


def test_in_the_long_run_nobody_gets_more_than_the_budget() -> None:
    budget, now_s, given = Budget(1000, 0.0), 0.0, 0
    while now_s < 100:
        now_s += budget.compute_wait_s(now_s)
        budget.spend(700, now_s)
        given += 700
        now_s += 0.001
    assert given <= 1000 * now_s + 1000 + 700
