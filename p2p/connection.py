"""One link to one member: a websocket, an outbox, and the questions open on it."""

import asyncio
import contextlib
import os
import socket as sockets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp import web

from p2p.frames import Channel, FrameError, decode_frames, encode_frame
from p2p.gossip import Outbox
from p2p.handshake import HandshakeError, Hello, check_hello, check_proof, decode_hello, sign_hello
from p2p.pace import (
    ANSWER_COST_S,
    ANSWERS_BURST_S,
    ANSWERS_SHARE,
    BREATH_S,
    FRAMES_PER_LOOK,
    SHARE,
    Pace,
)
from p2p.peers import Dialling, PeerAddress
from p2p.transfer import (
    ANSWER_BYTES_MAX,
    ANSWER_TIMEOUT_S,
    ANSWERS_RUNNING_MAX,
    ANSWERS_WAITING_MAX,
    RequestRefused,
    Requests,
    decode_request,
    encode_answer,
    encode_refusal,
)
from primitives.encoding import encode
from primitives.ids import Digest
from primitives.signing import SecretKey

CLOSE_S = 0.5
"""For saying why a link ends; a peer that does not listen is cut off after it."""

CLOSE_CODE = 4000
"""RFC 6455, section 7.4.2: codes from 4000 are the application's. The reason says more than a number."""

CLOSE_REASON_BYTES_MAX = 120
"""RFC 6455, section 5.5: a control frame has at most 125 bytes, two of them for the code."""

WRITE_BUFFER_BYTES = 64 * 1024
"""What may wait below the outbox, and again in the kernel: there nothing urgent overtakes any more."""

ANSWER_QUEUE_BYTES = 256 * 1024
"""An answer waits for this to leave before its next part is queued, so that answers never fill the outbox."""

WebSocket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What one link may take of this node: shares of a core for reading and for answering, and answers at a time."""

    read_share: float = SHARE
    answers_share: float = ANSWERS_SHARE
    answers_running_max: int = ANSWERS_RUNNING_MAX


DEFAULT_LIMITS = LinkLimits()


class LinkEvents(Protocol):
    """Who hears what arrives on a link. What these raise, besides RequestRefused, is a bug and ends the network."""

    def on_frame(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """A consensus message or a transaction arrived."""

    async def on_question(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """A question arrived; raises RequestRefused."""

    def on_malformed(self, peer: bytes, reason: str) -> None:
        """The peer sent what no correct member sends; the link is about to end."""


class Connection:
    """An authenticated link. ``run`` ends when it breaks or after ``end``; made inside a running event loop."""

    def __init__(
        self, socket: WebSocket, peer: PeerAddress, events: LinkEvents, limits: LinkLimits = DEFAULT_LIMITS
    ) -> None:
        loop = asyncio.get_running_loop()
        self.peer = peer
        self.outbox = Outbox()
        self.requests = Requests(lambda payload: self.send(Channel.REQUEST, payload))
        self.bytes_in = 0
        self.bytes_out = 0
        self._loop = loop
        self._socket = socket
        self._events = events
        self._ended: asyncio.Future[str] = loop.create_future()
        self._waker: asyncio.Future[None] | None = None
        self._is_pausing = False
        self._has_room = asyncio.Event()
        self._pace = Pace(loop.time(), limits.read_share)
        self._answering = Pace(loop.time(), limits.answers_share, ANSWERS_BURST_S)
        self._used_s = 0.0
        self._running = asyncio.Semaphore(limits.answers_running_max)
        self._answers: set[asyncio.Task[None]] = set()

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a payload; False when the link has ended or one of this channel had to be dropped.

        Raises:
            FrameError: the payload is larger than a frame.

        """
        return self.put_frame(channel, encode_frame(channel, payload))

    def put_frame(self, channel: Channel, frame: bytes) -> bool:
        """Queue a frame that is encoded already; as ``send``."""
        if self._ended.done():
            return False
        is_kept = self.outbox.put_frame(channel, frame)
        if self._waker is not None and (
            not self._is_pausing or channel is not Channel.TRANSACTIONS or self.outbox.has_enough_gossip()
        ):
            self._wake()
        return is_kept

    def charge(self, cost_s: float) -> None:
        """Take from the peer's share of the event loop."""
        self._pace.spend(cost_s, self._loop.time())

    def end(self, reason: str) -> None:
        """Make ``run`` end soon; the first reason counts. Nothing is sent or passed on after this."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def run(self) -> str:
        """Send, receive and answer until the link is gone or ended; return the reason. The socket is left to close."""
        reason = "the node is stopping"
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._read(tasks)), tasks.create_task(self._write())]
                reason = await self._ended
                for task in [*running, *self._answers]:
                    task.cancel()
        finally:
            self.end(reason)
            self.requests.fail_all(f"the link ended: {reason}")
        return reason

    async def _write(self) -> None:
        try:
            while True:
                delay_s = self.outbox.compute_delay_s(self._loop.time())
                if delay_s is None or delay_s > 0:
                    await self._sleep(delay_s)
                    continue
                message = self.outbox.take(self._loop.time())
                self.bytes_out += len(message)
                await self._socket.send_bytes(message)
                if self.outbox.get_queued_bytes(Channel.RESPONSE) < ANSWER_QUEUE_BYTES:
                    self._has_room.set()
        except (OSError, aiohttp.ClientError, RuntimeError) as error:
            self.end(f"the link broke: {error}")

    async def _sleep(self, delay_s: float | None) -> None:
        """Wait until ``put_frame`` wakes: on any frame when None, else on an urgent one, for ``delay_s`` at most."""
        self._waker = self._loop.create_future()
        self._is_pausing = delay_s is not None
        timer = None if delay_s is None else self._loop.call_later(delay_s, self._wake)
        try:
            await self._waker
        finally:
            self._waker = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        waker, self._waker = self._waker, None
        if waker is not None and not waker.done():
            waker.set_result(None)

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        while not self._ended.done():
            try:
                message = await self._socket.receive()
            except (OSError, aiohttp.ClientError, RuntimeError) as error:
                # It answers pings by itself: whoever froze and thaws answers one of a peer that gave the link up.
                self.end(f"the link broke: {error}")
                return
            match message.type:
                case aiohttp.WSMsgType.BINARY:
                    self.bytes_in += len(message.data)
                    await self._take(message.data, tasks)
                case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    self.end(_describe_close(message))
                case aiohttp.WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                    self._end_malformed(str(message.data))
                case aiohttp.WSMsgType.ERROR:
                    self.end(f"the link broke: {message.data}")
                case _:
                    self._end_malformed("a websocket message that is not binary")

    async def _take(self, message: bytes, tasks: asyncio.TaskGroup) -> None:
        """Pass on what a message holds, at the peer's pace."""
        try:
            frames = decode_frames(message)
        except FrameError as error:
            self._end_malformed(str(error))
            return
        peer, on_frame = self.peer.key, self._events.on_frame
        for start in range(0, len(frames), FRAMES_PER_LOOK):
            began_s = time.thread_time()
            for channel, payload in frames[start : start + FRAMES_PER_LOOK]:
                if self._ended.done():
                    return  # what was just taken got the peer banned
                if channel is Channel.CONSENSUS or channel is Channel.TRANSACTIONS:
                    on_frame(peer, channel, payload)
                else:
                    self._exchange(channel, payload, tasks)
            await self._rest(time.thread_time() - began_s)

    async def _rest(self, used_s: float) -> None:
        """Wait for as long as the peer's share demands, or let the others be heard."""
        pause_s = self._pace.spend(used_s, self._loop.time())
        self._used_s += used_s
        if pause_s > 0 or self._used_s >= BREATH_S:
            self._used_s = 0.0
            await asyncio.sleep(pause_s)

    def _exchange(self, channel: Channel, payload: bytes, tasks: asyncio.TaskGroup) -> None:
        try:
            if channel is Channel.RESPONSE:
                self.requests.on_response(payload)
                return
            number, kind, content = decode_request(payload)
        except FrameError as error:
            self._end_malformed(str(error))
            return
        if len(self._answers) >= ANSWERS_WAITING_MAX:
            self.send(Channel.RESPONSE, encode_refusal(number, "too many questions are open: ask later"))
            return
        task = tasks.create_task(self._answer(number, kind, content))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, number: int, kind: int, content: bytes) -> None:
        async with self._running:
            try:
                await asyncio.sleep(self._answering.spend(0.0, self._loop.time()))
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    began_s = time.thread_time()
                    answer = await self._events.on_question(self.peer.key, kind, content)
                    used_s = max(ANSWER_COST_S, time.thread_time() - began_s)
                    self._answering.spend(used_s, self._loop.time())
            except RequestRefused as error:
                self.send(Channel.RESPONSE, encode_refusal(number, str(error)))
                return
            except TimeoutError:
                self.send(Channel.RESPONSE, encode_refusal(number, f"no answer in {ANSWER_TIMEOUT_S:g} s"))
                return
            if len(answer) > ANSWER_BYTES_MAX:
                self.send(Channel.RESPONSE, encode_refusal(number, "the answer is too large: ask for less"))
                return
            for part in encode_answer(number, answer):
                while self.outbox.get_queued_bytes(Channel.RESPONSE) >= ANSWER_QUEUE_BYTES:
                    self._has_room.clear()
                    await self._has_room.wait()
                self.send(Channel.RESPONSE, part)

    def _end_malformed(self, reason: str) -> None:
        if not self._ended.done():
            self._events.on_malformed(self.peer.key, reason)
            self.end(f"the peer sent nonsense: {reason}")


async def shake_hands(
    socket: WebSocket,
    own: Hello,
    key: SecretKey,
    known: Mapping[bytes, PeerAddress],
    expected: PeerAddress | None,
    certificates: tuple[bytes, bytes],
    dialling: Dialling = Dialling.SMALLER_KEY,
) -> PeerAddress:
    """Return who is at the other end; ``certificates`` are (own, presented), ``expected`` is whom this side dialled.

    Raises:
        HandshakeError: nobody this node may talk to; one line says why.

    """
    genesis_hash = Digest(own.genesis_hash)
    try:
        await socket.send_bytes(encode(own))
        other = decode_hello(await _receive(socket))
        peer = check_hello(own, other, certificates[1], known, expected, dialling)
        await socket.send_bytes(sign_hello(key, genesis_hash, own, other, certificates))
        check_proof(await _receive(socket), genesis_hash, own, other, certificates)
    except (OSError, aiohttp.ClientError, RuntimeError) as error:
        raise HandshakeError(f"the link broke during the handshake: {error}") from None
    return peer


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    match message.type:
        case aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        case aiohttp.WSMsgType.CLOSE if message.extra:
            raise HandshakeError(f"the peer refused: {message.extra}")
        case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
            raise HandshakeError("the peer closed the link during the handshake; its log says why")
        case aiohttp.WSMsgType.ERROR:
            raise HandshakeError(f"the link broke during the handshake: {message.data}")
        case _:
            raise HandshakeError("the other end did not say hello: a websocket message that is not binary")


async def close_socket(socket: WebSocket, reason: str) -> None:
    """Say to the other end why, and close; never waits for longer than CLOSE_S."""
    text = reason.encode("ascii", "replace")[:CLOSE_REASON_BYTES_MAX]
    with contextlib.suppress(OSError, aiohttp.ClientError, RuntimeError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=CLOSE_CODE, message=text)


def tune(transport: asyncio.Transport) -> None:
    """Send small messages at once, and keep little below the outbox, where agreement cannot overtake gossip."""
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    descriptor = transport.get_extra_info("socket").fileno()
    with contextlib.suppress(OSError), sockets.socket(fileno=os.dup(descriptor)) as socket:
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, WRITE_BUFFER_BYTES)


def _describe_close(message: aiohttp.WSMessage) -> str:
    if message.type is aiohttp.WSMsgType.CLOSE and message.extra:
        return f"the peer closed the link: {message.extra}"
    return "the peer closed the link"
