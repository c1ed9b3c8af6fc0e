"""A peer that says too much is read more slowly, and the others are heard in between."""

import asyncio
import time

import pytest

from p2p.frames import FRAMES_PER_MESSAGE_MAX, Channel, encode_frame
from p2p.pace import (
    ANSWER_COST_S,
    ANSWERS_BURST_S,
    ANSWERS_SHARE,
    BREATH_S,
    BURST_S,
    FRAMES_PER_LOOK,
    SHARE,
    Pace,
)
from p2p.peers import Timing
from tests.p2p.members import make_members, open_mesh, wait_until

FRAME_COST_S = 0.0005
"""What a frame of the flood costs its hearer."""


def test_what_a_burst_holds_costs_no_wait() -> None:
    pace = Pace(0.0, SHARE)
    assert pace.spend(BURST_S, 0.0) == 0
    assert pace.spend(0.01, 0.0) == pytest.approx(0.01 / SHARE)


def test_waiting_as_told_gives_exactly_the_share_in_the_long_run() -> None:
    pace, now_s, used_s = Pace(0.0, SHARE), 0.0, 0.0
    for _ in range(10_000):
        now_s += 0.01  # the work itself takes time
        used_s += 0.01
        now_s += pace.spend(0.01, now_s)
    assert used_s <= BURST_S + SHARE * now_s + 0.01
    assert used_s >= SHARE * now_s


def test_answers_have_a_burst_of_their_own() -> None:
    pace = Pace(0.0, ANSWERS_SHARE, ANSWERS_BURST_S)
    assert pace.spend(ANSWERS_BURST_S, 0.0) == 0
    assert pace.spend(ANSWER_COST_S, 0.0) == pytest.approx(ANSWER_COST_S / ANSWERS_SHARE)
    assert pace.spend(ANSWERS_BURST_S, 1000.0) == 0
    assert pace.spend(ANSWER_COST_S, 1000.0) > 0


def test_a_pause_brings_back_one_burst_and_no_more() -> None:
    pace = Pace(0.0, SHARE)
    pace.spend(BURST_S, 0.0)
    assert pace.spend(BURST_S, 1000.0) == 0
    assert pace.spend(BURST_S, 1000.0) > 0


def test_a_message_of_many_costly_frames_lets_the_loop_turn_in_between() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            turns, heard_at = 0, list[int]()

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            def burn(_: bytes, __: Channel, ___: bytes) -> None:
                end_s = time.thread_time() + BREATH_S / FRAMES_PER_LOOK
                while time.thread_time() < end_s:
                    pass
                heard_at.append(turns)

            two.ear.on_message = burn  # type: ignore[assignment,method-assign]  # this ear is a busy one
            counting = asyncio.ensure_future(count_turns())
            (link,) = one.network._links.values()
            message = encode_frame(Channel.CONSENSUS, b"x") * FRAMES_PER_MESSAGE_MAX
            await link._socket.send_bytes(message)
            await wait_until(lambda: len(heard_at) == FRAMES_PER_MESSAGE_MAX, "all frames are heard")
            counting.cancel()
            most = max(heard_at.count(turn) for turn in set(heard_at))
            assert most <= 2 * FRAMES_PER_LOOK

    asyncio.run(play())


def test_a_flood_of_costly_frames_does_not_keep_another_members_out() -> None:
    """The flooder gets its burst and its share of the time that passed, and one look at most beyond."""

    async def play() -> None:
        members = make_members(3)
        # A flooder's answers to pings wait behind its flood: here it keeps its link all the same.
        async with open_mesh(3, Timing(heartbeat_s=60.0)) as stations:
            by_name = {station.member.name: station for station in stations}
            flooder, honest, target = (by_name[member.name] for member in members)
            heard = {flooder.id: 0, honest.id: 0}

            def burn(peer: bytes, _: Channel, __: bytes) -> None:
                heard[peer] += 1
                if peer == flooder.id:
                    end_s = time.thread_time() + FRAME_COST_S
                    while time.thread_time() < end_s:
                        pass

            target.ear.on_message = burn  # type: ignore[assignment,method-assign]  # this ear is a busy one

            async def flood() -> None:
                frame = encode_frame(Channel.CONSENSUS, b"x" * 100) * 200
                while True:
                    await flooder.network._links[target.id]._socket.send_bytes(frame)
                    await asyncio.sleep(0)

            began_s = time.monotonic()
            flooding = asyncio.ensure_future(flood())
            await wait_until(lambda: heard[flooder.id] > 2000, "the flood has used its burst")
            for number in range(20):
                honest.network.send(target.id, Channel.CONSENSUS, b"a vote")
                await wait_until(lambda n=number: heard[honest.id] > n, "the honest one is heard")  # type: ignore[misc]
            share_s = BURST_S + SHARE * (time.monotonic() - began_s)
            assert (heard[flooder.id] - FRAMES_PER_LOOK) * FRAME_COST_S <= share_s
            flooding.cancel()

    asyncio.run(play())
