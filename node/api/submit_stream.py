"""The fast way of a transaction: a websocket on which a client submits, and hears the proofs of what it submitted.

Each message of the client is the array of the batch route. What the node says is in ``node.api.stream_messages``. The
stream has a place in the chain: it walks from one certified block to the next, and says what of each is the client's.
So nothing piles up for a client that reads slowly but its own transactions, which are bounded.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from node.api.door import BODY_OFFENCE, Door, find_refusal
from node.api.errors import ApiProblem
from node.api.fairness import Fairness
from node.api.requests import BodyReader, decode_array
from node.api.route import Answer, Route
from node.api.server import HEADERS
from node.api.services import Services
from node.api.stream_messages import Forgotten, Proven, ProvenEntry, RefusedEntry, Taken
from node.api.stream_places import StreamPlaces
from node.queries import Queries
from node.receipts import ProvenBlock
from primitives.encoding import Struct, encode
from primitives.hashing import compute_transaction_id
from primitives.ids import Digest, Height

PATH = "/v1/stream/transactions"
MESSAGE_BYTES_MAX = 256 * 1024
"""A thousand readings. A message is in memory before it is looked at, so that many streams must not bring megabytes."""

IN_FLIGHT_MAX = 8
"""Messages of one stream that are worked on; the next is read when one of them was answered."""

AWAITED_MAX = 20_000
"""Transactions of one stream without a proof, as many as a pool has room for: a message beyond is refused as BUSY."""

AWAITED_IN_ALL_MAX = 100_000
"""Of all streams together: 12 MB. The same transactions may be known on many of them."""

WAITING_BYTES_MAX = 1024 * 1024
"""Of answers that the client has not taken: beyond, the stream walks no further until it does."""

SEND_S = 10.0
"""For one message to leave: 100 kB at 80 kbit/s. Who takes longer is cut off, and sends the same again elsewhere."""

HEARTBEAT_S = 20.0
"""A client that is silent so long is pinged, and gone if nothing comes for half of it."""

IDLE_S = 300.0
"""A stream on which nothing was submitted and nothing awaited for so long is closed: its place is somebody else's."""

FORGET_BLOCKS = 16
"""Blocks after which a transaction that is not executed is looked for in the pool, and then again after as many."""

PROOFS_PER_MESSAGE = 250
"""100 kB with certificates of four validators."""

LEFT, TOO_SLOW = "left", "TOO_SLOW"

CLOSE_S = 1.0
"""How long a client may take to answer a close frame."""

PING_S = 0.0001
"""What a ping counts for: several times its work, so that nobody fills the loop with them."""

log = structlog.get_logger("gridbft.api")


class AwaitedTotal:
    """How many transactions all streams together wait for."""

    def __init__(self) -> None:
        self.count = 0


class SubmitStreamRoutes:
    """The address of the stream."""

    def __init__(
        self, services: Services, bodies: BodyReader, door: Door, fairness: Fairness, places: StreamPlaces
    ) -> None:
        self._queries = services.queries
        self._bodies = bodies
        self._door = door
        self._fairness = fairness
        self._places = places
        self._total = AwaitedTotal()

    def get_routes(self) -> list[Route]:
        """Return the address."""
        return [
            Route(
                *("GET", PATH, self.stream),
                answers={101: Answer("the stream begins", "")},
                problems=("UPGRADE_NEEDED", "ORIGIN_NOT_ALLOWED", "TOO_MANY_STREAMS", "TOO_MANY_INVALID"),
            )
        ]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Take transactions over a websocket, and tell what became of them with proofs, until it is closed."""
        socket = web.WebSocketResponse(
            autoping=False,
            compress=False,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE_BYTES_MAX,
            timeout=CLOSE_S,
        )
        if not socket.can_prepare(request).ok:
            raise ApiProblem(426, "UPGRADE_NEEDED", f"{PATH} is a websocket: ask for an upgrade (RFC 6455)")
        with self._places.enter(request) as address:
            self._door.check(address)
            socket.headers.update(HEADERS)
            await socket.prepare(request)
            parts = (self._queries, self._bodies, self._door, self._fairness, self._total)
            stream = SubmitStream(socket, request.transport, address, *parts)
            await stream.run()
        return socket


class StreamEnded(Exception):  # noqa: N818  # it is how a stream ends, and most often the client's doing
    """The stream must end; the message is the name that its close frame gives."""


class SubmitStream:
    """One open stream."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        address: str,
        queries: Queries,
        bodies: BodyReader,
        door: Door,
        fairness: Fairness,
        total: "AwaitedTotal",
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._address = address
        self._queries = queries
        self._bodies = bodies
        self._door = door
        self._fairness = fairness
        self._total = total
        self._awaited: dict[bytes, int] = {}
        self._outgoing: deque[bytes] = deque()
        self._outgoing_bytes = 0
        self._has_outgoing = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._in_flight = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def run(self) -> None:
        """Serve until the client goes, or has to."""
        height = self._queries.certified_height
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._walk(height))
                await self._receive(tasks)
        except* StreamEnded as group:
            await self._end(str(group.exceptions[0]))
        except* ConnectionError:
            pass  # the client went in the middle of a message
        finally:
            self._total.count -= len(self._awaited)
            self._awaited.clear()

    async def _receive(self, tasks: asyncio.TaskGroup) -> None:
        """Take messages until the client closes; each is worked on beside the next, as many as may be."""
        number = 0
        while True:
            try:
                message = await self._socket.receive(timeout=IDLE_S)
            except TimeoutError:
                if self._awaited:
                    continue
                raise StreamEnded("IDLE") from None
            match message.type:
                case WSMsgType.BINARY:
                    await self._in_flight.acquire()
                    tasks.create_task(self._take(number, message.data))
                    number += 1
                case WSMsgType.PING:
                    await self._fairness.enter(self._address)
                    self._fairness.spend(self._address, PING_S)
                    await self._socket.pong(message.data)
                case WSMsgType.PONG:
                    self._fairness.spend(self._address, PING_S)
                case WSMsgType.TEXT:
                    raise StreamEnded("TYPE_UNSUPPORTED")
                case _:
                    raise StreamEnded(LEFT)

    async def _end(self, reason: str) -> None:
        """Say why, if the client is there to hear it."""
        if reason == LEFT:
            return
        log.info("stream_ended", address=self._address, reason=reason)
        if reason == TOO_SLOW:
            if self._transport is not None:
                self._transport.abort()  # a close frame would stand behind all that was not taken
            return
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_S):
                while self._outgoing:
                    await self._socket.send_bytes(self._outgoing.popleft())
                await self._socket.close(
                    code=WSCloseCode.POLICY_VIOLATION, message=reason.encode(), drain=False
                )

    async def _take(self, number: int, body: bytes) -> None:
        """Submit what a message carries, and answer it."""
        try:
            with self._bodies.hold(self._address, len(body)) as has_room:
                if not has_room:
                    await self._say(Taken(number, (), "BUSY", "too many requests with a body at this moment"))
                    return
                await self._answer(number, body)
        finally:
            self._in_flight.release()

    async def _answer(self, number: int, body: bytes) -> None:
        try:
            self._door.check(self._address)
            raws = decode_array(body, "transactions")
        except ApiProblem as problem:
            if problem.name == "BODY_MALFORMED":
                self._door.note(self._address, BODY_OFFENCE)
            await self._say(Taken(number, (), problem.name, problem.detail))
            raise StreamEnded(problem.name) from None
        names = [compute_transaction_id(raw) for raw in raws]
        room = min(AWAITED_MAX - len(self._awaited), AWAITED_IN_ALL_MAX - self._total.count)
        if len(names) > room:
            detail = f"{len(self._awaited)} of this stream wait for a proof; send this message again later"
            await self._say(Taken(number, (), "BUSY", detail))
            return
        height = self._queries.certified_height
        fresh: dict[bytes, int] = {name: height for name in names if name not in self._awaited}
        self._awaited.update(fresh)  # before they are submitted: a block may be quicker
        self._total.count += len(fresh)
        outcomes = await self._fairness.run(self._address, lambda: self._door.submit(self._address, raws))
        refused = []
        for index, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
            refusal = find_refusal(outcome)
            if refusal is not None:
                self._settle(name)
                refused.append(RefusedEntry(index, refusal.error, refusal.detail))
        await self._say(Taken(number, tuple(refused), "", ""))
        await self._prove_old(outcome.id for outcome in outcomes if outcome.status == "known")

    async def _prove_old(self, names: Iterable[bytes]) -> None:
        """Tell of what was executed before it came on this stream: no block to come has it."""
        places: dict[Height, list[int]] = {}
        for name in names:
            found = self._queries.find_transaction(Digest(name)) if name in self._awaited else None
            if found is not None and found.certified:
                places.setdefault(found.height, []).append(found.index)
        for height, indexes in places.items():
            block = self._queries.prove_block(height)
            if block is not None:
                await self._prove(block, indexes)

    async def _walk(self, height: Height) -> None:
        """Go from one certified block to the next, and tell what of each was submitted here."""
        while True:
            await self._queries.stream_signal.wait_beyond(height, IDLE_S)
            certified = self._queries.certified_height
            while height < certified:
                height = Height(height + 1)
                if self._awaited:
                    await self._tell_block(height)
            await self._forget(height)

    async def _tell_block(self, height: Height) -> None:
        await asyncio.sleep(0)  # many streams hear of a block together; votes come in between
        block = self._queries.prove_block(height)
        if block is not None:
            places = block.places
            found = self._awaited.keys() & places.keys()
            await self._prove(block, sorted(places[name] for name in found))

    async def _prove(self, block: ProvenBlock, indexes: Sequence[int]) -> None:
        """Tell of the receipts at these places of a block, once each."""
        for start in range(0, len(indexes), PROOFS_PER_MESSAGE):
            part = indexes[start : start + PROOFS_PER_MESSAGE]
            entries = tuple(ProvenEntry(block.receipts[index], block.prove(index)) for index in part)
            for entry in entries:
                self._settle(entry.receipt.transaction_id)
            await self._say(Proven(block.certificate, block.headers, entries))

    def _settle(self, name: bytes) -> None:
        """Wait for this one no more."""
        if self._awaited.pop(name, None) is not None:
            self._total.count -= 1

    async def _forget(self, height: Height) -> None:
        """Let go of what waits no more (it expired, or made room for others), or cannot be proven here."""
        old, gone = [], []
        for name, since in self._awaited.items():
            if since + FORGET_BLOCKS > height:
                break
            old.append(name)
        for name in old:
            self._settle(name)
            found = self._queries.find_transaction(Digest(name))
            if self._queries.is_pending(Digest(name)) or (found is not None and not found.certified):
                self._awaited[name] = height  # looked at again after as many blocks
                self._total.count += 1
            else:
                gone.append(name)
        if gone:
            await self._say(Forgotten(tuple(gone)))

    async def _say(self, said: Struct) -> None:
        """Queue a message, when the client has taken enough of those before it."""
        await self._has_room.wait()
        data = encode(said)
        self._outgoing.append(data)
        self._outgoing_bytes += len(data)
        self._has_outgoing.set()
        if self._outgoing_bytes > WAITING_BYTES_MAX:
            self._has_room.clear()

    async def _send(self) -> None:
        """Send what is queued; a client that does not take it is cut off."""
        while True:
            await self._has_outgoing.wait()
            while self._outgoing:
                data = self._outgoing.popleft()
                self._outgoing_bytes -= len(data)
                try:
                    async with asyncio.timeout(SEND_S):
                        await self._socket.send_bytes(data)
                except TimeoutError:
                    raise StreamEnded(TOO_SLOW) from None
                if self._outgoing_bytes <= WAITING_BYTES_MAX:
                    self._has_room.set()
            self._has_outgoing.clear()
