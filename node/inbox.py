"""Messages of peers on their way to the replica: decode, position, signature, and a pre-prepare's transactions.

Only what passed all of it becomes an event (duty 1 of the host).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import assert_never

import structlog

from consensus.codec import decode_envelope
from consensus.effects import Fetch, FetchBatch, FetchBlocks, FetchSnapshot
from consensus.events import BatchFetched, BlocksFetched, BlocksPruned, Received
from consensus.membership import Membership
from consensus.messages import Envelope, PrePrepare
from node.echoes import Echoes
from node.exchange import (
    PrunedAnswer,
    RequestKind,
    check_batch,
    check_blocks,
    decode_batch,
    decode_blocks,
    decode_raw_transactions,
    encode_height,
    encode_transactions_request,
)
from node.fair_queue import QueueFullError
from node.heard import Heard
from node.host import Host
from node.intake import Intake
from node.mempool import Mempool
from node.snapshots.fetcher import SnapshotFetcher
from node.verifier import Verifier
from p2p.network import Network
from p2p.transfer import RequestFailed
from primitives.batch import Batch, BatchHeader
from primitives.encoding import DecodeError
from primitives.ids import Digest, ReplicaId
from primitives.limits import BATCH_BYTES_MAX
from vm.transaction import SealedTransaction

log = structlog.get_logger("gridbft.inbox")

FORGED_POINTS = 20
"""A message that is malformed or wrongly signed on its sender's own link."""

USELESS_S = 0.000_25
"""What a message costs its peer's share that changes nothing, beside its work: a thousand a second at most. Late votes
and re-sends of a correct peer are a few for each block."""

GOSSIP_PATIENCE_S = 0.03
"""How long a proposal waits for transactions that gossip is probably bringing before they are asked for."""

REQUEST_TIMEOUT_S = 3.0
"""A batch of half a megabyte takes longer only below 2 Mbit/s; the next peer is asked then."""

RESOLVING_MAX = 256
"""Proposals and fetches under way: depth times validators is far below it."""


class Inbox:
    """From bytes to events."""

    def __init__(
        self,
        host: Host,
        network: Network,
        genesis_hash: Digest,
        verifier: Verifier,
        mempool: Mempool,
        intake: Intake,
        heard: Heard,
        snapshots: SnapshotFetcher,
    ) -> None:
        self._snapshots = snapshots
        self._host = host
        self._network = network
        self._genesis_hash = genesis_hash
        self._verifier = verifier
        self._mempool = mempool
        self._intake = intake
        self._heard = heard
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[bytes] = set()
        self._checking: Counter[bytes] = Counter()
        """Messages of each peer whose check is under way: what comes after them waits its turn."""
        self._echoes = Echoes()

    @property
    def _membership(self) -> Membership:
        """Return the current validators: they change with the chain."""
        return self._host.replica.view.membership

    async def run(self) -> None:
        """Keep the tasks that wait for transactions and answers, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None  # what still arrives while the tasks end starts no new one

    def on_message(self, peer: bytes, payload: bytes) -> None:
        """Take a consensus message; those of one peer become events in the order in which they came."""
        now_ms = self._host.now().monotonic_ms
        if self._echoes.is_echo(peer, payload, now_ms):
            self._network.charge(peer, USELESS_S)
            return
        try:
            envelope = decode_envelope(payload)
        except DecodeError as error:
            self._network.penalize(peer, FORGED_POINTS, f"a malformed message: {error}")
            return
        self._heard.note(peer, envelope, now_ms)
        if not self._host.replica.is_wanted(envelope):
            self._network.charge(peer, USELESS_S)
            return
        try:
            future = self._verifier.verify_envelopes(self._membership, [envelope], peer)
        except QueueFullError:
            return
        if future.done() and not self._checking[peer]:
            self._on_verified(peer, envelope, future)
            return
        self._checking[peer] += 1
        future.add_done_callback(lambda done: self._on_checked(peer, envelope, done))

    def on_fetch(self, fetch: Fetch) -> None:
        """Get what the replica misses; the same question is asked once at a time."""
        if not fetch.peers:
            linked = (
                ReplicaId(bytes.fromhex(each.key)) for each in self._network.get_peers() if each.connected
            )
            fetch = replace(fetch, peers=tuple(linked))
        match fetch:
            case FetchBatch():
                self._spawn(b"batch" + fetch.digest, lambda: self._fetch_batch(fetch))
            case FetchBlocks():
                self._spawn(b"blocks", lambda: self._fetch_blocks(fetch))
            case FetchSnapshot():
                self._spawn(b"snapshot", lambda: self._snapshots.fetch(fetch.peers))
            case _:
                assert_never(fetch)

    def _on_checked(self, peer: bytes, envelope: Envelope, done: "asyncio.Future[list[str | None]]") -> None:
        self._checking[peer] -= 1
        self._on_verified(peer, envelope, done)

    def _on_verified(self, peer: bytes, envelope: Envelope, done: "asyncio.Future[list[str | None]]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._host.fail(error)
            return
        problem = done.result()[0]
        if problem is not None:
            self._network.penalize(peer, FORGED_POINTS, problem)
            return
        message = envelope.message
        if not isinstance(message, PrePrepare):
            self._host.put(Received(self._host.now(), envelope))
            return
        found, missing = self._mempool.resolve([Digest(name) for name in message.batch.transaction_ids])
        if not missing:
            self._put_pre_prepare(envelope, message.batch, found)
        else:
            self._spawn(message.proposal.digest, lambda: self._resolve(peer, envelope, message.batch))

    async def _resolve(self, peer: bytes, envelope: Envelope, header: BatchHeader) -> None:
        """Wait a moment for gossip, then ask the proposer for what is still missing."""
        names = [Digest(name) for name in header.transaction_ids]
        deadline = asyncio.get_running_loop().time() + GOSSIP_PATIENCE_S
        found, missing = self._mempool.resolve(names)
        while missing and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._intake.arrival.clear()
            try:
                async with asyncio.timeout(left):
                    await self._intake.arrival.wait()
            except TimeoutError:
                break
            found, missing = self._mempool.resolve(names)
        if missing:
            for source in (peer, *self._get_others(peer)):
                fetched = await self._fetch_transactions(source, missing)
                if fetched is not None:
                    found |= fetched
                    break
            else:
                return
        self._put_pre_prepare(envelope, header, found)

    async def _fetch_transactions(
        self, peer: bytes, missing: tuple[Digest, ...]
    ) -> dict[Digest, SealedTransaction] | None:
        payload = encode_transactions_request(missing)
        try:
            answer = await self._network.request(peer, RequestKind.TRANSACTIONS, payload, REQUEST_TIMEOUT_S)
            raws = decode_raw_transactions(answer)
        except (RequestFailed, DecodeError):
            return None
        sealed = await self._intake.take_fetched(peer, raws)
        if sealed is None or [each.id for each in sealed] != list(missing):
            return None
        return {Digest(each.id): each for each in sealed}

    def _put_pre_prepare(
        self, envelope: Envelope, header: BatchHeader, found: dict[Digest, SealedTransaction]
    ) -> None:
        raws = tuple(found[Digest(name)].raw for name in header.transaction_ids)
        if sum(map(len, raws)) > BATCH_BYTES_MAX:
            self._network.penalize(envelope.sender, FORGED_POINTS, "a batch beyond its bound")
            return
        self._host.put(Received(self._host.now(), envelope, Batch(header, raws)))

    async def _fetch_batch(self, fetch: FetchBatch) -> None:
        for peer in fetch.peers:
            try:
                answer = await self._network.request(peer, RequestKind.BATCH, fetch.digest, REQUEST_TIMEOUT_S)
                batch = decode_batch(answer)
            except (RequestFailed, DecodeError):
                continue
            problem = check_batch(fetch.digest, batch)
            if problem is not None:
                self._network.penalize(peer, FORGED_POINTS, problem)
                continue
            if await self._intake.take_fetched(peer, batch.transactions) is not None:
                self._host.put(BatchFetched(self._host.now(), fetch.digest, batch))
                return

    async def _fetch_blocks(self, fetch: FetchBlocks) -> None:
        """Ask for certified blocks, and believe the certificate only.

        When nobody gave any, and so many have let them go that a correct one is among them, blocks help no more.
        """
        pruned = 0
        for peer in fetch.peers:
            try:
                answer = await self._network.request(
                    peer, RequestKind.BLOCKS, encode_height(fetch.first), REQUEST_TIMEOUT_S
                )
                fetched = decode_blocks(answer)
            except (RequestFailed, DecodeError):
                continue
            if isinstance(fetched, PrunedAnswer):
                pruned += 1
                continue
            if fetched.certificate.header.epoch != self._membership.epoch:
                continue  # the epoch ended while the question was on its way, or begins after one that is missing here
            problem = check_blocks(self._membership, self._genesis_hash, fetched)
            if problem is not None:
                self._network.penalize(peer, FORGED_POINTS, f"blocks that prove nothing: {problem}")
                continue
            log.info("blocks_fetched", first=fetch.first, count=len(fetched.blocks))
            self._host.put(BlocksFetched(self._host.now(), fetched.blocks, fetched.certificate))
            return
        if pruned and pruned >= min(self._membership.weak_quorum, len(fetch.peers)):
            log.info("blocks_pruned", first=fetch.first, peers=pruned)
            self._host.put(BlocksPruned(self._host.now()))

    def _get_others(self, peer: bytes) -> list[ReplicaId]:
        own = self._host.replica.view.own
        return [replica for replica in self._membership.replicas if replica not in (peer, own)]

    def _spawn(self, name: bytes, make: Callable[[], Coroutine[None, None, None]]) -> None:
        if self._tasks is None or name in self._running or len(self._running) >= RESOLVING_MAX:
            return
        self._running.add(name)
        task = self._tasks.create_task(make())
        task.add_done_callback(lambda _: self._running.discard(name))
