"""Work near a disk: in its thread while the disk is slow, on the event loop while it is quick."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from node.nearby import MEMORY, QUICK_S, Nearby


async def find_thread(nearby: Nearby, seconds: float = 0.0) -> str:
    def work() -> str:
        sleep(seconds)
        return threading.current_thread().name

    return await nearby.run(work)


async def become_quick(nearby: Nearby) -> None:
    """Work until it is done here; a machine that stands still meanwhile only delays that."""
    for _ in range(1000 * MEMORY):
        if await find_thread(nearby) == threading.current_thread().name:
            return
    pytest.fail("work of no length never came near")


def test_work_hops_until_it_was_quick_and_again_after_it_was_slow() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        nearby = Nearby(executor)
        assert await find_thread(nearby) == "disk_0"
        await become_quick(nearby)
        await find_thread(nearby, seconds=2 * MEMORY * QUICK_S)
        assert await find_thread(nearby) == "disk_0"
        await become_quick(nearby)

    with ThreadPoolExecutor(1, thread_name_prefix="disk") as executor:
        asyncio.run(scenario(executor))


def test_what_the_work_raises_reaches_the_caller_from_either_place() -> None:
    def fail() -> None:
        raise OSError("no disk")

    async def scenario(executor: ThreadPoolExecutor) -> None:
        nearby = Nearby(executor)
        with pytest.raises(OSError, match="no disk"):
            await nearby.run(fail)
        await become_quick(nearby)
        with pytest.raises(OSError, match="no disk"):
            await nearby.run(fail)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))
