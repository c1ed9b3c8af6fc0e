"""Who is not let in, and what both sides say about it."""

import asyncio
import contextlib
import socket as sockets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import msgspec
import pytest

from p2p.connection import CLOSE_CODE
from p2p.gate import HANDSHAKES_OPEN_PER_ADDRESS_MAX
from p2p.handshake import HandshakeError
from p2p.network import NetworkSettings
from p2p.peers import Timing
from p2p.transfer import RequestFailed
from primitives.encoding import encode
from tests.p2p.members import (
    DEADLINE_S,
    HOST,
    Member,
    Station,
    build_client_context,
    build_hello,
    build_settings,
    dial_as,
    introduce,
    make_member,
    make_members,
    open_mesh,
    open_plain_tls,
    open_station,
    wait_until,
)

HASTY = Timing(handshake_s=0.5)


@asynccontextmanager
async def open_listener(members: tuple[Member, ...], timing: Timing = HASTY) -> AsyncIterator[Station]:
    """The network of the last member, which everybody else dials."""
    settings = build_settings(members[-1], [member.build_address() for member in members[:-1]])
    async with open_station(replace(settings, timing=timing), members[-1]) as station:
        yield station


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"genesis_hash": b"\x22" * 32}, "the peer runs another genesis: "),
        ({"chain": "rainy-street"}, "the peer runs another genesis: "),
    ],
)
def test_another_genesis_is_refused_and_named_on_both_sides(spoiled: dict[str, object], reason: str) -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening:
            settings: NetworkSettings = replace(
                build_settings(one, [two.build_address(listening.network.port)]),
                **spoiled,  # type: ignore[arg-type]
            )
            async with open_station(settings, one) as dialling:
                sides = ((dialling, two), (listening, one))
                for station, other in sides:
                    await wait_until(lambda s=station, o=other: reason in s.get_peer(o).last_error, reason)  # type: ignore[misc]
                assert not any(station.get_peer(other).connected for station, other in sides)
                assert dialling.ear.changes == listening.ear.changes == []
                with pytest.raises(RequestFailed, match="not connected"):
                    await dialling.network.request(two.key.public, 1, b"", 1)

    asyncio.run(play())


def test_a_listener_with_another_certificate_than_the_pinned_one_is_refused() -> None:
    async def play() -> None:
        one, two = make_members(2)
        impostor = make_member(two.name, two.seed)  # the same key, but another certificate
        async with open_listener((one, impostor)) as listening:
            settings = build_settings(one, [two.build_address(listening.network.port)])
            async with open_station(settings, one) as dialling:
                reason = "is not the one pinned for house-1"
                await wait_until(lambda: reason in dialling.get_peer(two).last_error, "refused")
                assert not dialling.get_peer(two).connected

    asyncio.run(play())


def test_a_dialer_with_another_certificate_than_the_pinned_one_is_refused() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening:
            impostor = make_member(one.name, one.seed)
            settings = build_settings(impostor, [two.build_address(listening.network.port)])
            async with open_station(settings, impostor) as dialling:
                reason = "it does not know this node's certificate"
                await wait_until(lambda: reason in dialling.get_peer(two).last_error, "refused")
            heard = "somebody at 127.0.0.1 was refused: the certificate is no member's"
            await wait_until(lambda: heard in listening.get_peer(one).last_error, "shown on this side too")
            assert not listening.get_peer(one).connected

    asyncio.run(play())


def test_another_member_at_the_dialled_address_is_refused() -> None:
    async def play() -> None:
        one, two, three = make_members(3)
        async with open_listener((one, two, three)) as listening:
            swapped = [two.build_address(listening.network.port), three.build_address()]
            async with open_station(build_settings(one, swapped), one) as dialling:
                reason = "house-2 answers at the address of house-1; correct its host and port"
                await wait_until(lambda: reason in dialling.get_peer(two).last_error, "refused")

    asyncio.run(play())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"?" * 32, "is not a member's"),
        (lambda two: two.seed, "the certificate is not the one pinned for house-1"),
    ],
    ids=["a key of nobody", "a key of another member"],
)
def test_a_certificate_of_a_member_with_another_key_is_refused(
    spoil: Callable[[Member], bytes], reason: str
) -> None:
    async def play() -> None:
        one, two, three = make_members(3)
        liar = replace(one, seed=spoil(two))
        async with open_listener((one, two, three)) as listening:
            async with dial_as(one, listening) as socket:
                with contextlib.suppress(HandshakeError):
                    await introduce(socket, liar, listening)
                assert not any(peer.connected for peer in listening.network.get_peers())
            assert reason in listening.get_peer(one).last_error
            assert listening.get_peer(two).last_error == "not connected yet"

    asyncio.run(play())


def test_whoever_is_refused_hears_why() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening, dial_as(one, listening) as socket:
            await socket.send_bytes(encode(msgspec.structs.replace(build_hello(one), version=2)))
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY  # the listener's hello
            closed = await socket.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, CLOSE_CODE)
            assert "speaks link version 2" in (closed.extra or "")

    asyncio.run(play())


def test_a_replayed_hello_and_proof_are_refused() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening:
            said: list[bytes] = []
            async with dial_as(one, listening) as socket:
                send = socket.send_bytes

                async def record(data: bytes, compress: int | None = None) -> None:
                    said.append(data)
                    await send(data, compress)

                socket.send_bytes = record  # type: ignore[method-assign]
                await introduce(socket, one, listening)
                await wait_until(lambda: listening.get_peer(one).connected, "the honest link")
            await wait_until(lambda: not listening.get_peer(one).connected, "the honest link is gone")
            async with dial_as(one, listening) as socket:
                for data in said:
                    await socket.send_bytes(data)
                reason = "the other end does not hold the key it claims"
                await wait_until(lambda: listening.get_peer(one).last_error == reason, "refused")
            assert listening.ear.changes == [(one.key.public, True), (one.key.public, False)]

    asyncio.run(play())


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"])
def test_a_connection_that_stops_before_or_in_tls_is_dropped(words: bytes) -> None:
    async def play() -> None:
        async with open_listener(make_members(2)) as listening:
            reader, writer = await asyncio.open_connection(HOST, listening.network.port)
            writer.write(words)
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()

    asyncio.run(play())


def test_a_connection_that_stops_after_tls_is_dropped() -> None:
    async def play() -> None:
        members = make_members(2)
        async with open_listener(members) as listening, open_plain_tls(members[0], listening) as reader:
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                    assert await reader.read() == b""

    asyncio.run(play())


@pytest.mark.parametrize("says_hello", [False, True])
def test_a_handshake_that_stops_halfway_is_dropped_and_named(says_hello: bool) -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening, dial_as(one, listening) as socket:
            if says_hello:
                await socket.send_bytes(encode(build_hello(one)))
            async with asyncio.timeout(DEADLINE_S):
                while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                    pass
            await wait_until(
                lambda: listening.get_peer(one).last_error != "not connected yet", "the reason is noted"
            )
            assert not listening.get_peer(one).connected

    asyncio.run(play())


def test_a_listener_that_never_answers_is_given_up_and_dialled_again() -> None:
    async def play() -> None:
        one, two = make_members(2)
        dialled = 0

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal dialled
            dialled += 1
            await reader.read(-1)
            writer.close()

        async with await asyncio.start_server(say_nothing, HOST, 0) as mute:
            port = mute.sockets[0].getsockname()[1]
            settings = replace(build_settings(one, [two.build_address(port)]), timing=Timing(handshake_s=0.2))
            async with open_station(settings, one) as dialling:
                reason = f"no link to {HOST}:{port} within 0.2 s"
                await wait_until(lambda: dialling.get_peer(two).last_error == reason, "given up")
                await wait_until(lambda: dialled >= 2, "dialled again")

    asyncio.run(play())


def test_members_get_in_while_strangers_hold_every_place_of_their_address() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with (
            open_listener((one, two), Timing(handshake_s=30)) as listening,
            contextlib.AsyncExitStack() as stack,
        ):
            for _ in range(3 * HANDSHAKES_OPEN_PER_ADDRESS_MAX):
                stranger = stack.enter_context(sockets.socket())
                stranger.connect((HOST, listening.network.port))
            settings = build_settings(one, [two.build_address(listening.network.port)])
            async with open_station(settings, one) as dialling:
                await wait_until(lambda: dialling.get_peer(two).connected, "the member is in")

    asyncio.run(play())


@pytest.mark.parametrize("path", ["/", "/gridbft/link"])
def test_whoever_asks_for_something_else_than_a_link_is_sent_away(path: str) -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening, aiohttp.ClientSession() as session:
            context = build_client_context(one, two.certificate)
            url = f"https://{HOST}:{listening.network.port}{path}"
            async with session.get(url, ssl=context) as response:
                assert response.status == (404 if path == "/" else 400)

    asyncio.run(play())


def test_a_link_without_a_certificate_or_with_old_tls_is_refused() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening:
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            bare.check_hostname = False
            bare.verify_mode = ssl.CERT_NONE
            old = build_client_context(one, two.certificate)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
            for context in (bare, old):
                assert await is_cut_off(listening, context)

    asyncio.run(play())


UPGRADE = (
    b"GET /gridbft/link HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_a_member_that_is_gone_before_its_request_is_answered_leaves_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_listener((one, two)) as listening:
            for _ in range(20):  # who is first, the request or its end, is the kernel's choice
                _, writer = await asyncio.open_connection(
                    HOST, listening.network.port, ssl=build_client_context(one, two.certificate)
                )
                writer.write(UPGRADE)
                writer.transport.abort()
            async with dial_as(one, listening) as socket:  # whoever came before it was looked at
                await introduce(socket, one, listening)

    asyncio.run(play())
    assert [record.getMessage() for record in caplog.records if record.name.startswith("aiohttp")] == []


async def is_cut_off(listening: Station, context: ssl.SSLContext) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(HOST, listening.network.port, ssl=context)
            try:
                writer.write(b"GET /gridbft/link HTTP/1.1\r\n\r\n")
                return await reader.read() == b""
            finally:
                writer.transport.abort()
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_mesh_of_seven_connects_from_one_address() -> None:
    async def play() -> None:
        async with open_mesh(7) as stations:
            assert [len(station.ear.changes) for station in stations] == [6] * 7

    asyncio.run(play())
