"""Questions between members: answered, refused, too late, too large, or the member went away."""

import asyncio

import pytest

from p2p.frames import Channel
from p2p.network import Network
from p2p.transfer import (
    ANSWER_BYTES_MAX,
    ANSWERS_RUNNING_MAX,
    REQUEST_BYTES_MAX,
    REQUESTS_OPEN_MAX,
    RequestFailed,
    RequestRefused,
)
from tests.p2p.members import open_mesh, wait_until


async def refuse(_: bytes, __: int, ___: bytes) -> bytes:
    raise RequestRefused("block 7 is not here; ask for a later one")


def test_a_question_is_answered() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            assert await one.network.request(two.id, 7, b" wonders", 5) == b"\x07 wonders"
            assert await two.network.request(one.id, 0, b"", 5) == b"\x00"

    asyncio.run(play())


def test_many_questions_at_once_each_get_their_own_answer() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            asking = (one.network.request(two.id, 1, b"%d" % n, 10) for n in range(REQUESTS_OPEN_MAX))
            assert await asyncio.gather(*asking) == [b"\x01%d" % n for n in range(REQUESTS_OPEN_MAX)]

    asyncio.run(play())


def test_a_refusal_brings_its_reason() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            two.ear.answer = refuse
            with pytest.raises(RequestFailed, match="refused: block 7 is not here; ask for a later one"):
                await one.network.request(two.id, 1, b"", 5)

    asyncio.run(play())


def test_a_question_without_an_answer_in_time_fails_and_a_late_answer_is_ignored() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            may_answer = asyncio.Event()

            async def be_late(_: bytes, __: int, payload: bytes) -> bytes:
                await may_answer.wait()
                return payload

            two.ear.answer = be_late
            with pytest.raises(RequestFailed, match=r"no answer within 0\.05 s"):
                await one.network.request(two.id, 1, b"late", 0.05)
            may_answer.set()
            assert await one.network.request(two.id, 1, b"in time", 5) == b"in time"
            assert one.get_peer(two).connected

    asyncio.run(play())


def test_a_question_fails_at_once_when_the_member_goes_away() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            is_asked = asyncio.Event()

            async def hang(_: bytes, __: int, ___: bytes) -> bytes:
                is_asked.set()
                await asyncio.Event().wait()
                return b""

            two.ear.answer = hang
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(catch(one.network, two.id))
                await is_asked.wait()
                two.network.penalize(one.id, 1000, "enough")
            reason = "the link ended: the peer closed the link: banned for 60 s: enough"
            assert str(asking.result()) == reason
            with pytest.raises(RequestFailed, match="not connected"):
                await one.network.request(two.id, 1, b"", 5)

    asyncio.run(play())


async def catch(network: Network, peer: bytes) -> RequestFailed:
    try:
        await network.request(peer, 1, b"", 30)
    except RequestFailed as error:
        return error
    raise AssertionError("it was answered")


def test_a_member_that_is_unknown_or_not_connected_cannot_be_asked() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, _):
            with pytest.raises(RequestFailed, match="the peer is not connected"):
                await one.network.request(b"?" * 32, 1, b"", 5)

    asyncio.run(play())


def test_the_largest_answer_arrives_and_consensus_overtakes_it() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            answer = bytes(range(256)) * (ANSWER_BYTES_MAX // 256)

            async def answer_much(_: bytes, __: int, ___: bytes) -> bytes:
                asyncio.get_running_loop().call_later(
                    0.002, two.network.send, one.id, Channel.CONSENSUS, b"vote"
                )
                return answer

            two.ear.answer = answer_much
            assert await one.network.request(two.id, 1, b"", 20) == answer
            assert one.ear.get_payloads(Channel.CONSENSUS) == [b"vote"]

    asyncio.run(play())


def test_what_is_too_large_is_refused_by_name_and_the_link_lives() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):

            async def answer_too_much(_: bytes, __: int, ___: bytes) -> bytes:
                return bytes(ANSWER_BYTES_MAX + 1)

            two.ear.answer = answer_too_much
            with pytest.raises(RequestFailed, match="the answer is too large: ask for less"):
                await one.network.request(two.id, 1, b"", 5)
            with pytest.raises(RequestFailed, match="a question has at most 65536 bytes"):
                await one.network.request(two.id, 1, bytes(REQUEST_BYTES_MAX + 1), 5)
            with pytest.raises(ValueError, match=r"a question's kind is 0\.\.255"):
                await one.network.request(two.id, 256, b"", 5)
            assert one.get_peer(two).connected

    asyncio.run(play())


def test_open_questions_are_bounded_on_both_sides() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            running = 0

            async def count(_: bytes, __: int, ___: bytes) -> bytes:
                nonlocal running
                running += 1
                await asyncio.Event().wait()
                return b""

            two.ear.answer = count
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(catch(one.network, two.id)) for _ in range(REQUESTS_OPEN_MAX + 1)]
                await wait_until(asking[-1].done, "one too many")
                assert str(asking[-1].result()) == "64 questions are open at this peer: wait for an answer"
                await wait_until(lambda: running == ANSWERS_RUNNING_MAX, "some are being answered")
                one.network.send(two.id, Channel.CONSENSUS, b"behind the questions")
                await wait_until(lambda: bool(two.ear.messages), "all questions have arrived")
                assert running == ANSWERS_RUNNING_MAX
                two.network.penalize(one.id, 1000, "enough")
            assert all(task.done() for task in asking)

    asyncio.run(play())


def test_a_bug_while_answering_ends_the_network_that_has_it() -> None:
    async def play() -> None:
        async def fail(_: bytes, __: int, ___: bytes) -> bytes:
            raise KeyError("a bug")

        async with open_mesh(2) as (one, two):
            two.ear.answer = fail
            await one.network.request(two.id, 1, b"", 30)

    with pytest.RaisesGroup(pytest.RaisesGroup(KeyError)):
        asyncio.run(play())
