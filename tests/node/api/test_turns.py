"""One request begins in each turn of the loop, in order, and nobody who gave up holds the others."""

import asyncio

from node.api.turns import Turnstile


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
