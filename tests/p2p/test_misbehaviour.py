"""Members that send nonsense, are banned, or do not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from p2p.frames import Channel, encode_frame
from p2p.gossip import QUEUED_BYTES_MAX
from p2p.handshake import HandshakeError
from p2p.peers import BAN_SCORE, Timing
from p2p.transfer import REQUEST_BYTES_MAX
from primitives.limits import FRAME_BYTES_MAX
from tests.p2p.members import (
    Station,
    build_settings,
    dial_as,
    introduce,
    make_members,
    open_mesh,
    open_station,
    wait_until,
)

ONE, TWO, THREE = make_members(3)
SHORT_BAN = Timing(ban_s=1.0)


@asynccontextmanager
async def open_target(timing: Timing) -> AsyncIterator[Station]:
    """A network that expects a dialling member, ONE."""
    settings = replace(build_settings(TWO, [ONE.build_address()]), timing=timing)
    async with open_station(settings, TWO) as station:
        yield station


@asynccontextmanager
async def link_as_one(target: Station) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with dial_as(ONE, target) as socket:
        await introduce(socket, ONE, target)
        await wait_until(lambda: target.get_peer(ONE).connected, "the link")
        yield socket


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x09nonsense", "a frame of an unknown channel 9"),
        (b"", "a message without a frame"),
        (encode_frame(Channel.CONSENSUS, b"cut off")[:-1], "longer than its message"),
        (encode_frame(Channel.REQUEST, b"short"), "a request is shorter"),
        (encode_frame(Channel.REQUEST, bytes(REQUEST_BYTES_MAX + 10)), "a request is longer"),
        (encode_frame(Channel.RESPONSE, b"short"), "a response is shorter"),
        (encode_frame(Channel.RESPONSE, bytes(8) + b"\x07" + bytes(2)), "a response of an unknown kind 7"),
        (bytes(FRAME_BYTES_MAX + 6), "exceeds limit"),
        ("text", "not binary"),
    ],
)
def test_nonsense_costs_points_and_the_link(message: bytes | str, reason: str) -> None:
    async def play() -> None:
        async with open_target(Timing()) as target, link_as_one(target) as socket:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)
            await wait_until(lambda: not target.get_peer(ONE).connected, "disconnected")
            peer = target.get_peer(ONE)
            assert reason in peer.last_error
            assert peer.score > 0
            assert peer.banned_for_s == 0
            assert target.ear.messages == []

    asyncio.run(play())


def test_nonsense_again_and_again_bans_and_the_ban_expires() -> None:
    async def play() -> None:
        async with open_target(SHORT_BAN) as target:
            for _ in range(2):
                async with link_as_one(target) as socket:
                    await socket.send_bytes(b"\x09nonsense")
                    await wait_until(lambda: not target.get_peer(ONE).connected, "disconnected")
            assert target.get_peer(ONE).banned_for_s > 0
            async with dial_as(ONE, target) as socket:
                with pytest.raises(HandshakeError, match="the peer refused: banned for"):
                    await introduce(socket, ONE, target)
            assert target.get_peer(ONE).last_error == "banned for 1 s: a frame of an unknown channel 9"
            await wait_until(lambda: target.get_peer(ONE).banned_for_s == 0, "the ban is over")
            async with link_as_one(target) as socket:
                await socket.send_bytes(encode_frame(Channel.CONSENSUS, b"mended"))
                await wait_until(lambda: bool(target.ear.messages), "heard again")

    asyncio.run(play())


@pytest.mark.parametrize("judge", [0, 1], ids=["that dials", "that listens"])
def test_whoever_is_banned_by_a_member_is_connected_again_after_the_ban(judge: int) -> None:
    async def play() -> None:
        async with open_mesh(2, SHORT_BAN) as stations:
            station, other = stations[judge], stations[1 - judge]
            station.network.penalize(other.id, BAN_SCORE - 10, "clumsy")
            assert station.get_peer(other).connected
            assert station.get_peer(other).last_error == "clumsy"
            station.network.penalize(other.id, 20, "a forged vote")
            assert not station.network.send(other.id, Channel.CONSENSUS, b"not to the banned")
            await wait_until(lambda: not station.get_peer(other).connected, "disconnected")
            assert station.get_peer(other).last_error == "banned for 1 s: a forged vote"
            assert station.get_peer(other).banned_for_s > 0
            await wait_until(lambda: station.get_peer(other).connected, "connected again")
            assert station.get_peer(other).banned_for_s == 0
            await wait_until(lambda: other.get_peer(station).connected, "on both sides")

    asyncio.run(play())


def test_nothing_of_a_message_is_passed_on_behind_what_got_its_sender_banned() -> None:
    async def play() -> None:
        async with open_target(Timing()) as target:
            hear = target.ear.on_message

            def judge(peer: bytes, channel: Channel, payload: bytes) -> None:
                hear(peer, channel, payload)
                target.network.penalize(peer, BAN_SCORE, "forged")

            target.ear.on_message = judge  # type: ignore[method-assign]
            async with link_as_one(target) as socket:
                await socket.send_bytes(encode_frame(Channel.CONSENSUS, b"forged") * 10)
                await wait_until(lambda: not target.get_peer(ONE).connected, "disconnected")
            assert target.ear.get_payloads(Channel.CONSENSUS) == [b"forged"]

    asyncio.run(play())


def test_a_penalty_for_nobody_is_ignored() -> None:
    async def play() -> None:
        async with open_target(Timing()) as target:
            target.network.penalize(b"?" * 32, BAN_SCORE, "who?")

    asyncio.run(play())


def test_a_member_that_does_not_read_is_bounded_and_others_are_served() -> None:
    async def play() -> None:
        deaf, listening, dialling = ONE, THREE, TWO  # ONE and TWO dial THREE
        settings = build_settings(listening, [deaf.build_address(), dialling.build_address()])
        async with open_station(replace(settings, timing=Timing(heartbeat_s=30)), listening) as station:
            address = listening.build_address(station.network.port)
            others = build_settings(dialling, [address])
            async with dial_as(deaf, station) as socket, open_station(others, dialling) as honest:
                await introduce(socket, deaf, station)
                await wait_until(lambda: station.get_peer(deaf).connected, "the deaf one")
                await wait_until(lambda: station.get_peer(dialling).connected, "the honest one")
                socket._conn.transport.pause_reading()  # type: ignore[union-attr]
                sent = 0
                while not station.get_peer(deaf).dropped:
                    for _ in range(20):
                        station.network.broadcast(Channel.CONSENSUS, sent.to_bytes(4, "big") + bytes(30_000))
                        sent += 1
                    await wait_until(lambda n=sent: len(honest.ear.messages) == n, "the honest hears all")  # type: ignore[misc]
                    assert station.get_peer(deaf).queued_bytes <= QUEUED_BYTES_MAX
                    assert station.get_peer(dialling).queued_bytes <= QUEUED_BYTES_MAX
                    assert sent * 30_000 < 100 * QUEUED_BYTES_MAX
                assert station.get_peer(dialling).dropped == 0
                numbers = [int.from_bytes(payload[:4], "big") for _, _, payload in honest.ear.messages]
                assert numbers == list(range(sent))

    asyncio.run(play())


def test_a_member_that_falls_silent_is_noticed() -> None:
    async def play() -> None:
        async with open_target(Timing(heartbeat_s=0.2)) as target, link_as_one(target) as socket:
            socket._conn.transport.pause_reading()  # type: ignore[union-attr]
            await wait_until(lambda: not target.get_peer(ONE).connected, "noticed", 5)
            assert "No PONG received" in target.get_peer(ONE).last_error

    asyncio.run(play())


def test_a_member_that_pings_and_is_gone_before_the_answer_ends_its_link_only() -> None:
    async def play() -> None:
        async with open_target(Timing()) as target, link_as_one(target) as socket:
            await socket.ping()
            socket._conn.transport.close()  # type: ignore[union-attr]  # both are read at once
            await wait_until(lambda: not target.get_peer(ONE).connected, "the link is gone")
            assert target.get_peer(ONE).last_error.startswith("the link broke")

    asyncio.run(play())
