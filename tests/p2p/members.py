"""Members of a test network: real keys and certificates, networks on ephemeral ports, and peers that misbehave."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache

import aiohttp

from cli.certificates import make_tls_identity
from p2p.connection import shake_hands
from p2p.frames import MESSAGE_BYTES_MAX, Channel
from p2p.handshake import LINK_VERSION, NONCE_BYTES, Hello
from p2p.listener import PATH
from p2p.network import Network, NetworkSettings, open_network
from p2p.peers import PeerAddress, PeerStatus, Timing
from p2p.tls import build_contexts
from primitives.signing import SecretKey

HOST = "127.0.0.1"
CHAIN = "sunny-street"
GENESIS_HASH = b"\x11" * 32
NOWHERE = 1  # nobody listens there, and nobody dials it: the member with the smaller key dials
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Member:
    """Who a member is."""

    name: str
    seed: bytes
    certificate: bytes
    key_pem: bytes

    @property
    def key(self) -> SecretKey:
        return SecretKey(self.seed)

    def build_address(self, port: int = NOWHERE) -> PeerAddress:
        return PeerAddress(self.name, self.key.public, self.certificate, HOST, port)


@cache
def make_members(count: int) -> tuple[Member, ...]:
    """Members in the order of their keys: each one dials those after it."""
    seeds = sorted(
        (bytes([index + 1]) * 32 for index in range(count)), key=lambda seed: SecretKey(seed).public
    )
    return tuple(make_member(f"house-{index}", seed) for index, seed in enumerate(seeds))


def make_member(name: str, seed: bytes) -> Member:
    identity = make_tls_identity(name)
    return Member(name, seed, identity.certificate, identity.key_pem)


class Ear:
    """Remembers what a network said, and answers as it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Channel, bytes]] = []
        self.changes: list[tuple[bytes, bool]] = []
        self.answer: Callable[[bytes, int, bytes], Awaitable[bytes]] = self._echo

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        self.messages.append((peer, channel, payload))

    async def on_request(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        return await self.answer(peer, kind, payload)

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        self.changes.append((peer, connected))

    def get_payloads(self, channel: Channel) -> list[bytes]:
        return [payload for _, heard, payload in self.messages if heard is channel]

    async def _echo(self, _: bytes, kind: int, payload: bytes) -> bytes:
        return bytes([kind]) + payload


@dataclass(frozen=True)
class Station:
    """A member whose network is open."""

    member: Member
    network: Network
    ear: Ear

    @property
    def id(self) -> bytes:
        return self.member.key.public

    def get_peer(self, other: "Member | Station") -> PeerStatus:
        key = other.id if isinstance(other, Station) else other.key.public
        return next(peer for peer in self.network.get_peers() if peer.key == key.hex())


def build_settings(own: Member, others: list[PeerAddress], port: int = 0) -> NetworkSettings:
    return NetworkSettings(
        chain=CHAIN,
        genesis_hash=GENESIS_HASH,
        own=own.build_address(port),
        signing_key=own.key,
        tls_key_pem=own.key_pem,
        listen_host=HOST,
        listen_port=port,
        peers=tuple(others),
    )


@asynccontextmanager
async def open_station(settings: NetworkSettings, member: Member) -> AsyncIterator[Station]:
    ear = Ear()
    async with open_network(settings, ear) as network:
        yield Station(member, network, ear)


@asynccontextmanager
async def open_mesh(count: int, timing: Timing | None = None) -> AsyncIterator[list[Station]]:
    """Open the networks of ``count`` members; all are connected, in the order of their keys."""
    async with open_mesh_of(make_members(count), timing) as stations:
        yield stations


@asynccontextmanager
async def open_mesh_of(
    members: tuple[Member, ...], timing: Timing | None = None
) -> AsyncIterator[list[Station]]:
    """Open the networks of these members, given in the order of their keys."""
    addresses = {member.name: member.build_address() for member in members}
    stations: list[Station] = []
    async with AsyncExitStack() as stack:
        for member in reversed(members):  # whoever is dialled listens first, so that its port is known
            others = [address for name, address in addresses.items() if name != member.name]
            settings = replace(build_settings(member, others), timing=timing or Timing())
            station = await stack.enter_async_context(open_station(settings, member))
            addresses[member.name] = member.build_address(station.network.port)
            stations.insert(0, station)
        await wait_until(lambda: all(is_fully_connected(station) for station in stations), "all connected")
        yield stations


def is_fully_connected(station: Station) -> bool:
    return all(peer.connected for peer in station.network.get_peers())


async def wait_until(is_so: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    """Wait for a condition; a deadline that passes names what was waited for."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not is_so():
        assert loop.time() < deadline_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def dial_as(member: Member, listener: Station) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a websocket with a member's certificate, without a hello."""
    _, context = build_contexts(member.certificate, member.key_pem, [listener.member.certificate])
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"https://{HOST}:{listener.network.port}{PATH}",
            ssl=context,
            max_msg_size=MESSAGE_BYTES_MAX + 1,
            compress=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
        ) as socket,
    ):
        yield socket


def build_hello(member: Member, *, dials: bool = True) -> Hello:
    return Hello(
        LINK_VERSION, CHAIN, GENESIS_HASH, member.key.public, secrets.token_bytes(NONCE_BYTES), dials
    )


async def introduce(
    socket: aiohttp.ClientWebSocketResponse, member: Member, listener: Station, hello: Hello | None = None
) -> None:
    """Shake hands honestly (or with another hello) and leave what follows to the test."""
    address = listener.member.build_address()
    await shake_hands(
        socket,
        hello or build_hello(member),
        member.key,
        {address.key: address},
        address,
        (member.certificate, listener.member.certificate),
    )


@asynccontextmanager
async def open_plain_tls(member: Member, listener: Station) -> AsyncIterator[asyncio.StreamReader]:
    """Finish TLS as a member, and say nothing."""
    context = build_client_context(member, listener.member.certificate)
    reader, writer = await asyncio.open_connection(HOST, listener.network.port, ssl=context)
    try:
        yield reader
    finally:
        writer.transport.abort()


def build_client_context(member: Member, trusted: bytes) -> ssl.SSLContext:
    return build_contexts(member.certificate, member.key_pem, [trusted])[1]
