"""The network of members: authenticated bytes to one, to all, and questions with answers; no meaning."""

import asyncio
import math
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from aiohttp import web

from p2p.connection import Connection, WebSocket, close_socket, shake_hands
from p2p.dialer import Dialer, OutgoingSocket
from p2p.frames import Channel, FrameError, encode_frame
from p2p.handshake import LINK_VERSION, NONCE_BYTES, HandshakeError, Hello
from p2p.listener import Listener, open_port
from p2p.peers import DEFAULT_TIMING, PeerAddress, PeerRecord, PeerStatus, Timing, is_dialer
from p2p.tls import build_contexts
from p2p.transfer import RequestFailed
from primitives.signing import SecretKey

log = structlog.get_logger("gridbft.p2p")

MALFORMED_POINTS = 60
"""A peer that frames nonsense twice in half a minute is not talked to for a while."""


class Handlers(Protocol):
    """Who hears what members say. What these raise, besides RequestRefused, is a bug and ends the network."""

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Take a consensus message or a transaction; must not block."""

    async def on_request(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Return the answer to a question; raises RequestRefused."""

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        """A member's link was established or lost; what was queued on a lost one is lost."""


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
    timing: Timing = DEFAULT_TIMING


@asynccontextmanager
async def open_network(settings: NetworkSettings, handlers: Handlers) -> AsyncIterator["Network"]:
    """Listen, dial, and give the network; at the end every link is told and closed, and no task is left.

    The member with the smaller key dials, so that two members share one link.

    Raises:
        PortBusy: the port cannot be listened on.
        ssl.SSLError: the TLS key is not the certificate's.
        ExceptionGroup: a handler raised what it must not; the body is cancelled.

    """
    certificates = [peer.tls_certificate for peer in settings.peers]
    listening, dialling = build_contexts(settings.own.tls_certificate, settings.tls_key_pem, certificates)
    failure: Exception | None = None
    with open_port(settings.listen_host, settings.listen_port) as port:
        async with asyncio.TaskGroup() as tasks:
            network = Network(settings, handlers, port.getsockname()[1], tasks)
            listener = Listener(
                port, listening, settings.timing, network.take_incoming, network.note_stranger
            )
            running = [tasks.create_task(listener.run(tasks))]
            running += [tasks.create_task(dialer.run()) for dialer in network.build_dialers(dialling)]
            try:
                yield network
            except Exception as error:  # noqa: BLE001  # raised below, bare: it is not this group's
                failure = error
            finally:
                await network.close()
                for task in running:
                    task.cancel()
                await listener.close()
    if failure is not None:
        raise failure


class Network:
    """The links of one node; for one event loop. Made by ``open_network``."""

    def __init__(
        self, settings: NetworkSettings, handlers: Handlers, port: int, tasks: asyncio.TaskGroup
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.port = port
        self._settings = settings
        self._handlers = handlers
        self._tasks = tasks
        self._known = {peer.key: peer for peer in settings.peers}
        self._names = {peer.tls_certificate: peer.key for peer in settings.peers}
        self._records = {
            peer.key: PeerRecord(peer, self._loop.time(), settings.timing.ban_s) for peer in settings.peers
        }
        self._links: dict[bytes, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def send(self, peer: bytes, channel: Channel, payload: bytes) -> bool:
        """Queue a payload for one member; False when it is not connected or something of the channel was dropped.

        Never blocks. What is queued for one member on one channel arrives in order, or is lost with its link.
        """
        link = self._links.get(peer)
        frame = None if link is None else self._encode(channel, payload)
        return link is not None and frame is not None and link.put_frame(channel, frame)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a payload for every connected member."""
        frame = self._encode(channel, payload)
        if frame is not None:
            for link in self._links.values():
                link.put_frame(channel, frame)

    def gossip(self, payload: bytes) -> None:
        """Queue a transaction for every connected member; each gets it once."""
        self.broadcast(Channel.TRANSACTIONS, payload)

    async def request(self, peer: bytes, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """Ask one member; ``kind`` is 0..255.

        Raises:
            RequestFailed: not connected, refused, too large, disconnected meanwhile, or no answer in time.

        """
        link = self._links.get(peer)
        if link is None:
            raise RequestFailed("the peer is not connected")
        return await link.requests.ask(kind, payload, timeout_s)

    def penalize(self, peer: bytes, points: int, reason: str) -> None:
        """Count a fault; beyond the bound the peer is disconnected and not talked to for a while."""
        record = self._records.get(peer)
        if record is None or not record.penalize(points, reason, self._loop.time()):
            return
        log.warning("peer_banned", peer=record.address.name, reason=record.last_error)
        link = self._links.get(peer)
        if link is not None:
            link.end(f"banned for {self._settings.timing.ban_s:g} s: {record.last_error}")

    def get_peers(self) -> list[PeerStatus]:
        """Return what is known of each member, in the order of the settings."""
        now_s = self._loop.time()
        return [self._describe(record, now_s) for record in self._records.values()]

    def build_dialers(self, context: ssl.SSLContext) -> list[Dialer]:
        """Return what dials each member that this node has to dial."""
        return [
            Dialer(
                peer,
                context,
                self._settings.timing,
                partial(self._take_outgoing, peer),
                partial(self._note_failure, peer.key),
                partial(self._note_absence, peer.key),
                partial(self._get_ban_s, peer.key),
            )
            for peer in self._settings.peers
            if is_dialer(self._settings.own.key, peer.key)
        ]

    async def take_incoming(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        certificate: bytes,
        on_known: Callable[[], None],
    ) -> None:
        """Run a link that was dialled from outside to its end; TLS let nobody in who shows no member's certificate."""
        claimed = self._names.get(certificate)
        try:
            if claimed is not None and self._get_ban_s(claimed) > 0:
                await close_socket(socket, f"banned for {math.ceil(self._get_ban_s(claimed))} s more")
                return
            await self._take(socket, certificate, None, on_known)
        except HandshakeError as error:
            if claimed is not None:
                self._note_failure(claimed, str(error))
            await close_socket(socket, str(error))
        finally:
            transport.abort()

    def note_stranger(self, address: str, reason: str) -> None:
        """Remember that somebody failed in TLS, with each missing member that dials this node: it may be that one."""
        for record in self._records.values():
            key = record.address.key
            is_awaited = key not in self._links and is_dialer(key, self._settings.own.key)
            if is_awaited and self._get_ban_s(key) == 0:
                record.note_error(f"not connected; somebody at {address} was refused: {reason}")

    async def close(self) -> None:
        """End every link, and take no more."""
        self._is_closing = True
        for link in self._links.values():
            link.end("the node is stopping")
        if self._running:
            await asyncio.wait(self._running)

    def on_frame(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Pass on what arrived."""
        self._handlers.on_message(peer, channel, payload)

    async def on_question(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Pass on a question."""
        return await self._handlers.on_request(peer, kind, payload)

    def on_malformed(self, peer: bytes, reason: str) -> None:
        """Count nonsense on a link."""
        self.penalize(peer, MALFORMED_POINTS, reason)

    async def _take_outgoing(self, peer: PeerAddress, socket: OutgoingSocket, certificate: bytes) -> None:
        try:
            await self._take(socket, certificate, peer, lambda: None)
        except HandshakeError as error:
            await close_socket(socket, str(error))
            raise

    async def _take(
        self,
        socket: WebSocket,
        certificate: bytes,
        expected: PeerAddress | None,
        on_known: Callable[[], None],
    ) -> None:
        """Shake hands and run the link to its end, in a task of the network's group.

        Raises:
            HandshakeError: the link was not established.

        """
        settings = self._settings
        own = Hello(
            version=LINK_VERSION,
            chain=settings.chain,
            genesis_hash=settings.genesis_hash,
            key=settings.own.key,
            nonce=secrets.token_bytes(NONCE_BYTES),
            dials=expected is not None,
        )
        certificates = (settings.own.tls_certificate, certificate)
        try:
            async with asyncio.timeout(settings.timing.handshake_s):
                peer = await shake_hands(
                    socket, own, settings.signing_key, self._known, expected, certificates
                )
        except TimeoutError:
            raise HandshakeError(f"no handshake within {settings.timing.handshake_s:g} s") from None
        if self._is_closing:
            raise HandshakeError("the node is stopping")
        on_known()
        task = self._tasks.create_task(self._run_link(socket, Connection(socket, peer, self)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task])

    async def _run_link(self, socket: WebSocket, link: Connection) -> None:
        """Run an authenticated link; it replaces an older one of the same member, which is half dead."""
        key = link.peer.key
        record = self._records[key]
        older = self._links.get(key)
        if older is not None:
            older.end("replaced by a newer link")
            self._note_change(link.peer, is_connected=False, reason="replaced by a newer link")
        self._links[key] = link
        self._note_change(link.peer, is_connected=True, reason="")
        reason = "the node is stopping"
        try:
            reason = await link.run()
        finally:
            record.bytes_in += link.bytes_in
            record.bytes_out += link.bytes_out
            record.dropped += link.outbox.dropped
            if self._links.get(key) is link:
                del self._links[key]
                self._note_change(link.peer, is_connected=False, reason=reason)
            await close_socket(socket, reason)

    def _note_change(self, peer: PeerAddress, *, is_connected: bool, reason: str) -> None:
        record = self._records[peer.key]
        record.changed_s = self._loop.time()
        record.note_error(reason)
        if is_connected:
            log.info("peer_connected", peer=peer.name)
        else:
            log.info("peer_lost", peer=peer.name, reason=record.last_error)
        self._handlers.on_peer_change(peer.key, connected=is_connected)

    def _note_failure(self, peer: bytes, reason: str) -> None:
        """Remember why no link was established; each reason is logged once, not at every try."""
        if self._note_error(peer, reason):
            log.warning("handshake_refused", peer=self._known[peer].name, reason=reason)

    def _note_absence(self, peer: bytes, reason: str) -> None:
        """Remember that a member is not there: it is starting, or it is down, which ``status`` tells."""
        if self._note_error(peer, reason):
            log.info("peer_unreachable", peer=self._known[peer].name, reason=reason)

    def _note_error(self, peer: bytes, reason: str) -> bool:
        record = self._records[peer]
        before = record.last_error
        record.note_error(reason)
        return record.last_error != before

    def _get_ban_s(self, peer: bytes) -> float:
        return self._records[peer].get_ban_s(self._loop.time())

    def _encode(self, channel: Channel, payload: bytes) -> bytes | None:
        """Return the frame; None for a payload that no frame holds, which must not stop a validator."""
        try:
            return encode_frame(channel, payload)
        except FrameError as error:
            log.warning("payload_too_large", channel=channel.name, reason=str(error))
            return None

    def _describe(self, record: PeerRecord, now_s: float) -> PeerStatus:
        link = self._links.get(record.address.key)
        return PeerStatus(
            name=record.address.name,
            key=record.address.key.hex(),
            connected=link is not None,
            since_s=round(now_s - record.changed_s, 1),
            score=int(record.compute_score(now_s)),
            banned_for_s=math.ceil(record.get_ban_s(now_s) * 10) / 10,  # 0 only when the ban is over
            last_error=record.last_error,
            queued_bytes=0 if link is None else link.outbox.queued_bytes,
            dropped=record.dropped + (0 if link is None else link.outbox.dropped),
            bytes_in=record.bytes_in + (0 if link is None else link.bytes_in),
            bytes_out=record.bytes_out + (0 if link is None else link.bytes_out),
        )
