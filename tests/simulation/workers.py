"""Spreading work over processes, with the results in the order of the tasks."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

JOBS_MAX = 64
"""More than the cores of any machine that this runs on."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class UsageError(Exception):
    """Wrong arguments; the message says which, and what is possible."""


def check_jobs(jobs: int) -> None:
    """Refuse a number of processes that makes no sense.

    Raises:
        UsageError: none, or too many.

    """
    if not 1 <= jobs <= JOBS_MAX:
        raise UsageError(f"--jobs {jobs}: between 1 and {JOBS_MAX}")


def play_all(play: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
    """Play tasks in so many processes; one plays them here."""
    if jobs == 1:
        yield from map(play, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(play, tasks)
