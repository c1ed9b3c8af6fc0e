"""Short work that may wait for a disk: in its thread, or where we stand while the disk is quick.

A hop to a thread and back costs both cores about 0.2 ms (two wake-ups, the interpreter's lock twice), which is more
than a good disk takes to sync. A card takes 5 to 20 ms: everything else would stand still meanwhile, so the work hops.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic
from typing import TypeVar

Result = TypeVar("Result")

QUICK_S = 0.002
"""What may be done on the event loop: as long as one chunk of signature checks takes. It counts for the average."""

MEMORY = 8
"""The average is of about so many of the last times, the latest counting most."""


class Nearby:
    """Runs work of one kind, one at a time."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._average_s = 2 * QUICK_S  # nothing is known yet

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns, or raise what it raises."""
        if self._average_s < QUICK_S:
            return self._measure(work)
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._measure, work)

    def _measure(self, work: Callable[[], Result]) -> Result:
        began_s = monotonic()
        result = work()
        self._average_s += (monotonic() - began_s - self._average_s) / MEMORY
        return result
