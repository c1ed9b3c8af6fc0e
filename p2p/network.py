"""The network of members: authenticated bytes to one, to all, and questions with answers; no meaning."""

import asyncio
import math
import secrets
import socket as sockets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from aiohttp import web

from p2p.connection import (
    DEFAULT_LIMITS,
    Connection,
    LinkLimits,
    WebSocket,
    close_socket,
    shake_hands,
)
from p2p.dialer import Dialer, OutgoingSocket
from p2p.frames import Channel, FrameError, encode_frame
from p2p.handshake import LINK_VERSION, NONCE_BYTES, HandshakeError, Hello
from p2p.listener import Listener, open_port
from p2p.members import Members
from p2p.peers import (
    ANY_ADDRESSES,
    DEFAULT_TIMING,
    Dialling,
    PeerAddress,
    PeerRecord,
    PeerStatus,
    Timing,
)
from p2p.tls import Pins, is_certificate_sound
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
    """Who this node is and whom it talks to. Whoever always dials listens nowhere; ``section`` names the settings."""

    chain: str
    genesis_hash: bytes
    own: PeerAddress
    signing_key: SecretKey
    tls_key_pem: bytes
    listen_host: str
    listen_port: int
    peers: tuple[PeerAddress, ...]
    timing: Timing = DEFAULT_TIMING
    dialling: Dialling = Dialling.SMALLER_KEY
    limits: LinkLimits = DEFAULT_LIMITS
    section: str = "p2p"


@asynccontextmanager
async def open_network(settings: NetworkSettings, handlers: Handlers) -> AsyncIterator["Network"]:
    """Listen, dial, and give the network; at the end every link is told and closed, and no task is left.

    Between members the one with the smaller key dials, so that two members share one link.

    Raises:
        PortBusy: the port cannot be listened on.
        ssl.SSLError: the TLS key is not the certificate's.
        ExceptionGroup: a handler raised what it must not; the body is cancelled.

    """
    pins = Pins(settings.own.tls_certificate, settings.tls_key_pem)
    failure: Exception | None = None
    with ExitStack() as stack:
        port = None
        if settings.dialling is not Dialling.ALWAYS:
            port = stack.enter_context(
                open_port(settings.listen_host, settings.listen_port, settings.section)
            )
        async with asyncio.TaskGroup() as tasks:
            network = Network(settings, handlers, 0 if port is None else port.getsockname()[1], tasks, pins)
            network.update_peers(settings.peers)
            listener = None if port is None else _listen(port, network, pins, settings.timing)
            accepting = None if listener is None else tasks.create_task(listener.run(tasks))
            try:
                yield network
            except Exception as error:  # noqa: BLE001  # raised below, bare: it is not this group's
                failure = error
            finally:
                await network.close()
                if accepting is not None and listener is not None:
                    accepting.cancel()
                    await listener.close()
    if failure is not None:
        raise failure


def _listen(port: sockets.socket, network: "Network", pins: Pins, timing: Timing) -> Listener:
    return Listener(port, lambda: pins.listening, timing, network.take_incoming, network.note_stranger)


class Network:
    """The links of one node; for one event loop. Made by ``open_network``."""

    def __init__(
        self,
        settings: NetworkSettings,
        handlers: Handlers,
        port: int,
        tasks: asyncio.TaskGroup,
        pins: Pins,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.port = port
        self._settings = settings
        self._handlers = handlers
        self._tasks = tasks
        self._pins = pins
        self._members = Members(settings.own.key, settings.timing.ban_s)
        self._dialers: dict[bytes, asyncio.Task[None]] = {}
        self._farewells: dict[bytes, asyncio.TimerHandle] = {}
        self._links: dict[bytes, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._is_closing = False

    def update_peers(self, peers: Iterable[PeerAddress]) -> None:
        """Talk to these members from now on, the own one left out; the links of those who stay are not touched.

        New ones are dialled or let in at once. Who is no member any more is let in no more, and its link is ended by
        name after the farewell. A new address holds from the next try on; a new key is another member.
        """
        if self._is_closing:
            return
        changes = self._members.update(peers, self._loop.time())
        self._pins.trust(self._members.get_certificates())
        for peer in changes.dismissed:
            self._dismiss(peer)
        for peer in changes.added:
            self._welcome(peer)
        for key, peer in self._members.known.items():
            if peer.host and self._dials(key) and key not in self._dialers:
                self._start_dialer(key)
        if self._is_open and (changes.added or changes.dismissed):
            log.info(
                "peers_changed",
                added=[peer.name for peer in changes.added],
                removed=[peer.name for peer in changes.dismissed],
            )
        self._is_open = True

    def send(self, peer: bytes, channel: Channel, payload: bytes) -> bool:
        """Queue a payload for one member; False when it is not connected or something of the channel was dropped.

        Never blocks. What is queued for one member on one channel arrives in order, or is lost with its link.
        """
        link = self._links.get(peer)
        frame = None if link is None else self._encode(channel, payload)
        return link is not None and frame is not None and link.put_frame(channel, frame)

    def is_linked(self, peer: bytes) -> bool:
        """Tell whether a link to the member stands."""
        return peer in self._links

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
        record = self._members.records.get(peer)
        if record is None or not record.penalize(points, reason, self._loop.time()):
            return
        log.warning("peer_banned", peer=record.address.name, reason=record.last_error)
        link = self._links.get(peer)
        if link is not None:
            link.end(f"banned for {self._settings.timing.ban_s:g} s: {record.last_error}")

    def get_addresses(self) -> dict[bytes, PeerAddress]:
        """Return the members of now by key, with the own one unless it listens wherever it is reached."""
        own = self._settings.own
        return ({} if own.host in ANY_ADDRESSES else {own.key: own}) | self._members.known

    def charge(self, peer: bytes, cost_s: float) -> None:
        """Count work of the event loop that a peer's messages cost for nothing: it is read more slowly for a while."""
        link = self._links.get(peer)
        if link is not None:
            link.charge(cost_s)

    def get_peers(self) -> list[PeerStatus]:
        """Return what is known of each member, in the order in which they were given."""
        now_s = self._loop.time()
        return [self._describe(record, now_s) for record in self._members.records.values()]

    async def take_incoming(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        certificate: bytes,
        on_known: Callable[[], None],
    ) -> None:
        """Run a link that was dialled from outside to its end; TLS let nobody in who shows no member's certificate."""
        claimed = self._members.find_member(certificate)
        former = self._members.find_former(certificate)
        try:
            if former is not None:
                await close_socket(socket, _say_farewell(former))
                return
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
        for record in self._members.records.values():
            key = record.address.key
            is_awaited = key not in self._links and not self._dials(key)
            if is_awaited and self._get_ban_s(key) == 0:
                record.note_error(f"not connected; somebody at {address} was refused: {reason}")

    async def close(self) -> None:
        """End every link, and take no more."""
        self._is_closing = True
        for farewell in self._farewells.values():
            farewell.cancel()
        for link in self._links.values():
            link.end("the node is stopping")
        if self._running:
            await asyncio.wait(self._running)
        for dialer in self._dialers.values():
            dialer.cancel()

    def on_frame(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Pass on what arrived."""
        self._handlers.on_message(peer, channel, payload)

    async def on_question(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Pass on a question."""
        return await self._handlers.on_request(peer, kind, payload)

    def on_malformed(self, peer: bytes, reason: str) -> None:
        """Count nonsense on a link."""
        self.penalize(peer, MALFORMED_POINTS, reason)

    def _dials(self, peer: bytes) -> bool:
        return self._settings.dialling.is_own(self._settings.own.key, peer)

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
                    socket,
                    own,
                    settings.signing_key,
                    self._members.known,
                    expected,
                    certificates,
                    settings.dialling,
                )
        except TimeoutError:
            raise HandshakeError(f"no handshake within {settings.timing.handshake_s:g} s") from None
        if self._is_closing:
            raise HandshakeError("the node is stopping")
        record = self._members.records.get(peer.key)
        if record is None:
            raise HandshakeError(_say_farewell(peer))
        on_known()
        link = Connection(socket, peer, self, settings.limits)
        task = self._tasks.create_task(self._run_link(socket, link, record))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task])

    async def _run_link(self, socket: WebSocket, link: Connection, record: PeerRecord) -> None:
        """Run an authenticated link; it replaces an older one of the same member, which is half dead."""
        key = link.peer.key
        if key not in self._members.known:
            link.end(_say_farewell(link.peer))  # dismissed since the handshake
        older = self._links.get(key)
        if older is not None:
            older.end("replaced by a newer link")
            self._note_change(record, is_connected=False, reason="replaced by a newer link")
        self._links[key] = link
        self._note_change(record, is_connected=True, reason="")
        reason = "the node is stopping"
        try:
            reason = await link.run()
        finally:
            record = self._members.records.get(key, record)
            record.bytes_in += link.bytes_in
            record.bytes_out += link.bytes_out
            record.dropped += link.outbox.dropped
            if self._links.get(key) is link:
                del self._links[key]
                self._note_change(record, is_connected=False, reason=reason)
            await close_socket(socket, reason)

    def _note_change(self, record: PeerRecord, *, is_connected: bool, reason: str) -> None:
        peer = record.address
        record.changed_s = self._loop.time()
        record.note_error(reason)
        if is_connected:
            log.info("peer_connected", peer=peer.name)
        else:
            log.info("peer_lost", peer=peer.name, reason=record.last_error)
        self._handlers.on_peer_change(peer.key, connected=is_connected)

    def _note_failure(self, peer: bytes, reason: str) -> None:
        """Remember why no link was established; each reason is logged once, not at every try."""
        record = self._note_error(peer, reason)
        if record is not None:
            log.warning("handshake_refused", peer=record.address.name, reason=reason)

    def _note_absence(self, peer: bytes, reason: str) -> None:
        """Remember that a member is not there: it is starting, or it is down, which ``status`` tells."""
        record = self._note_error(peer, reason)
        if record is not None:
            log.info("peer_unreachable", peer=record.address.name, reason=reason)

    def _note_error(self, peer: bytes, reason: str) -> PeerRecord | None:
        """Return the record of a member of whom this is news."""
        record = self._members.records.get(peer)
        if record is None:
            return None  # it is a member no more
        before = record.last_error
        record.note_error(reason)
        return None if record.last_error == before else record

    def _get_ban_s(self, peer: bytes) -> float:
        record = self._members.records.get(peer)
        return 0.0 if record is None else record.get_ban_s(self._loop.time())

    def _welcome(self, peer: PeerAddress) -> None:
        """Begin with a new member; one that returns within its farewell keeps its link."""
        farewell = self._farewells.pop(peer.key, None)
        if farewell is not None:
            farewell.cancel()
        if peer.key in self._links:
            self._members.records[peer.key].note_error("")
        if not peer.host and self._dials(peer.key):
            self._members.records[peer.key].note_error(
                "its address is not known; add it to [[peers]] of config.toml"
            )
        if not is_certificate_sound(peer.tls_certificate):
            self._members.records[peer.key].note_error(
                "its certificate is none; the validators must replace or remove it"
            )

    def _dismiss(self, peer: PeerAddress) -> None:
        """End with a former member: a try to dial it at once, a link after the farewell."""
        link = self._links.get(peer.key)
        if link is not None:
            self._farewells[peer.key] = self._loop.call_later(
                self._settings.timing.farewell_s, self._end_farewell, link
            )
            return
        dialer = self._dialers.pop(peer.key, None)
        if dialer is not None:
            dialer.cancel()

    def _end_farewell(self, link: Connection) -> None:
        self._farewells.pop(link.peer.key, None)
        link.end(_say_farewell(link.peer))

    def _start_dialer(self, key: bytes) -> None:
        dialer = Dialer(
            partial(self._members.known.get, key),
            lambda: self._pins.dialling,
            self._settings.timing,
            self._take_outgoing,
            partial(self._note_failure, key),
            partial(self._note_absence, key),
            partial(self._get_ban_s, key),
        )
        task = self._tasks.create_task(dialer.run())
        self._dialers[key] = task
        task.add_done_callback(lambda _: self._forget_dialer(key, task))

    def _forget_dialer(self, key: bytes, task: asyncio.Task[None]) -> None:
        if self._dialers.get(key) is task:
            del self._dialers[key]

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


def _say_farewell(peer: PeerAddress) -> str:
    return f"{peer.name} is no member any more"
