"""Whoever asks without pause is answered at its own pace; the work of a request is its own steps and nobody else's."""

import asyncio
import time
from collections.abc import Coroutine

import pytest

from node.api.paces import ADDRESSES_MAX, SHARE, Measured, Paces
from p2p.pace import BURST_S


def burn(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


async def do_not_wait() -> None:
    """Go on at once after each breath."""


async def measure(work: Coroutine[None, None, None], spent_s: list[float] | None = None) -> None:
    await Measured(work, ([] if spent_s is None else spent_s).append, do_not_wait)


def test_an_address_that_used_its_share_waits_and_others_do_not() -> None:
    paces = Paces()
    assert paces.spend("a", BURST_S, 0.0) == 0
    assert paces.spend("a", 0.01, 0.0) == pytest.approx(0.01 / SHARE)
    assert paces.spend("b", 0.01, 0.0) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_loopback_and_the_admin_socket_have_no_pace(address: str) -> None:
    assert Paces().spend(address, 1000.0, 0.0) == 0


def test_memory_is_bounded_whatever_number_of_addresses_asks() -> None:
    paces = Paces()
    for number in range(2 * ADDRESSES_MAX):
        paces.spend(str(number), 1.0, 0.0)
    assert len(paces._paces) == ADDRESSES_MAX


def test_the_own_steps_are_measured_and_what_others_do_meanwhile_is_not() -> None:
    async def work() -> str:
        burn(0.02)
        await asyncio.sleep(0)
        burn(0.02)
        return "done"

    async def scenario() -> None:
        spent_s: list[float] = []
        measured = Measured(work(), spent_s.append, do_not_wait)
        asyncio.get_running_loop().call_soon(burn, 0.2)
        assert await measured == "done"
        assert len(spent_s) == 2
        assert 0.04 <= sum(spent_s) < 0.2

    asyncio.run(scenario())


def test_a_step_is_counted_before_the_next_wait_is_over() -> None:
    """Else whoever does not read its answers would get the next one before the last is counted."""

    async def scenario() -> None:
        async def work() -> None:
            burn(0.02)
            await asyncio.Event().wait()

        spent_s: list[float] = []
        task = asyncio.ensure_future(measure(work(), spent_s))
        await asyncio.sleep(0)
        assert sum(spent_s) >= 0.02
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_whoever_lets_the_loop_breathe_goes_on_when_it_may() -> None:
    async def scenario() -> None:
        done: list[str] = []
        may_go_on = asyncio.Event()

        async def work() -> None:
            done.append("first")
            await asyncio.sleep(0)
            done.append("second")

        async def breathe() -> None:
            await may_go_on.wait()

        async def run() -> None:
            await Measured(work(), lambda _: None, breathe)

        task = asyncio.ensure_future(run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert done == ["first"]
        may_go_on.set()
        await task
        assert done == ["first", "second"]

    asyncio.run(scenario())


def test_errors_and_cancellation_go_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("from inside")

    async def wait_for_ever(heard: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def scenario() -> None:
        with pytest.raises(LookupError, match="from inside"):
            await measure(fail())
        heard: list[str] = []

        async def outer() -> None:
            await measure(wait_for_ever(heard))

        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert heard == ["cancelled"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await measure(wait_for_ever(heard))

    asyncio.run(scenario())
