"""One link to one member: a websocket, an outbox, and the questions open on it."""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
from aiohttp import web

from p2p.frames import Channel, FrameError, decode_frames
from p2p.gossip import Outbox
from p2p.handshake import (
    NONCE_BYTES,
    HandshakeError,
    Hello,
    check_hello,
    check_proof,
    decode_hello,
    sign_hello,
)
from p2p.peers import PeerAddress
from p2p.transfer import (
    ANSWERS_RUNNING_MAX,
    RequestRefused,
    Requests,
    decode_request,
    encode_response,
)
from primitives.encoding import encode
from primitives.ids import Digest
from primitives.signing import SecretKey

HANDSHAKE_TIMEOUT_S = 5.0
"""Two round trips on any link that can carry agreement; a half-open one is closed after it."""

CLOSE_TIMEOUT_S = 0.5
"""How long the other end may take to say goodbye before the link is cut."""

HEARTBEAT_S = 2.0
"""A websocket ping so often; a peer that answers none within half of it is gone."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


class LinkEvents(Protocol):
    """Who hears what arrives on a link."""

    def on_frame(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """A consensus message or a transaction arrived."""

    async def on_question(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """A question arrived; raises RequestRefused."""

    def on_malformed(self, peer: bytes, reason: str) -> None:
        """The peer sent what no correct member sends."""


class Connection:
    """An authenticated link; ``run`` ends when it breaks or is closed."""

    def __init__(self, socket: Socket, peer: PeerAddress, events: LinkEvents) -> None:
        self.peer = peer
        self.outbox = Outbox()
        self.requests = Requests(lambda payload: self.send(Channel.REQUEST, payload))
        self.bytes_in = 0
        self.bytes_out = 0
        self._socket = socket
        self._events = events
        self._has_work = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._closed = False
        self._reader: asyncio.Task[None] | None = None

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a frame; False when the link is closed or something had to be dropped."""
        if self._closed:
            return False
        self._has_work.set()
        return self.outbox.put(channel, payload)

    async def run(self) -> None:
        """Send, receive and answer until the link is gone; everything of it stops together."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._reader = tasks.create_task(self._read(tasks))
                writer = tasks.create_task(self._write())
                try:
                    await asyncio.wait([self._reader])
                finally:
                    for task in (self._reader, writer, *self._answers):
                        task.cancel()
        finally:
            self._closed = True
            self.requests.fail_all("the link broke")
            await self._socket.close()

    def abort(self) -> None:
        """End ``run`` soon, without a word to the other end."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()

    async def _write(self) -> None:
        try:
            while True:
                await self._has_work.wait()
                self._has_work.clear()
                while self.outbox:
                    message = self.outbox.take()
                    self.bytes_out += len(message)
                    await self._socket.send_bytes(message)
        except (ConnectionError, aiohttp.ClientError, RuntimeError):
            await self._socket.close()

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                self._events.on_malformed(self.peer.key, "a websocket message that is not binary")
                return
            self.bytes_in += len(message.data)
            try:
                for channel, payload in decode_frames(message.data):
                    self._dispatch(channel, payload, tasks)
            except (FrameError, ValueError) as error:
                self._events.on_malformed(self.peer.key, str(error))
                return

    def _dispatch(self, channel: Channel, payload: bytes, tasks: asyncio.TaskGroup) -> None:
        if channel is Channel.RESPONSE:
            self.requests.on_response(payload)
        elif channel is Channel.REQUEST:
            number, kind, content = decode_request(payload)
            if len(self._answers) < ANSWERS_RUNNING_MAX:
                answer = tasks.create_task(self._answer(number, kind, content))
                self._answers.add(answer)
                answer.add_done_callback(self._answers.discard)
        else:
            self._events.on_frame(self.peer.key, channel, payload)

    async def _answer(self, number: int, kind: int, content: bytes) -> None:
        try:
            answer = await self._events.on_question(self.peer.key, kind, content)
            self.send(Channel.RESPONSE, encode_response(number, answer, refused=False))
        except RequestRefused as error:
            self.send(Channel.RESPONSE, encode_response(number, str(error).encode(), refused=True))


async def shake_hands(
    socket: Socket,
    hello: Callable[[bytes], Hello],
    key: SecretKey,
    known: dict[bytes, PeerAddress],
    certificates: tuple[bytes, bytes],
) -> PeerAddress:
    """Return who is at the other end; ``certificates`` are (own, presented).

    Raises:
        HandshakeError: nobody this node may talk to, or too slow.

    """
    own = hello(secrets.token_bytes(NONCE_BYTES))
    genesis_hash = Digest(own.genesis_hash)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            await socket.send_bytes(encode(own))
            other = decode_hello(await _receive(socket.receive))
            peer = check_hello(own, other, certificates[1], known)
            await socket.send_bytes(sign_hello(key, genesis_hash, own, other, certificates))
            proof = await _receive(socket.receive)
            check_proof(proof, genesis_hash, own, other, certificates)
    except TimeoutError:
        raise HandshakeError(f"no handshake within {HANDSHAKE_TIMEOUT_S:g} s") from None
    except (ConnectionError, aiohttp.ClientError, RuntimeError) as error:
        raise HandshakeError(f"the link broke during the handshake: {error}") from None
    return peer


def get_presented_certificate(transport: asyncio.BaseTransport | None) -> bytes:
    """Return the certificate (DER) that the other end showed, or nothing."""
    tls: ssl.SSLObject | None = None if transport is None else transport.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    return certificate or b""


async def _receive(receive: Callable[[], Awaitable[aiohttp.WSMessage]]) -> bytes:
    message = await receive()
    if message.type is not aiohttp.WSMsgType.BINARY or not isinstance(message.data, bytes):
        raise HandshakeError("the other end closed the link during the handshake; its log says why")
    return message.data
