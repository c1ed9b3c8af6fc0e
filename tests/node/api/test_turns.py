"""One request begins in each turn of the loop, in order, after rests, and nobody who gave up holds the others."""

import asyncio
from collections.abc import Awaitable

import pytest

from node.api.fairness import Fairness
from node.api.turns import REST_MIN_S, Turnstile

TIMER_S = 0.001
"""A timer may fire so much too early."""


async def measure_wait(entering: Awaitable[None]) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(20):
        await entering
    return loop.time() - began_s


def test_requests_that_come_together_begin_in_order_one_a_turn() -> None:
    async def scenario() -> None:
        turnstile, begun = Turnstile(), list[int]()
        most = 0

        async def request(number: int) -> None:
            await turnstile.enter("a")
            begun.append(number)

        tasks = [asyncio.ensure_future(request(number)) for number in range(100)]
        while len(begun) < 100:
            before = len(begun)
            await asyncio.sleep(0)
            most = max(most, len(begun) - before)
        assert begun == list(range(100))
        assert most == 1
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_addresses_take_turns_so_that_one_with_many_requests_delays_itself() -> None:
    async def scenario() -> None:
        turnstile, begun = Turnstile(), list[str]()

        async def request(address: str) -> None:
            await turnstile.enter(address)
            begun.append(address)

        async with asyncio.TaskGroup() as tasks:
            for address in ["a"] * 50 + ["b"] * 2 + ["c"]:
                tasks.create_task(request(address))
        assert begun[:8] == ["a", "a", "b", "c", "a", "b", "a", "a"]

    asyncio.run(scenario())


def test_a_request_alone_does_not_wait() -> None:
    async def scenario() -> None:
        turnstile = Turnstile()
        for _ in range(3):
            entering = asyncio.ensure_future(turnstile.enter("a"))
            await asyncio.sleep(0)
            assert entering.done()
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_whoever_gives_up_is_passed_over() -> None:
    async def scenario() -> None:
        turnstile = Turnstile()
        first, second, third = (asyncio.ensure_future(turnstile.enter("a")) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(first, third)
        entering = asyncio.ensure_future(turnstile.enter("a"))
        async with asyncio.timeout(5):
            await entering

    asyncio.run(scenario())


def test_nobody_begins_for_as_long_as_the_work_before_lasted() -> None:
    async def scenario() -> None:
        turnstile = Turnstile()
        turnstile.rest(0.03)
        turnstile.rest(0.03)
        assert await measure_wait(turnstile.enter("a")) >= 0.06 - REST_MIN_S - TIMER_S
        assert await measure_wait(turnstile.enter("b")) < 0.06  # what was rested is owed no more

    asyncio.run(scenario())


def test_what_is_owed_of_small_pieces_of_work_adds_up() -> None:
    async def scenario() -> None:
        turnstile = Turnstile()
        for _ in range(60):
            turnstile.rest(REST_MIN_S / 2)
        assert await measure_wait(turnstile.enter("a")) >= 29 * REST_MIN_S - TIMER_S

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_a_proxy_on_this_machine_rests_for_nobody(address: str) -> None:
    async def scenario() -> None:
        fairness = Fairness()
        fairness.spend(address, 1000.0)
        fairness.spend("192.0.2.1", 1000.0)
        await measure_wait(fairness.enter(address))

    asyncio.run(scenario())


def test_all_other_addresses_rest_for_each_other() -> None:
    async def scenario() -> None:
        fairness = Fairness()
        fairness.spend("192.0.2.1", 0.05)
        assert await measure_wait(fairness.enter("192.0.2.2")) >= 0.05 - REST_MIN_S - TIMER_S

    asyncio.run(scenario())
