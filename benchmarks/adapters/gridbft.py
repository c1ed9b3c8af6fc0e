"""gridbft under load: each validator takes its share; blocks are believed by their certificates.

The client follows the chain at one validator. Of each certified block it checks the certificate against the genesis and
the receipts' root over all receipts: then every transaction of the block is confirmed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from benchmarks.harness.load import Adapter, LoadOrder, Outcome, Unit
from benchmarks.harness.network import rotate
from meter.outcomes import Committed, RefusedByNetwork, RefusedByNode
from meter.proofs import ReceiptVerifier, build_trust_anchor, read_certificate
from meter.stream import StreamClient, open_stream_client
from primitives.encoding import encode
from primitives.limits import BATCH_TRANSACTIONS_MAX
from primitives.merkle import compute_merkle_root
from vm.genesis import decode_genesis
from vm.receipt import Receipt, Rejection
from vm.transaction import decode_transaction

T = TypeVar("T")

WAIT_MS = 2000
RETRY_S = 0.05
"""After a validator refused or did not answer: the next one is asked."""
LOOK_S = 0.002
"""While everything is proven, between two looks whether something was sent: no question goes to a validator."""
ATTEMPTS_MAX = 400
CONNECTIONS_MAX = 400
"""To one validator: below what it takes from one address."""
TAKEN = frozenset({"accepted", "known"})
BUSY = frozenset({"BUSY", "TOO_MANY_CONNECTIONS", "TOO_MANY_REQUESTS"})
UNCONSUMED = frozenset(
    {
        Rejection.MALFORMED,
        Rejection.OTHER_CHAIN,
        Rejection.ACCOUNT_UNKNOWN,
        Rejection.KEY_NOT_CURRENT,
        Rejection.SUSPENDED,
        Rejection.EXPIRED,
        Rejection.NONCE_TOO_FAR,
        Rejection.NONCE_TOO_OLD,
        Rejection.NONCE_USED,
        Rejection.QUOTA_EXCEEDED,
    }
)
"""Refusals that leave the nonce unused (``vm/admission.py:check_account``), as the receipt then says."""


class _Submitted(msgspec.Struct, frozen=True):
    status: str
    error: str | None = None


class _Batch(msgspec.Struct, frozen=True):
    results: list[_Submitted]


class _Transaction(msgspec.Struct, frozen=True):
    id: str
    rejection: str | None = None


class _Block(msgspec.Struct, frozen=True):
    height: int
    transactions: list[_Transaction]
    certificate: bytes | None = None


class _Latest(msgspec.Struct, frozen=True):
    height: int


@asynccontextmanager
async def open_gridbft(order: LoadOrder, *, is_single: bool) -> AsyncIterator[Adapter]:
    """Open connections to the validators."""
    genesis = decode_genesis(await asyncio.to_thread(Path(order.genesis).read_bytes))
    verifier = ReceiptVerifier(build_trust_anchor(genesis))
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_MAX)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:
        adapter = _Gridbft(session, order.urls, verifier, is_single=is_single)
        await adapter.begin()
        yield adapter


@asynccontextmanager
async def open_gridbft_stream(order: LoadOrder) -> AsyncIterator[Adapter]:
    """Open a websocket to each validator; every receipt is verified by itself."""
    genesis = decode_genesis(await asyncio.to_thread(Path(order.genesis).read_bytes))
    anchor = build_trust_anchor(genesis)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(open_stream_client(rotate(order.urls, first), anchor))
            for first in range(len(order.urls))
        ]
        yield _Stream(clients, order.drain_s)


class _Stream:
    def __init__(self, clients: list[StreamClient], patience_s: float) -> None:
        self._clients = clients
        self._patience_s = patience_s
        self._turn = count()
        self._confirmed: asyncio.Queue[bytes] = asyncio.Queue()

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Send units to one validator after the other, and wait for their proofs."""
        client = self._clients[next(self._turn) % len(self._clients)]
        sealed = [decode_transaction(unit.body) for unit in units]
        refused = {}
        for outcome in await client.deliver_many(sealed, self._patience_s):
            if isinstance(outcome, Committed):
                self._confirmed.put_nowait(outcome.transaction_id)
            elif isinstance(outcome, RefusedByNetwork | RefusedByNode):
                refused[bytes(outcome.transaction_id)] = outcome.rejection
        return Outcome(refused)

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Tell what was proven."""
        while True:
            on_confirmed(await self._confirmed.get())


class _Gridbft:
    def __init__(
        self, session: aiohttp.ClientSession, urls: list[str], verifier: ReceiptVerifier, *, is_single: bool
    ) -> None:
        self._session = session
        self._urls = urls
        self._verifier = verifier
        self._is_single = is_single
        self._turn = count()
        self._height = 0
        self._newest = b""
        self._proven = b""

    async def begin(self) -> None:
        """Learn where the chain stands."""
        self._height = (await self._get(self._urls[0], "/v1/blocks/latest", _Latest)).height

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Hand units to one validator after the other, all together or each in a request of its own."""
        self._newest = units[-1].name
        if self._is_single:
            outcomes = await asyncio.gather(*(self._submit_one(unit, next(self._turn)) for unit in units))
        else:
            parts = [
                units[at : at + BATCH_TRANSACTIONS_MAX] for at in range(0, len(units), BATCH_TRANSACTIONS_MAX)
            ]
            outcomes = await asyncio.gather(
                *(self._submit_together(part, next(self._turn)) for part in parts)
            )
        return Outcome({name: why for outcome in outcomes for name, why in outcome.refused.items()})

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Follow the chain block by block, at the next validator when one fails."""
        number = 0
        while True:
            url = self._urls[number % len(self._urls)]
            try:
                await self._await_height(url)
                await self._read_blocks(url, on_confirmed)
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
                number += 1
                await asyncio.sleep(RETRY_S)

    async def _submit_together(self, units: Sequence[Unit], turn: int) -> Outcome:
        body = encode(tuple(unit.body for unit in units))
        results: list[_Submitted] = []
        for attempt in range(ATTEMPTS_MAX):
            url = self._urls[(turn + attempt) % len(self._urls)]
            try:
                async with self._session.post(f"{url}/v1/transactions/batch", data=body) as response:
                    content = await response.read()
                    if response.ok:
                        results = msgspec.json.decode(content, type=_Batch).results
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if results and not any(result.error in BUSY for result in results):
                break
            await asyncio.sleep(RETRY_S)
        answered = results or [_Submitted("refused", "UNREACHABLE")] * len(units)
        return Outcome(
            {
                unit.name: result.error or result.status
                for unit, result in zip(units, answered, strict=True)
                if result.status not in TAKEN
            }
        )

    async def _submit_one(self, unit: Unit, turn: int) -> Outcome:
        reason: object = "UNREACHABLE"
        for attempt in range(ATTEMPTS_MAX):
            url = self._urls[(turn + attempt) % len(self._urls)]
            try:
                async with self._session.post(f"{url}/v1/transactions", data=unit.body) as response:
                    content = await response.read()
                    if response.ok:
                        return Outcome({})
                    reason = msgspec.json.decode(content, type=dict[str, object]).get("error", "REFUSED")
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if reason not in BUSY | {"UNREACHABLE"}:
                break
            await asyncio.sleep(RETRY_S)
        return Outcome({unit.name: str(reason)})

    async def _await_height(self, url: str) -> None:
        """Wait until the newest transaction, or any after it, is certified: a long poll, no busy loop."""
        if self._newest in {b"", self._proven}:
            await asyncio.sleep(LOOK_S)
            return
        body = encode((self._newest,))
        async with self._session.post(
            f"{url}/v1/proofs", data=body, params={"wait_ms": str(WAIT_MS)}
        ) as response:
            await response.read()

    async def _read_blocks(self, url: str, on_confirmed: Callable[[bytes], None]) -> None:
        latest = (await self._get(url, "/v1/blocks/latest", _Latest)).height
        while self._height < latest:
            block = await self._get(url, f"/v1/blocks/{self._height + 1}", _Block)
            self._check(block)
            for transaction in block.transactions:
                if transaction.rejection is None:
                    name = bytes.fromhex(transaction.id)
                    self._proven = name if name == self._newest else self._proven
                    on_confirmed(name)
            self._height = block.height

    def _check(self, block: _Block) -> None:
        """Believe a block, or end the run: a forged one must not become a figure."""
        if block.certificate is None:
            raise TimeoutError
        certificate = read_certificate(block.certificate)
        receipts = [
            encode(Receipt(bytes.fromhex(each.id), each.rejection, consumed=each.rejection not in UNCONSUMED))
            for each in block.transactions
        ]
        problem = self._verifier.check_certificate(certificate)
        if problem is None and compute_merkle_root(receipts) != certificate.header.receipts_root:
            problem = "its receipts are not those of its header"
        if problem is not None:
            raise ValueError(f"block {block.height} proves nothing: {problem}")

    async def _get(self, url: str, path: str, expected: type[T]) -> T:
        async with self._session.get(url + path) as response:
            content = await response.read()
            response.raise_for_status()
            return msgspec.json.decode(content, type=expected)
