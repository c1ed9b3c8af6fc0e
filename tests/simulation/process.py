"""A running validator: the production parts of a node joined on virtual time instead of tasks, threads and sockets.

What is joined, and in which order it recovers, is what ``node/node.py`` does; ``VirtualHost`` is the production host
with its three waits (for a sync, for an execution, for a timer) on the timeline.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar, cast

from consensus.codec import NONCE_BYTES
from consensus.effects import (
    Broadcast,
    Certified,
    Deliver,
    Effect,
    EpochStarted,
    Equivocation,
    Fetch,
    Notice,
    Send,
    TimerName,
    ViewStarted,
)
from consensus.events import Event, Received, TimerFired
from consensus.messages import PrePrepare
from consensus.replica import START_GENERATION
from node.answers import Answers
from node.applier import Applier
from node.batching import Batcher
from node.bookkeeping import is_full
from node.errors import DivergedError
from node.exchange import NO_ANSWER
from node.fair_packing import build_packer
from node.home import Storage, build_replica, fill_storage
from node.host import Host
from node.inbox import FORGED_POINTS
from node.intake import INVALID_POINTS, Intake, SubmitResult, SubmitStatus
from node.mempool import Mempool, MempoolLimits
from node.pinned_state import PinnedStates
from node.pruning import Pruner
from node.snapshots.server import SnapshotServer
from node.storage.journal import JournalError, open_journal
from node.storage.store import StoreError
from node.upkeep import Upkeep
from node.verifier import Verifier
from node.watch import Watch
from p2p.frames import Channel
from p2p.transfer import RequestRefused
from primitives.encoding import DecodeError, encode
from primitives.hashing import compute_transaction_id
from primitives.ids import Digest, Height, MonotonicMs, ReplicaId, UnixMs
from tests.simulation.checkers import ViolationError
from tests.simulation.community import WALL_START_MS
from tests.simulation.disk import JOURNAL, Disk, PowerCutError
from tests.simulation.fetching import Fetcher
from tests.simulation.network import Frame, Kind
from vm.contract import LedgerContext
from vm.executor import BlockResult, compute_next_due_ms
from vm.receipt import Rejection
from vm.state import Overlay
from vm.transaction import SealedTransaction, decode_transaction, is_transaction_signed

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from tests.simulation.world import Machine, World

T = TypeVar("T")

IDLE = ThreadPoolExecutor(1)
"""For the parts that may use threads and are never asked to here: no thread is ever started."""


class Inline(Executor):
    """Does at once what production does in a thread of its own."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":  # noqa: ANN401  # as Executor
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


INLINE = Inline()
MEMPOOL = MempoolLimits(2_000, 4_000_000, 500)


class VirtualClock:
    """A machine's clocks: the timeline's, each with an offset of its own."""

    def __init__(self, world: "World", machine: "Machine") -> None:
        self._timeline = world.timeline
        self._checker = world.checker
        self._machine = machine

    def wall_ms(self) -> UnixMs:
        time_ms = WALL_START_MS + self._timeline.now_ms + self._machine.wall_offset_ms
        if self._machine.is_correct:
            self._checker.latest_wall_ms = max(self._checker.latest_wall_ms, time_ms)
        return UnixMs(time_ms)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self._timeline.now_ms + self._machine.monotonic_offset_ms)


class VirtualHost(Host):
    """The production host, told by the timeline when to step and when a sync, an execution or a timer is over."""

    def bind(self, process: "Process") -> None:
        """Join the process whose host this is."""
        self._process = process
        self._timeline = process.world.timeline
        self._is_turn_planned = False
        self._is_syncing = False

    @property
    def waiting(self) -> int:
        """Return how many events wait for a step."""
        return len(self._events)

    def put(self, event: Event) -> None:
        super().put(event)
        if not self._is_turn_planned and not self._is_syncing:
            self._is_turn_planned = True
            self._timeline.call(0, self._take_turn)

    def _take_turn(self) -> None:
        self._is_turn_planned = False
        if self._process.is_alive:
            self._process.guard(self._step_and_persist)

    def _step_and_persist(self) -> None:
        effects = self._take_steps()
        if self._append_records(effects):
            self._is_syncing = True
            self._timeline.call(self._process.machine.disk.sync_ms, self._finish_turn, effects)
        else:
            self._perform_all(effects)

    def _finish_turn(self, effects: list[Effect]) -> None:
        if self._process.is_alive:
            self._process.guard(self._sync_and_perform, effects)

    def _sync_and_perform(self, effects: list[Effect]) -> None:
        self._journal.sync()
        self.syncs += 1
        kept = self._select_kept_records()
        if kept is not None:
            self._journal.rewrite(kept)
            self._rewrite_above = max(self._process.world.rewrite_above, 2 * self._journal.size)
            self._process.world.hits["journal_rewritten"] += 1
        self._is_syncing = False
        self._perform_all(effects)
        if self._events and not self._is_turn_planned:
            self._is_turn_planned = True
            self._timeline.call(0, self._take_turn)

    def _perform_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Broadcast | Send):
                self._process.world.checker.check_said(self._process.machine, effect.envelope)
            self._perform(effect)
        while not self._deliveries.empty():
            deliver = self._deliveries.get_nowait()
            execution_ms = self._process.world.compute_execution_ms(self._process.machine, deliver)
            delay_ms = execution_ms + self._process.machine.disk.sync_ms
            self._timeline.call(delay_ms, self._apply, deliver)

    def _apply(self, deliver: Deliver) -> None:
        if self._process.is_alive:
            self._process.guard(self._execute, deliver)

    def _execute(self, deliver: Deliver) -> None:
        world, machine = self._process.world, self._process.machine
        parent = self._applier.header
        result = self._applier.execute_and_store(deliver)
        self._applier.advance(result)
        world.checker.check_block(machine, parent, deliver, result)
        self._answer_delivery(deliver, result)

    def _call_later(self, delay_ms: int, call: Callable[[], None]) -> "TimerHandle":
        return cast("TimerHandle", self._timeline.set_alarm(delay_ms, lambda: self._fire(call)))

    def _fire(self, call: Callable[[], None]) -> None:
        if self._process.is_alive:
            call()


class Process:
    """One life of a validator, from its recovery to its end."""

    def __init__(self, world: "World", machine: "Machine") -> None:
        """Recover from the machine's disk.

        Raises:
            JournalError, StoreError, HomeError: it cannot start from what is there.
            PowerCutError: the power went meanwhile.

        """
        self.world = world
        self.machine = machine
        self.is_alive = False
        self.penalties = 0
        constitution = world.constitution
        self._stack = ExitStack()
        self.storage = self._open_storage(machine.disk)
        chain = self.storage.chain
        self.clock = VirtualClock(world, machine)
        next_height = Height(chain.get_latest_header().height + 1)
        self.mempool = Mempool(MEMPOOL, build_packer(machine.packing), next_height)
        ledger = LedgerContext(constitution.genesis, constitution.genesis_hash)
        parameters = constitution.genesis.consensus
        nonce = self._draw_nonce() if machine.is_asking else None
        replica = build_replica(constitution, self.storage, machine.key, nonce)
        own = ReplicaId(machine.key.public)
        batcher = Batcher(own, self.mempool, parameters.heartbeat_ms, world.worth_a_block)
        batcher.next_due_ms = compute_next_due_ms(ledger, Overlay(chain))
        applier = Applier(ledger, chain, chain.get_latest_header(), self.storage.tree, IDLE)
        verifier = Verifier(constitution.genesis_hash, IDLE)
        self.intake = Intake(ledger, chain, self.mempool, verifier, self.clock, lambda: applier.header)
        self.host = VirtualHost(replica, self.storage.journal, self, applier, batcher, self.clock, self, IDLE)
        self.host.bind(self)
        self.host._rewrite_above = world.rewrite_above  # production rewrites at megabytes
        self._watch = Watch(self.host, self.mempool, batcher, self, parameters)
        self.intake.connect(self, self.host.offer_batch)
        self._pinned = PinnedStates()
        pruner = Pruner(chain, world.keep_blocks)
        snapshots = SnapshotServer(self._pinned)
        self._upkeep = Upkeep(chain, constitution.genesis, snapshots, pruner, INLINE, INLINE)
        self._upkeep.begin(replica.view.stable)
        self._answers = Answers(replica, self.mempool, chain, snapshots)
        self.fetcher = Fetcher(self)

    def _open_storage(self, disk: Disk) -> Storage:
        """Open the journal, then the store, as ``node/home.py`` does."""
        constitution = self.world.constitution
        try:
            journal = self._stack.enter_context(open_journal(JOURNAL, constitution.genesis_hash, disk.files))
            disk.open()
            return fill_storage(journal, disk.store, constitution)
        except BaseException:
            self._stack.close()
            raise

    def _draw_nonce(self) -> bytes:
        """Return the nonce of this life's inquiry: another one for each life of each machine."""
        self.machine.lives += 1
        return bytes([self.machine.index]) + self.machine.lives.to_bytes(NONCE_BYTES - 1, "big")

    def start(self) -> None:
        """Live: the first event, and the watch over the primary."""
        self.is_alive = True
        self.host.put(TimerFired(self.host.now(), TimerName.RESEND, START_GENERATION))
        self._plan_watch()

    def end(self) -> None:
        """Stop at once; what was planned for this life does not happen."""
        self.is_alive = False
        self._stack.close()

    def guard(self, action: Callable[..., None], *arguments: object) -> None:
        """Do something that may end this life: the power goes, or the disk refuses."""
        try:
            action(*arguments)
        except ViolationError:
            raise
        except PowerCutError:
            self.world.note_power_cut(self.machine)
        except (JournalError, StoreError) as error:
            self.world.note_failure(self.machine, error)
        except DivergedError as error:
            self.world.note_bug(self.machine, "I7", str(error))
        except Exception as error:  # noqa: BLE001  # whatever a step raises is a bug of the core, and is told as one
            self.world.note_bug(self.machine, "step", f"{type(error).__name__}: {error}")

    # what the network brings

    def take_frame(self, source: ReplicaId, frame: Frame) -> None:
        """Take what arrived on the link of a member."""
        match frame.kind:
            case Kind.MESSAGE:
                self._take_message(source, frame.payload)
            case Kind.TRANSACTION:
                self._take_gossip(source, frame.payload)
            case Kind.QUESTION:
                self._answer(source, frame)
            case Kind.ANSWER:
                self.fetcher.take_answer(frame.number, frame.payload)

    def _take_message(self, source: ReplicaId, payload: bytes) -> None:
        memory = self.world.memory
        envelope = memory.decode(payload)
        if isinstance(envelope, str):
            self.penalize(source, FORGED_POINTS, f"a malformed message: {envelope}")
            return
        if not self.host.replica.is_wanted(envelope):
            return
        problem = memory.check(self.host.replica.view.membership, payload, envelope)
        if problem is not None:
            self.penalize(source, FORGED_POINTS, problem)
            return
        message = envelope.message
        if isinstance(message, PrePrepare):
            self.fetcher.take_pre_prepare(source, envelope, message.batch, message.proposal.digest)
        else:
            self.host.put(Received(self.host.now(), envelope))

    def _take_gossip(self, source: ReplicaId, raw: bytes) -> None:
        if self.mempool.find_known(compute_transaction_id(raw)) is not None:
            return
        sealed = self._unseal(raw)
        if sealed is None:
            self.penalize(source, INVALID_POINTS, "a malformed or wrongly signed transaction")
        elif self.machine.behaviour is None or not self.machine.behaviour.hides(sealed):
            self.intake.admit(sealed, is_own=False)
            self.host.offer_batch()

    def _answer(self, source: ReplicaId, frame: Frame) -> None:
        try:
            answer = self._answers.answer(frame.question, frame.payload)
        except RequestRefused:
            answer = NO_ANSWER
        behaviour = self.machine.behaviour
        if behaviour is not None:
            lie = behaviour.answer(frame.question, frame.payload, answer)
            if lie is None:
                return
            answer = lie
        self.send_frame(source, Frame(Kind.ANSWER, answer, frame.number))

    def take_fetched(self, raws: tuple[bytes, ...]) -> list[SealedTransaction] | None:
        """Return fetched transactions, or None if any is not correctly signed."""
        sealed = [self._unseal(raw) for raw in raws]
        found = [each for each in sealed if each is not None]
        return found if len(found) == len(sealed) else None

    def _unseal(self, raw: bytes) -> SealedTransaction | None:
        try:
            sealed = decode_transaction(raw)
        except DecodeError:
            return None
        return sealed if is_transaction_signed(sealed, self.world.constitution.genesis_hash) else None

    # what clients bring

    def submit(self, raw: bytes) -> SubmitResult:
        """Take a client's transaction, as the API does."""
        decoded = self.intake.decode(raw)
        if isinstance(decoded, SubmitResult):
            return decoded
        if not is_transaction_signed(decoded, self.world.constitution.genesis_hash):
            return SubmitResult(decoded.id, SubmitStatus.REFUSED, Rejection.SIGNATURE_INVALID)
        if self.machine.behaviour is not None and self.machine.behaviour.hides(decoded):
            return SubmitResult(decoded.id, SubmitStatus.ACCEPTED)
        result = self.intake.admit(decoded, is_own=True)
        self.host.offer_batch()
        return result

    # the port to the links

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        kind = Kind.MESSAGE if channel is Channel.CONSENSUS else Kind.TRANSACTION
        self.world.broadcast(self.machine, Frame(kind, payload))

    def send(self, peer: bytes, channel: Channel, payload: bytes) -> bool:
        del channel  # the host sends messages only
        self.send_frame(ReplicaId(peer), Frame(Kind.MESSAGE, payload))
        return True

    def is_linked(self, peer: bytes) -> bool:
        del peer  # nobody is told of a broken link here: it must be found out by waiting
        return True

    def gossip(self, payload: bytes) -> None:
        self.broadcast(Channel.TRANSACTIONS, payload)

    def penalize(self, peer: bytes, points: int, reason: str) -> None:
        del points
        self.penalties += 1
        self.world.note_penalty(self.machine, ReplicaId(peer), reason)

    def send_frame(self, peer: ReplicaId, frame: Frame) -> None:
        """Send to every machine that holds the peer's key."""
        self.world.send(self.machine, peer, frame)

    # what the host tells

    def on_block(self, deliver: Deliver, result: BlockResult) -> None:
        consumed = [receipt.transaction_id for receipt in result.receipts if receipt.consumed]
        unconsumed = [receipt.transaction_id for receipt in result.receipts if not receipt.consumed]
        self.intake.on_block(consumed, unconsumed, full=is_full(deliver.batch.transactions))
        if self.world.keep_blocks:  # holding each state costs a copy of the store here
            self._pinned.record_executed(result.header, self.storage.chain.snapshot(), result.tree)

    def on_step(self, event: Event, effects: Sequence[Effect]) -> None:
        self.world.note_step(self.machine, event, effects)
        if self.world.told is not None:
            self.world.told(self.world.now_ms, self.machine.index, event, list(effects))

    def on_notice(self, notice: Notice) -> None:
        if isinstance(notice, Certified):
            self.storage.chain.put_certificate(notice.certificate)
            self._pinned.record_certificate(notice.certificate)
            self._upkeep.on_certificate(notice.certificate)
        elif isinstance(notice, EpochStarted):
            self._upkeep.keep_handover(notice.handover)
        elif isinstance(notice, ViewStarted):
            self._watch.restart_deadlines()
        elif isinstance(notice, Equivocation):
            self.storage.chain.put_evidence(encode((notice.first, notice.second)))
        self.world.note_notice(self.machine, notice)

    def on_fetch(self, fetch: Fetch) -> None:
        self.fetcher.fetch(fetch)

    def _plan_watch(self) -> None:
        self.world.timeline.call(int(self._watch.period_s * 1000), self._look)

    def _look(self) -> None:
        if self.is_alive:
            self.guard(self._watch.look, self.host.now())
            self._plan_watch()

    def get_committed(self, name: Digest) -> bool:
        """Tell whether a transaction is in the own chain."""
        return self.storage.chain.find_transaction(name) is not None
