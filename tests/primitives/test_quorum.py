import pytest

from primitives.quorum import get_fault_tolerance, get_quorum, get_weak_quorum, is_size_supported

SIZES = range(4, 81)


@pytest.mark.parametrize("n", SIZES)
def test_any_two_quorums_share_a_correct_replica(n: int) -> None:
    assert 2 * get_quorum(n) - n >= get_fault_tolerance(n) + 1


@pytest.mark.parametrize("n", SIZES)
def test_the_correct_replicas_alone_are_a_quorum(n: int) -> None:
    assert n - get_fault_tolerance(n) >= get_quorum(n)


@pytest.mark.parametrize("n", SIZES)
def test_no_smaller_count_would_do(n: int) -> None:
    assert 2 * (get_quorum(n) - 1) - n < get_fault_tolerance(n) + 1


@pytest.mark.parametrize("n", SIZES)
def test_a_weak_quorum_holds_a_correct_replica_and_no_smaller_one_must(n: int) -> None:
    assert get_weak_quorum(n) == get_fault_tolerance(n) + 1
    assert 3 * get_fault_tolerance(n) < n <= 3 * get_fault_tolerance(n) + 3


@pytest.mark.parametrize(
    ("n", "f", "quorum"), [(4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5), (10, 3, 7), (128, 42, 86)]
)
def test_known_sizes(n: int, f: int, quorum: int) -> None:
    assert (get_fault_tolerance(n), get_quorum(n)) == (f, quorum)


def test_networks_have_4_to_80_validators() -> None:
    assert [n for n in range(200) if is_size_supported(n)] == list(SIZES)
