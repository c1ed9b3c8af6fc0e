"""The fast way to the validators: transactions over a websocket, and proofs as soon as a block is certified.

The outcomes are those of ``meter.client.Client``, and nothing more is believed: every receipt is verified against the
genesis. When the socket dies, or brings nothing, the same bytes go to the next validator; what a validator refuses to
take goes the usual way, which asks all of them. A transaction is applied at most once, whoever is asked how often.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from time import monotonic

import aiohttp
import msgspec

from consensus.messages import Certificate
from meter.answers import AnswerError
from meter.client import Client
from meter.handovers import Follower
from meter.outcomes import Outcome, OutcomeUnknown, build_proven_outcome
from meter.proofs import (
    CertifiedHeight,
    CertifiedReceipt,
    ReceiptVerifier,
    TrustAnchor,
    check_receipt_link,
)
from meter.transport import ANSWER_BYTES_MAX, HttpTransport, open_session
from meter.validators import (
    ClientError,
    ClientSettings,
    Request,
    Validator,
    ValidatorFailedError,
    Validators,
)
from primitives.encoding import Struct
from primitives.header import BlockHeader
from primitives.ids import Digest
from primitives.limits import BATCH_TRANSACTIONS_MAX
from primitives.merkle import MerkleProof
from primitives.text import to_line
from vm.receipt import Receipt, ReceiptProof
from vm.transaction import SealedTransaction

PATH = "/v1/stream/transactions"
MESSAGE_BYTES_MAX = 240 * 1024
"""A validator takes 256 KiB in one message."""

HEARTBEAT_S = 10.0
"""A validator that is silent so long is pinged, and given up if nothing comes for half of it."""

OPEN_MESSAGES_MAX = 8
"""Messages on their way without an answer: a validator works on as many."""


class RefusedEntry(Struct, frozen=True):
    """A transaction of a message that was not taken."""

    index: int
    error: str
    detail: str


class Taken(Struct, frozen=True, tag=0):
    """The answer to a message: all but the ``refused`` were taken; with an ``error`` none was."""

    number: int
    refused: tuple[RefusedEntry, ...]
    error: str
    detail: str


class ProvenEntry(Struct, frozen=True):
    """A receipt and its place under the first header of its message."""

    receipt: Receipt
    inclusion: MerkleProof


class Proven(Struct, frozen=True, tag=1):
    """Receipts of one block, and what proves all of them."""

    certificate: Certificate
    headers: tuple[BlockHeader, ...]
    receipts: tuple[ProvenEntry, ...]


class Forgotten(Struct, frozen=True, tag=2):
    """Transactions that the validator took and does not know any more."""

    ids: tuple[bytes, ...]


_SAID = msgspec.msgpack.Decoder(Taken | Proven | Forgotten)


class Missed(Enum):
    """Why a stream proves nothing of a transaction."""

    NO_ROOM = "no room"
    """The validator has no room for it, or let go of it: another one may take it."""
    REFUSED = "refused"
    """The validator would not take it: all of them have to be asked."""


Told = Outcome | Missed


@asynccontextmanager
async def open_stream_client(
    urls: Sequence[str], anchor: TrustAnchor, settings: ClientSettings | None = None
) -> AsyncIterator["StreamClient"]:
    """Open a client that submits over websockets to the validators at these addresses, preferred first.

    Raises:
        AddressError: no address, too many, or one that is not http(s)://HOST:PORT.

    """
    patience = settings or ClientSettings()
    async with open_session(patience) as session:
        transport = HttpTransport(session, patience.request_timeout_s)
        validators = Validators(transport, urls, anchor.genesis_hash.hex(), patience)
        client = StreamClient(session, anchor, validators)
        try:
            yield client
        finally:
            await client.close()


class StreamClient:
    """The door to the network over one websocket at a time; several tasks may use it at once."""

    def __init__(self, session: aiohttp.ClientSession, anchor: TrustAnchor, validators: Validators) -> None:
        """Take the session, what is believed beforehand, and whom to ask."""
        self._session = session
        self._validators = validators
        self._client = Client(anchor, validators)
        self._verifier = ReceiptVerifier(anchor)
        self._follower = Follower(self._verifier, validators)
        self._opening = asyncio.Lock()
        self._link: _Link | None = None

    async def close(self) -> None:
        """Close the socket."""
        if self._link is not None:
            await self._link.close()

    @property
    def distrusted(self) -> dict[str, str]:
        """Return the validators that showed something forged or another genesis, with what it was."""
        return self._client.distrusted

    async def get_certified_height(self) -> CertifiedHeight:
        """Return what ``Client.get_certified_height`` returns."""
        return await self._client.get_certified_height()

    async def wait_many(self, names: Sequence[Digest], timeout_s: float) -> dict[bytes, Outcome]:
        """Return what ``Client.wait_many`` returns."""
        return await self._client.wait_many(names, timeout_s)

    async def deliver_many(
        self, transactions: Sequence[SealedTransaction], timeout_s: float
    ) -> list[Outcome]:
        """Submit transactions and wait until each has a verified result, at most ``timeout_s``."""
        end_s = monotonic() + timeout_s
        known: dict[bytes, Outcome] = {}
        pending = list({transaction.id: transaction for transaction in transactions}.values())
        refused: list[SealedTransaction] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for _ in range(len(self._validators.members)):
                    if not pending:
                        break
                    told = await self._try_link(pending)
                    known.update((name, each) for name, each in told.items() if not isinstance(each, Missed))
                    refused += [each for each in pending if told.get(each.id) is Missed.REFUSED]
                    pending = [
                        each for each in pending if told.get(each.id, Missed.NO_ROOM) is Missed.NO_ROOM
                    ]
        left_s = end_s - monotonic()
        if left_s > 0 and (pending or refused):
            outcomes = await self._client.deliver_many(pending + refused, left_s)
            known.update((outcome.transaction_id, outcome) for outcome in outcomes)
        reason = "no certificate came in time; sending the same bytes again is safe"
        return [known.get(each.id) or OutcomeUnknown(each.id, reason) for each in transactions]

    async def _try_link(self, pending: list[SealedTransaction]) -> dict[bytes, Told]:
        """Return what one validator tells of these; what is missing has to go another way."""
        link = await self._get_link()
        if link is None:
            return {}
        told = await link.deliver(pending, self._validators.settings.resend_after_s)
        is_missing = any(told.get(each.id, Missed.NO_ROOM) is Missed.NO_ROOM for each in pending)
        if is_missing and self._link is link:
            self._validators.prefer_next()
        return told

    async def _get_link(self) -> "_Link | None":
        """Return a socket that lives, or None when nobody gives one now."""
        async with self._opening:
            preferred = self._validators.get_order()
            if self._link is not None and self._link.is_alive and self._link.validator in preferred[:1]:
                return self._link
            if self._link is not None:
                await self._link.close()
                self._link = None
            for validator in preferred:
                try:
                    self._link = await self._open(validator)
                except (ValidatorFailedError, ClientError):
                    continue
                return self._link
            return None

    async def _open(self, validator: Validator) -> "_Link":
        """Open a stream at a validator of this network.

        Raises:
            ValidatorFailedError: of no use now.

        """
        await self._validators.exchange(validator, Request("GET", "/livez"))
        try:
            async with asyncio.timeout(self._validators.settings.request_timeout_s):
                socket = await self._session.ws_connect(
                    validator.url + PATH, heartbeat=HEARTBEAT_S, max_msg_size=ANSWER_BYTES_MAX
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ValidatorFailedError(f"gave no stream: {to_line(str(error))}") from None
        return _Link(socket, validator, self)

    async def check(self, validator: Validator, proven: Proven) -> list[Outcome]:
        """Return the outcomes that a message proves.

        Raises:
            ValidatorFailedError: it proves nothing; the validator is not asked again if it showed something forged.

        """
        await self._follower.follow(proven.certificate.header.epoch, validator)
        problem = self._verifier.check_certificate(proven.certificate)
        outcomes: list[Outcome] = []
        for entry in proven.receipts:
            proof = ReceiptProof(entry.receipt, entry.inclusion, proven.headers)
            certified = CertifiedReceipt(proof, proven.certificate)
            problem = problem or check_receipt_link(Digest(entry.receipt.transaction_id), certified)
            if problem is not None:
                raise self._validators.distrust(validator, f"showed a forged proof: {problem}")
            outcomes.append(build_proven_outcome(certified))
        return outcomes


class _Link:
    """One socket: what is sent over it, and who waits for what comes back."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, validator: Validator, client: StreamClient
    ) -> None:
        self.validator = validator
        self._socket = socket
        self._client = client
        self._waiting: dict[bytes, list[_Delivery]] = {}
        self._sent: dict[int, tuple[bytes, ...]] = {}
        self._number = 0
        self._room = asyncio.Semaphore(OPEN_MESSAGES_MAX)
        self._ended = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    @property
    def is_alive(self) -> bool:
        """Tell whether something may still come."""
        return not self._ended.is_set()

    async def close(self) -> None:
        """Close the socket; whoever waits goes on without."""
        self._reading.cancel()
        self._end()
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(1.0):
                await self._socket.close()

    async def deliver(
        self, transactions: Sequence[SealedTransaction], patience_s: float
    ) -> dict[bytes, Told]:
        """Return what came of each; returns early when nothing more comes within ``patience_s``, or ever."""
        delivery = _Delivery(len(transactions))
        for each in transactions:
            self._waiting.setdefault(each.id, []).append(delivery)
        try:
            for part in split_by_size(transactions):
                async with asyncio.timeout(patience_s):
                    await self._send(part)
            while delivery.open and self.is_alive:
                delivery.changed.clear()
                async with asyncio.timeout(patience_s):
                    await delivery.changed.wait()
        except (TimeoutError, ConnectionError):
            pass  # what came before counts
        finally:
            for each in transactions:
                if each.id not in delivery.told:
                    self._waiting[each.id].remove(delivery)
                    if not self._waiting[each.id]:
                        del self._waiting[each.id]
        return delivery.told

    async def _send(self, part: Sequence[SealedTransaction]) -> None:
        await self._room.acquire()
        if not self.is_alive:
            raise ConnectionError("the stream has ended")
        self._sent[self._number] = tuple(each.id for each in part)
        self._number += 1
        await self._socket.send_bytes(msgspec.msgpack.encode([each.raw for each in part]))

    async def _read(self) -> None:
        """Take in what the validator says until it says no more, or something that no correct one says."""
        try:
            async for message in self._socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                await self._hear(decode_said(message.data))
        except (ValidatorFailedError, AnswerError, aiohttp.ClientError, OSError):
            pass  # the next one is asked
        finally:
            self._end()

    async def _hear(self, said: Taken | Proven | Forgotten) -> None:
        match said:
            case Taken():
                names = self._sent.pop(said.number, ())
                self._room.release()
                if said.error:
                    self._tell(names, Missed.NO_ROOM)
                for each in said.refused:
                    if 0 <= each.index < len(names):
                        self._tell(
                            [names[each.index]], Missed.NO_ROOM if each.error == "BUSY" else Missed.REFUSED
                        )
            case Proven():
                for outcome in await self._client.check(self.validator, said):
                    self._tell([outcome.transaction_id], outcome)
            case Forgotten():
                self._tell(said.ids, Missed.NO_ROOM)

    def _tell(self, names: Iterable[bytes], told: Told) -> None:
        for name in names:
            for delivery in self._waiting.pop(name, ()):
                delivery.tell(name, told)

    def _end(self) -> None:
        self._ended.set()
        self._tell(list(self._waiting), Missed.NO_ROOM)
        for _ in range(OPEN_MESSAGES_MAX):
            self._room.release()


class _Delivery:
    """What became of some transactions so far; ``open`` are those of which nothing came."""

    def __init__(self, count: int) -> None:
        self.open = count
        self.told: dict[bytes, Told] = {}
        self.changed = asyncio.Event()

    def tell(self, name: bytes, told: Told) -> None:
        """Take note of what became of one."""
        self.open -= 1
        self.told[name] = told
        self.changed.set()


def decode_said(data: bytes) -> Taken | Proven | Forgotten:
    """Return what a validator says on a stream: claims, until they are checked.

    Raises:
        AnswerError: no correct validator says that.

    """
    try:
        said: Taken | Proven | Forgotten = _SAID.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerError(" ".join(str(error).split())[:200]) from None
    return said


def split_by_size(transactions: Sequence[SealedTransaction]) -> Iterator[list[SealedTransaction]]:
    """Yield the transactions in parts that fit one message each."""
    part: list[SealedTransaction] = []
    size = 0
    for transaction in transactions:
        if part and (len(part) == BATCH_TRANSACTIONS_MAX or size + len(transaction.raw) > MESSAGE_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(transaction)
        size += len(transaction.raw) + 3
    if part:
        yield part
