"""Thresholds for any n >= 4. ``2f + 1`` is unsafe when n is not 3f + 1 (n = 6), so nobody computes it elsewhere."""

from primitives.limits import VALIDATORS_MAX, VALIDATORS_MIN


def get_fault_tolerance(replicas: int) -> int:
    """Return f, the number of Byzantine replicas tolerated among ``replicas``."""
    return (replicas - 1) // 3


def get_quorum(replicas: int) -> int:
    """Return the smallest count such that any two quorums share a correct replica: (n + f) // 2 + 1."""
    return (replicas + get_fault_tolerance(replicas)) // 2 + 1


def get_weak_quorum(replicas: int) -> int:
    """Return f + 1: at least one of so many replicas is correct."""
    return get_fault_tolerance(replicas) + 1


def is_size_supported(replicas: int) -> bool:
    """Tell whether a network of so many validators can be run."""
    return VALIDATORS_MIN <= replicas <= VALIDATORS_MAX
