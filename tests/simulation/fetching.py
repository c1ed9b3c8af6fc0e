"""What a validator asks of others: transactions, batches, blocks; the inbox' order of doing it on virtual time."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from consensus.effects import Fetch, FetchBatch, FetchBlocks, FetchSnapshot
from consensus.events import BatchFetched, BlocksFetched, BlocksPruned, Received
from consensus.messages import Envelope
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
from node.inbox import FORGED_POINTS, GOSSIP_PATIENCE_S, REQUEST_TIMEOUT_S, RESOLVING_MAX
from node.snapshots.download import Download, Fault, Refusal, Stage
from node.snapshots.fetcher import LIE_POINTS
from node.snapshots.writer import SnapshotWriter
from node.storage.memory import MemoryStore
from primitives.batch import Batch, BatchHeader
from primitives.encoding import DecodeError
from primitives.ids import Digest, ReplicaId
from primitives.limits import BATCH_BYTES_MAX
from tests.simulation.network import Frame, Kind
from vm.transaction import SealedTransaction

if TYPE_CHECKING:
    from tests.simulation.process import Process

GOSSIP_LOOKS = 3
"""A proposal looks so many times for its transactions while it waits for gossip."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many milliseconds."""

    ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Go on with a peer's answer; None when there was none in time."""

    peer: ReplicaId
    kind: RequestKind
    payload: bytes


Errand = Generator[Pause | Ask, bytes | None, None]


class Fetcher:
    """The errands of one process, and the questions that are open."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._running: set[bytes] = set()
        self._open: dict[int, Errand] = {}
        self._names: dict[int, bytes] = {}
        self._count = (
            process.machine.lives << 20
        )  # links end with a life: no answer to an earlier one is taken

    @property
    def running(self) -> int:
        """Return how many errands are under way."""
        return len(self._running)

    def fetch(self, fetch: Fetch) -> None:
        """Get what the replica misses; the same question is asked once at a time."""
        if not fetch.peers:
            fetch = replace(fetch, peers=self._process.world.get_linked(self._process.machine))
        match fetch:
            case FetchBatch():
                self._start(b"batch" + fetch.digest, self._fetch_batch(fetch))
            case FetchBlocks():
                self._start(b"blocks", self._fetch_blocks(fetch))
            case FetchSnapshot():
                self._start(b"snapshot", self._fetch_snapshot(fetch))
            case _:
                assert_never(fetch)

    def take_pre_prepare(
        self, peer: ReplicaId, envelope: Envelope, header: BatchHeader, digest: bytes
    ) -> None:
        """Give the replica a proposal as soon as its transactions are here."""
        found, missing = self._process.mempool.resolve([Digest(name) for name in header.transaction_ids])
        if missing:
            self._start(digest, self._resolve(peer, envelope, header))
        else:
            self._put_pre_prepare(envelope, header, found)

    def take_answer(self, number: int, payload: bytes | None) -> None:
        """Go on with the errand that asked this question."""
        errand = self._open.pop(number, None)
        if errand is not None:
            self._advance(self._names.pop(number), errand, payload)

    def _start(self, name: bytes, errand: Errand) -> None:
        if name in self._running or len(self._running) >= RESOLVING_MAX:
            return
        self._running.add(name)
        self._advance(name, errand, None)

    def _advance(self, name: bytes, errand: Errand, value: bytes | None) -> None:
        if not self._process.is_alive:
            return
        try:
            wish = errand.send(value)
        except StopIteration:
            self._running.discard(name)
            return
        timeline = self._process.world.timeline
        if isinstance(wish, Pause):
            timeline.call(wish.ms, self._advance, name, errand, None)
            return
        self._count += 1
        number = self._count
        self._open[number], self._names[number] = errand, name
        question = Frame(Kind.QUESTION, wish.payload, number, wish.kind)
        self._process.send_frame(wish.peer, question)
        timeline.call(int(REQUEST_TIMEOUT_S * 1000), self.take_answer, number, None)

    def _resolve(self, peer: ReplicaId, envelope: Envelope, header: BatchHeader) -> Errand:
        names = [Digest(name) for name in header.transaction_ids]
        found, missing = self._process.mempool.resolve(names)
        for _ in range(GOSSIP_LOOKS):
            if not missing:
                break
            yield Pause(int(GOSSIP_PATIENCE_S * 1000) // GOSSIP_LOOKS)
            found, missing = self._process.mempool.resolve(names)
        for source in self._iterate_sources(peer):
            if not missing:
                break
            answer = yield Ask(source, RequestKind.TRANSACTIONS, encode_transactions_request(missing))
            fetched = self._read_transactions(answer, missing)
            if fetched is not None:
                found, missing = found | fetched, ()
        if not missing:
            self._put_pre_prepare(envelope, header, found)

    def _read_transactions(
        self, answer: bytes | None, missing: tuple[Digest, ...]
    ) -> dict[Digest, SealedTransaction] | None:
        if answer is None:
            return None
        try:
            raws = decode_raw_transactions(answer)
        except DecodeError:
            return None
        sealed = self._process.take_fetched(raws)
        if sealed is None or [each.id for each in sealed] != list(missing):
            return None
        return {Digest(each.id): each for each in sealed}

    def _put_pre_prepare(
        self, envelope: Envelope, header: BatchHeader, found: dict[Digest, SealedTransaction]
    ) -> None:
        raws = tuple(found[Digest(name)].raw for name in header.transaction_ids)
        host = self._process.host
        if sum(map(len, raws)) > BATCH_BYTES_MAX:
            self._process.penalize(envelope.sender, FORGED_POINTS, "a batch beyond its bound")
            return
        host.put(Received(host.now(), envelope, Batch(header, raws)))

    def _fetch_batch(self, fetch: FetchBatch) -> Errand:
        host = self._process.host
        for peer in fetch.peers:
            answer = yield Ask(peer, RequestKind.BATCH, fetch.digest)
            try:
                batch = None if answer is None else decode_batch(answer)
            except DecodeError:
                continue
            if batch is None:
                continue
            problem = check_batch(fetch.digest, batch)
            if problem is not None:
                self._process.penalize(peer, FORGED_POINTS, problem)
                continue
            if self._process.take_fetched(batch.transactions) is not None:
                host.put(BatchFetched(host.now(), fetch.digest, batch))
                return

    def _fetch_blocks(self, fetch: FetchBlocks) -> Errand:
        process, host = self._process, self._process.host
        constitution = process.world.constitution
        pruned = 0
        for peer in fetch.peers:
            answer = yield Ask(peer, RequestKind.BLOCKS, encode_height(fetch.first))
            try:
                fetched = None if answer is None else decode_blocks(answer)
            except DecodeError:
                continue
            if isinstance(fetched, PrunedAnswer):
                pruned += 1
                continue
            if fetched is None:
                continue
            if fetched.certificate.header.epoch != host.replica.view.epoch:
                continue
            problem = check_blocks(host.replica.view.membership, constitution.genesis_hash, fetched)
            if problem is not None:
                process.penalize(peer, FORGED_POINTS, f"blocks that prove nothing: {problem}")
                continue
            process.world.hits["blocks_fetched"] += 1
            host.put(BlocksFetched(host.now(), fetched.blocks, fetched.certificate))
            return
        if pruned and pruned >= min(host.replica.view.membership.weak_quorum, len(fetch.peers)):
            host.put(BlocksPruned(host.now()))

    def _fetch_snapshot(self, fetch: FetchSnapshot) -> Errand:
        process = self._process
        own, genesis_hash = process.storage.chain, process.world.constitution.genesis_hash
        for peer in fetch.peers:
            store = MemoryStore()
            membership = process.host.replica.view.membership
            download = Download(membership, genesis_hash, own, SnapshotWriter(store))
            refusal: Refusal | None = None
            while download.stage is not Stage.WHOLE and refusal is None:
                question = download.question
                answer = yield Ask(peer, question.kind, question.payload)
                silence = Refusal(Fault.USELESS, "no answer")
                refusal = silence if answer is None else download.take(answer)
            if refusal is None and own.get_height() < download.height:
                process.world.install_snapshot(process.machine, store)
                return
            if refusal is not None:
                process.world.hits[f"snapshot_{refusal.fault.value}"] += 1
                if refusal.fault is Fault.LIE:
                    process.penalize(peer, LIE_POINTS, refusal.reason)

    def _iterate_sources(self, peer: ReplicaId) -> Iterator[ReplicaId]:
        state = self._process.host.replica.view
        yield peer
        for replica in state.membership.replicas:
            if replica not in (peer, state.own):
                yield replica
