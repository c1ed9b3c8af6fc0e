"""A cluster of real replicas in one process, on virtual time and a virtual network, under one seed.

The host's duties (``consensus/__init__.py``) are performed here in their simplest form: journals are lists, blocks
are headers chained by hashes, and a link may lose, delay or reorder what it carries.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from consensus.authentication import check_envelope
from consensus.certificates import check_certificate
from consensus.codec import decode_envelope, decode_record, encode_envelope, encode_record
from consensus.effects import (
    Broadcast,
    Certified,
    Deliver,
    Diverged,
    Effect,
    Equivocation,
    FetchBatch,
    FetchBlocks,
    Notice,
    OwnMessage,
    Persist,
    Report,
    Send,
    StartTimer,
    StopTimer,
    TimerName,
    WantBatch,
)
from consensus.events import (
    BatchFetched,
    BlocksFetched,
    Event,
    Executed,
    Now,
    Overdue,
    Proposed,
    Received,
    TimerFired,
)
from consensus.membership import Membership
from consensus.messages import Certificate, Envelope, PrePrepare
from consensus.replica import START_GENERATION, Replica
from consensus.state import Settings
from primitives.batch import Batch, build_batch
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.header import Block, BlockHeader, Validator, build_genesis_header
from primitives.ids import Digest, Epoch, Height, MonotonicMs, ReplicaId, UnixMs
from primitives.signing import SecretKey
from tests.consensus.checker import Checker, ViolationError

GENESIS = compute_hash(HashDomain.GENESIS, b"a network of tests")
START_WALL_MS = 1_500_000_000_000

Behaviour = Callable[["Cluster", int, int, Envelope], list[Envelope]]
"""What a faulty replica sends to a target instead of an envelope."""


@cache
def build_keys(replicas: int) -> tuple[SecretKey, ...]:
    """Return the keys of a test network, the same every time."""
    return tuple(SecretKey(bytes([index + 1]) * 32) for index in range(replicas))


@cache
def build_membership(replicas: int) -> Membership:
    """Return a membership of ``replicas`` validators."""
    keys = build_keys(replicas)
    return Membership(
        Epoch(0),
        tuple(Validator(f"v{index}", key.public, bytes([index])) for index, key in enumerate(keys)),
    )


def build_settings(replicas: int, index: int, **changes: int) -> Settings:
    """Return valid settings for one replica."""
    values = {
        "depth": 2,
        "view_timeout_ms": 1000,
        "view_timeout_max_ms": 16_000,
        "resend_ms": 500,
        "drift_ms": 2000,
    } | changes
    return Settings(
        membership=build_membership(replicas), key=build_keys(replicas)[index], genesis_hash=GENESIS, **values
    )


def build_first_header() -> BlockHeader:
    """Return the header of height 0."""
    return build_genesis_header(START_WALL_MS, EMPTY_DIGEST, EMPTY_DIGEST)


def execute(parent: BlockHeader, deliver: Deliver) -> BlockHeader:
    """Return the header that every correct replica computes: a hash chain over the batches."""
    digest = deliver.batch.header.compute_digest()
    root = compute_hash(HashDomain.STATE_NODE, parent.state_root + digest)
    return BlockHeader(
        height=deliver.height,
        sequence=deliver.sequence,
        epoch=deliver.epoch,
        parent=parent.compute_digest(),
        batch_digest=digest,
        time_ms=max(parent.time_ms, deliver.batch.header.time_ms),
        state_root=root,
        receipts_root=EMPTY_DIGEST,
        next_membership=EMPTY_DIGEST,
        protocol_version=1,
    )


@dataclass
class Host:
    """One replica with what a host keeps for it."""

    replica: Replica
    journal: list[bytes] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    certificates: dict[int, Certificate] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)
    wanted: WantBatch | None = None
    alive: bool = True
    generation: int = 0
    synced: int = 0
    """Journal records that were durable when something last left."""
    wall_offset_ms: int = 0
    monotonic_offset_ms: int = 0
    pending_since: dict[bytes, int] = field(default_factory=dict)

    @property
    def header(self) -> BlockHeader:
        """Return the header of the last executed block."""
        return self.blocks[-1].header if self.blocks else build_first_header()


class Cluster:
    """Replicas 0 … n-1, a heap of things to happen, and a seed."""

    def __init__(self, replicas: int = 4, seed: int = 0, **settings: int) -> None:
        self.random = random.Random(seed)
        self.size = replicas
        self.settings = [build_settings(replicas, index, **settings) for index in range(replicas)]
        self.names = {ReplicaId(s.key.public): i for i, s in enumerate(self.settings)}
        self.now_ms = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.counter = 0
        self.may_pass: Callable[[int, int, Envelope], bool] = lambda _from, _to, _envelope: True
        self.delay: Callable[[], int] = lambda: self.random.randint(1, 5)
        self.pending: dict[bytes, bytes] = {}
        self.request_deadline_ms = 1500
        self.hosts = [Host(Replica(s, build_first_header(), None)) for s in self.settings]
        self.behaviours: dict[int, Behaviour] = {}
        self.lies: dict[bytes, bytes] = {}
        self.checker = Checker()
        self.hits: Counter[str] = Counter()
        self.trace = compute_hash(HashDomain.STATE_NODE, b"")
        self.told: Callable[[int, Event, list[Effect]], None] = lambda _index, _event, _effects: None
        self.authentic: dict[bytes, bool] = {}
        for index in range(replicas):
            self._start(index)

    # what a test does

    def submit(self, raw: bytes) -> None:
        """Give every replica a transaction."""
        batch = build_batch(ReplicaId(bytes(32)), UnixMs(0), (raw,))
        self.pending[batch.header.transaction_ids[0]] = raw
        for index, host in enumerate(self.hosts):
            host.pending_since[batch.header.transaction_ids[0]] = self.now_ms
            self._answer_soon(index)

    def run(self, duration_ms: int) -> None:
        """Let virtual time pass."""
        end = self.now_ms + duration_ms
        while self.heap and self.heap[0][0] <= end:
            self.now_ms, _, action = heapq.heappop(self.heap)
            action()
        self.now_ms = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> None:
        """Let virtual time pass until the condition holds; fail beyond the limit."""
        end = self.now_ms + limit_ms
        while not condition():
            assert self.heap, "nothing will ever happen again"
            assert self.heap[0][0] <= end, f"not within {limit_ms} ms: {self.describe()}"
            self.now_ms, _, action = heapq.heappop(self.heap)
            action()

    def kill(self, index: int) -> None:
        """Stop a replica at once; what it sent before is still on its way, what was not synced may be lost."""
        host = self.hosts[index]
        del host.journal[self.random.randint(host.synced, len(host.journal)) :]
        for height in sorted(host.certificates, reverse=True)[: self.random.randint(0, 2)]:
            del host.certificates[height]
        host.alive = False
        host.generation += 1
        host.timers.clear()
        host.wanted = None

    def restart(self, index: int) -> None:
        """Start a replica again from its journal and blocks, with another monotonic clock."""
        old = self.hosts[index]
        old.monotonic_offset_ms = self.random.randint(0, 10**9)
        records = [decode_record(data) for data in old.journal]
        stable = old.certificates[max(old.certificates)] if old.certificates else None
        old.replica = Replica(self.settings[index], old.header, stable, records)
        old.alive = True
        self._start(index)

    def rewrite_journal(self, index: int) -> None:
        """Let a host shorten its journal; the certificates it stored beside are not synced and get lost."""
        host = self.hosts[index]
        host.journal = [encode_record(record) for record in host.replica.get_journal_records()]
        host.synced = len(host.journal)

    def is_correct(self, index: int) -> bool:
        """Tell whether a replica keeps to the protocol."""
        return index not in self.behaviours

    def heights(self) -> list[int]:
        """Return every replica's height."""
        return [len(host.blocks) for host in self.hosts]

    def executed_ids(self, index: int) -> list[bytes]:
        """Return the transaction ids that a replica executed, in order; a repetition is the ledger's to refuse."""
        names = [name for block in self.hosts[index].blocks for name in block.batch.header.transaction_ids]
        return list(dict.fromkeys(names))

    def describe(self) -> str:
        """Return where everybody stands."""
        states = [host.replica.view for host in self.hosts]
        return ", ".join(
            f"v{i}: height {s.executed.height} view {s.view}{'' if s.active else '?'}"
            for i, s in enumerate(states)
        )

    def check_agreement(self) -> None:
        """I1, I2: one block per height, no gaps, nobody diverged."""
        correct = [host for index, host in enumerate(self.hosts) if self.is_correct(index)]
        longest = max(correct, key=lambda host: len(host.blocks)).blocks
        for host in correct:
            assert [b.header for b in host.blocks] == [b.header for b in longest[: len(host.blocks)]]
            assert not any(isinstance(notice, Diverged) for notice in host.notices)

    # what a host does

    def now(self, index: int) -> Now:
        """Return a host's clocks."""
        host = self.hosts[index]
        wall = START_WALL_MS + self.now_ms + host.wall_offset_ms
        return Now(MonotonicMs(self.now_ms + host.monotonic_offset_ms), UnixMs(wall))

    def schedule(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self.counter += 1
        heapq.heappush(self.heap, (self.now_ms + delay_ms, self.counter, action))

    def step(self, index: int, event: Event) -> None:
        """Give a replica an event and perform its effects in order."""
        host = self.hosts[index]
        if not host.alive:
            return
        effects = host.replica.step(event)
        kinds = ",".join(type(effect).__name__ for effect in effects)
        line = f"{self.now_ms} {index} {type(event).__name__} {kinds}"
        self.trace = compute_hash(HashDomain.STATE_NODE, self.trace + line.encode())
        self.told(index, event, effects)
        for effect in effects:
            self._perform(index, host, effect)

    def send(self, source: int, target: int, envelope: Envelope) -> None:
        """Put a message on a link; a faulty replica's behaviour decides what it becomes."""
        behaviour = self.behaviours.get(source)
        own = self.settings[source].key.public
        if behaviour is None and envelope.sender == own:
            self.checker.check_said(envelope)
        for sent in [envelope] if behaviour is None else behaviour(self, source, target, envelope):
            self.put_on_link(source, target, sent)

    def put_on_link(self, source: int, target: int, envelope: Envelope) -> None:
        """Carry a message, or lose it."""
        if not self.may_pass(source, target, envelope):
            return
        data = encode_envelope(envelope)
        self.trace = compute_hash(HashDomain.STATE_NODE, self.trace + data)
        self.schedule(self.delay(), lambda: self.receive(target, data))

    def duplicate(self, target: int, envelope: Envelope) -> None:
        """Let a message arrive once more, at another time."""
        data = encode_envelope(envelope)
        self.schedule(self.delay() * 3, lambda: self.receive(target, data))

    def receive(self, target: int, data: bytes) -> None:
        """Let a message arrive as bytes: decode, position, signatures, batch."""
        envelope = decode_envelope(data)
        host = self.hosts[target]
        if not host.alive or not host.replica.is_wanted(envelope):
            return
        if not self._is_authentic(data, envelope):
            return
        batch = None
        if isinstance(envelope.message, PrePrepare):
            header = envelope.message.batch
            batch = Batch(header, tuple(self.pending[name] for name in header.transaction_ids))
        self.step(target, Received(self.now(target), envelope, batch))

    def _is_authentic(self, data: bytes, envelope: Envelope) -> bool:
        """Check each message once for all hosts: the answer depends on its bytes alone."""
        known = self.authentic.get(data)
        if known is None:
            problem = check_envelope(self.settings[0].membership, GENESIS, envelope)
            known = self.authentic[data] = problem is None
        return known

    def _start(self, index: int) -> None:
        self.schedule(
            1,
            lambda: self.step(index, TimerFired(self.now(index), TimerName.RESEND, START_GENERATION)),
        )
        self.schedule(
            self.request_deadline_ms, lambda: self._watch_requests(index, self.hosts[index].generation)
        )

    def _watch_requests(self, index: int, generation: int) -> None:
        host = self.hosts[index]
        if not host.alive or host.generation != generation:
            return
        done = set(self.executed_ids(index))
        host.pending_since = {k: v for k, v in host.pending_since.items() if k not in done}
        if any(self.now_ms - since >= self.request_deadline_ms for since in host.pending_since.values()):
            self.step(index, Overdue(self.now(index)))
        self.schedule(500, lambda: self._watch_requests(index, generation))

    def _perform(self, index: int, host: Host, effect: Effect) -> None:
        match effect:
            case Persist(record=record):
                host.journal.append(encode_record(record))
                if isinstance(record, OwnMessage):
                    self.checker.record_promise(record.envelope)
            case Broadcast(envelope=envelope):
                host.synced = len(host.journal)
                for target in range(self.size):
                    if target != index:
                        self.send(index, target, envelope)
            case Send(to=to, envelope=envelope):
                host.synced = len(host.journal)
                self.send(index, self.names[to], envelope)
            case Deliver():
                generation = host.generation
                self.schedule(1, lambda: self._execute(index, effect, generation))
            case StartTimer(name=name, generation=generation, delay_ms=delay_ms):
                host.timers[name] = generation
                life = host.generation
                self.schedule(delay_ms, lambda: self._fire(index, name, generation, life))
            case StopTimer(name=name):
                host.timers.pop(name, None)
            case WantBatch():
                host.wanted = effect
                self._answer_soon(index)
            case FetchBatch(digest=digest):
                self.schedule(self.delay(), lambda: self._fetch_batch(index, digest))
            case FetchBlocks(first=first, peers=peers):
                self.schedule(self.delay(), lambda: self._fetch_blocks(index, first, peers))
            case Report(notice=notice):
                host.notices.append(notice)
                if isinstance(notice, Certified):
                    host.certificates[notice.certificate.header.height] = notice.certificate
                self.hits[type(notice).__name__] += 1
                self._check_notice(index, notice)

    def _check_notice(self, index: int, notice: Notice) -> None:
        if not self.is_correct(index):
            return
        if isinstance(notice, Equivocation) and self.is_correct(self.names[ReplicaId(notice.first.sender)]):
            raise ViolationError("a correct replica was seen to contradict itself")
        if isinstance(notice, Diverged):
            raise ViolationError(f"I7: replica {index} diverged at height {notice.height}")

    def _fire(self, index: int, name: str, generation: int, life: int) -> None:
        host = self.hosts[index]
        if host.generation == life and host.timers.get(name) == generation:
            self.step(index, TimerFired(self.now(index), name, generation))

    def _execute(self, index: int, deliver: Deliver, generation: int) -> None:
        host = self.hosts[index]
        if not host.alive or host.generation != generation:
            return
        header = execute(host.header, deliver)
        block = Block(header, deliver.batch)
        if self.is_correct(index):
            self.checker.check_block(host.header, block)
        host.blocks.append(block)
        self.step(index, Executed(self.now(index), deliver.sequence, header))

    def _answer_soon(self, index: int) -> None:
        self.schedule(1, lambda: self._answer(index))

    def _answer(self, index: int) -> None:
        host = self.hosts[index]
        want = host.wanted
        if want is None or not host.alive:
            return
        taken = set(self.executed_ids(index)) | {
            n for header in want.in_flight for n in header.transaction_ids
        }
        ready = [raw for name, raw in self.pending.items() if name not in taken][:3]
        if not ready:
            return
        host.wanted = None
        own = ReplicaId(self.settings[index].key.public)
        batch = build_batch(own, self.now(index).wall_ms, tuple(ready))
        self.step(index, Proposed(self.now(index), want.epoch, want.view, want.sequence, batch))

    def _fetch_batch(self, index: int, digest: Digest) -> None:
        for other in self.hosts:
            batch = other.replica.get_batch(digest)
            if batch is not None and other.alive:
                self.step(index, BatchFetched(self.now(index), digest, batch))
                return

    def _fetch_blocks(self, index: int, first: Height, peers: tuple[ReplicaId, ...]) -> None:
        for peer in peers:
            other = self.hosts[self.names[peer]]
            known = [h for h in other.certificates if h >= first]
            if other.alive and known:
                last = max(known)
                blocks = tuple(other.blocks[first - 1 : last])
                certificate = other.certificates[last]
                if check_certificate(self.settings[index].membership, GENESIS, certificate) is not None:
                    continue
                self.step(index, BlocksFetched(self.now(index), blocks, certificate))
                return
