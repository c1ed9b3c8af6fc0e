"""The fair packing of a block as a number problem, against trying everything."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from node.fair_search import Item, Packed, Queue, pack_greedily, pack_optimally

STEPS = 10**6


@st.composite
def draw_queues(draw: st.DrawFn) -> list[list[Item]]:
    """Return up to five queues of up to four; in each the first has waited longest, as in a pool."""
    queues = []
    for _ in range(draw(st.integers(0, 5))):
        waited = sorted(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)), reverse=True)
        queues.append([Item(each, draw(st.integers(1, 12))) for each in waited])
    return queues


def try_everything(queues: list[list[Item]], count_max: int, size_max: int) -> int:
    sums = []
    for taken in product(*(range(len(queue) + 1) for queue in queues)):
        items = [item for queue, number in zip(queues, taken, strict=True) for item in queue[:number]]
        if len(items) <= count_max and sum(item.size for item in items) <= size_max:
            sums.append(sum(item.waited for item in items))
    return max(sums)


def assert_fits(packed: Packed, queues: list[list[Item]], count_max: int, size_max: int) -> None:
    items = [item for queue, number in zip(queues, packed.taken, strict=True) for item in queue[:number]]
    assert all(number <= len(queue) for queue, number in zip(queues, packed.taken, strict=True))
    assert len(items) <= count_max
    assert sum(item.size for item in items) <= size_max
    assert packed.waited == sum(item.waited for item in items)


@given(draw_queues(), st.integers(0, 12), st.integers(0, 60))
def test_the_optimal_choice_adds_up_to_as_much_as_any_that_fits(
    queues: list[list[Item]], count_max: int, size_max: int
) -> None:
    packed = pack_optimally(queues, count_max, size_max, STEPS)
    assert_fits(packed, queues, count_max, size_max)
    assert packed.is_proven
    assert packed.waited == try_everything(queues, count_max, size_max)


@given(draw_queues(), st.integers(0, 12), st.integers(0, 60), st.integers(0, 60))
def test_a_bounded_search_finds_no_less_than_the_heuristic_and_claims_only_what_it_proved(
    queues: list[list[Item]], count_max: int, size_max: int, steps: int
) -> None:
    greedy = pack_greedily(queues, count_max, size_max)
    packed = pack_optimally(queues, count_max, size_max, steps)
    assert_fits(greedy, queues, count_max, size_max)
    assert_fits(packed, queues, count_max, size_max)
    assert packed.waited >= greedy.waited
    if packed.is_proven or greedy.is_proven:
        assert packed.waited == try_everything(queues, count_max, size_max)


@given(draw_queues(), st.integers(1, 12), st.integers(1, 60))
def test_no_choice_leaves_room_for_a_next_one(
    queues: list[list[Item]], count_max: int, size_max: int
) -> None:
    for packed in (
        pack_greedily(queues, count_max, size_max),
        pack_optimally(queues, count_max, size_max, STEPS),
    ):
        free = size_max - sum(
            item.size for queue, number in zip(queues, packed.taken, strict=True) for item in queue[:number]
        )
        is_full = sum(packed.taken) == count_max
        for queue, number in zip(queues, packed.taken, strict=True):
            assert is_full or number == len(queue) or queue[number].size > free


def test_the_heuristic_takes_whoever_waited_longest_where_sizes_are_equal() -> None:
    queues: list[Queue] = [[Item(5, 1), Item(2, 1)], [Item(4, 1), Item(3, 1)]]
    assert pack_greedily(queues, 3, 100).taken == (1, 2)


def test_the_heuristic_takes_many_small_ones_before_a_large_one_that_waited_as_long() -> None:
    queues: list[Queue] = [[Item(3, 90)], [Item(3, 30)], [Item(3, 30)], [Item(3, 30)]]
    assert pack_greedily(queues, 10, 100) == Packed((0, 1, 1, 1), 9, is_proven=False)


def test_the_optimal_choice_fills_a_gap_that_the_heuristic_leaves() -> None:
    queues: list[Queue] = [[Item(4, 6)], [Item(3, 5)], [Item(3, 5)]]
    assert pack_greedily(queues, 10, 10).waited == 4
    assert pack_optimally(queues, 10, 10, STEPS) == Packed((0, 1, 1), 6, is_proven=True)


def test_a_search_without_steps_gives_what_the_heuristic_found() -> None:
    queues: list[Queue] = [[Item(4, 6)], [Item(3, 5)], [Item(3, 5)]]
    assert pack_optimally(queues, 10, 10, 0) == pack_greedily(queues, 10, 10)
