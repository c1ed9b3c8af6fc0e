"""The network of members: authenticated bytes to one, to all, and questions with answers; no meaning."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import structlog
from aiohttp import web

from p2p.connection import Connection, Socket, shake_hands
from p2p.dialer import keep_dialling
from p2p.frames import Channel
from p2p.handshake import LINK_VERSION, HandshakeError, Hello
from p2p.listener import open_listener
from p2p.peers import PeerAddress, PeerRecord, PeerStatus
from p2p.tls import build_contexts
from p2p.transfer import RequestFailed
from primitives.signing import SecretKey

log = structlog.get_logger("gridbft.p2p")

MALFORMED_POINTS = 50
"""A peer that frames nonsense twice in a minute is not talked to for a while."""


class Handlers(Protocol):
    """Who hears what members say."""

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Take a consensus message or a transaction; must not block."""

    async def on_request(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Return the answer to a question; raises RequestRefused."""

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        """A member's link was established or lost."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Who this node is and whom it talks to."""

    chain: str
    genesis_hash: bytes
    own: PeerAddress
    signing_key: SecretKey
    tls_key_pem: bytes
    listen_host: str
    listen_port: int
    peers: tuple[PeerAddress, ...]


@asynccontextmanager
async def open_network(settings: NetworkSettings, handlers: Handlers) -> AsyncIterator["Network"]:
    """Listen, dial, and give the network; at the end every link is closed.

    The member with the smaller key dials, so that two members share one link.

    Raises:
        PortBusy: the port cannot be listened on.
        ssl.SSLError: the TLS key is not the certificate's.

    """
    certificates = [peer.tls_certificate for peer in settings.peers]
    listen, dial = build_contexts(settings.own.tls_certificate, settings.tls_key_pem, certificates)
    network = Network(settings, handlers)
    async with (
        open_listener(settings.listen_host, settings.listen_port, listen, network.take_incoming) as port,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        network.port = port
        dialling = [
            tasks.create_task(
                keep_dialling(
                    session,
                    peer,
                    dial,
                    network.take_outgoing,
                    lambda reason, key=peer.key: network.note_failure(key, reason),  # type: ignore[misc]
                    lambda key=peer.key: network.may_dial(key),  # type: ignore[misc]
                )
            )
            for peer in settings.peers
            if settings.own.key < peer.key
        ]
        try:
            yield network
        finally:
            for task in dialling:
                task.cancel()
            network.close()


class Network:
    """The links of one node; for one event loop."""

    def __init__(self, settings: NetworkSettings, handlers: Handlers) -> None:
        now_s = time.monotonic()
        self.port = settings.listen_port
        self._settings = settings
        self._handlers = handlers
        self._known = {peer.key: peer for peer in settings.peers}
        self._records = {peer.key: PeerRecord(peer, now_s) for peer in settings.peers}
        self._links: dict[bytes, Connection] = {}
        self._strangers_refused = 0

    def send(self, peer: bytes, channel: Channel, payload: bytes) -> bool:
        """Queue a payload for one member; False when it is not connected or something was dropped."""
        link = self._links.get(peer)
        return link is not None and link.send(channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a payload for every connected member."""
        for link in self._links.values():
            link.send(channel, payload)

    def gossip(self, payload: bytes) -> None:
        """Queue a transaction for every connected member."""
        self.broadcast(Channel.TRANSACTIONS, payload)

    async def request(self, peer: bytes, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """Ask one member.

        Raises:
            RequestFailed: not connected, refused, or no answer in time.

        """
        link = self._links.get(peer)
        if link is None:
            raise RequestFailed("the peer is not connected")
        return await link.requests.ask(kind, payload, timeout_s)

    def penalize(self, peer: bytes, points: int, reason: str) -> None:
        """Count a fault; beyond the bound the peer is disconnected and not talked to for a while."""
        record = self._records.get(peer)
        if record is None:
            return
        if record.penalize(points, reason, time.monotonic()):
            log.warning("peer_banned", peer=record.address.name, reason=reason)
            link = self._links.get(peer)
            if link is not None:
                link.abort()

    def get_peers(self) -> list[PeerStatus]:
        """Return what is known of each member, in the genesis' order."""
        now_s = time.monotonic()
        return [self._describe(record, now_s) for record in self._records.values()]

    def may_dial(self, peer: bytes) -> bool:
        """Tell whether a member may be dialled: not connected and not banned."""
        return peer not in self._links and not self._records[peer].is_banned(time.monotonic())

    def note_failure(self, peer: bytes, reason: str) -> None:
        """Remember why a member could not be reached."""
        self._records[peer].last_error = reason

    async def take_incoming(self, socket: web.WebSocketResponse, certificate: bytes) -> None:
        """Run a link that was dialled from outside to its end."""
        try:
            await self._take(socket, certificate, dials=False)
        except HandshakeError as error:
            self._blame(certificate, str(error))
            await socket.close()

    async def take_outgoing(self, socket: aiohttp.ClientWebSocketResponse, certificate: bytes) -> bool:
        """Run a link that this node dialled to its end.

        Raises:
            HandshakeError: it was not established.

        """
        await self._take(socket, certificate, dials=True)
        return True

    def close(self) -> None:
        """End every link."""
        for link in list(self._links.values()):
            link.abort()

    def on_frame(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Pass on what arrived."""
        self._handlers.on_message(peer, channel, payload)

    async def on_question(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Pass on a question."""
        return await self._handlers.on_request(peer, kind, payload)

    def on_malformed(self, peer: bytes, reason: str) -> None:
        """Count nonsense on a link."""
        self.penalize(peer, MALFORMED_POINTS, reason)

    async def _take(self, socket: Socket, certificate: bytes, *, dials: bool) -> None:
        settings = self._settings

        def build_hello(nonce: bytes) -> Hello:
            return Hello(LINK_VERSION, settings.chain, settings.genesis_hash, settings.own.key, nonce, dials)

        peer = await shake_hands(
            socket,
            build_hello,
            settings.signing_key,
            self._known,
            (settings.own.tls_certificate, certificate),
        )
        if self._records[peer.key].is_banned(time.monotonic()):
            raise HandshakeError(f"{peer.name} is banned for a while")
        await self._run_link(Connection(socket, peer, self))

    async def _run_link(self, link: Connection) -> None:
        """Run an authenticated link; it replaces an older one of the same member, which is half dead."""
        key = link.peer.key
        record = self._records[key]
        older = self._links.get(key)
        self._links[key] = link
        if older is not None:
            older.abort()
        else:
            record.changed_s = time.monotonic()
            record.last_error = ""
            log.info("peer_connected", peer=link.peer.name)
            self._handlers.on_peer_change(key, connected=True)
        try:
            await link.run()
        finally:
            record.bytes_in += link.bytes_in
            record.bytes_out += link.bytes_out
            record.dropped += link.outbox.dropped
            if self._links.get(key) is link:
                del self._links[key]
                record.changed_s = time.monotonic()
                record.last_error = record.last_error or "the link broke"
                log.info("peer_lost", peer=link.peer.name, reason=record.last_error)
                self._handlers.on_peer_change(key, connected=False)

    def _blame(self, certificate: bytes, reason: str) -> None:
        """Remember a failed handshake with the member whose certificate was presented; TLS let nobody else in."""
        for record in self._records.values():
            if record.address.tls_certificate == certificate:
                record.last_error = reason
                log.warning("handshake_refused", peer=record.address.name, reason=reason)
                return
        self._strangers_refused += 1

    def _describe(self, record: PeerRecord, now_s: float) -> PeerStatus:
        link = self._links.get(record.address.key)
        return PeerStatus(
            name=record.address.name,
            key=record.address.key.hex(),
            connected=link is not None,
            since_s=round(now_s - record.changed_s, 1),
            score=int(record.compute_score(now_s)),
            banned_for_s=round(record.get_ban_s(now_s), 1),
            last_error=record.last_error,
            queued_bytes=0 if link is None else link.outbox.queued_bytes,
            dropped=record.dropped + (0 if link is None else link.outbox.dropped),
            bytes_in=record.bytes_in + (0 if link is None else link.bytes_in),
            bytes_out=record.bytes_out + (0 if link is None else link.bytes_out),
        )
