"""What the rest of the node does about executed blocks and about what the replica reports."""

from collections import OrderedDict
from collections.abc import Sequence

import structlog

from consensus.effects import (
    Broadcast,
    Certified,
    Deliver,
    Diverged,
    Effect,
    EpochStarted,
    Equivocation,
    Fetch,
    KeyInUse,
    Notice,
    Refused,
    ViewChangeStarted,
    ViewStarted,
    VoiceFound,
    VoiceLost,
)
from consensus.events import Event
from consensus.membership import Membership
from consensus.messages import Certificate, Checkpoint, Envelope
from node.clock import Clock
from node.heard import Heard
from node.inbox import FORGED_POINTS, Inbox
from node.intake import Intake
from node.metrics import Metrics
from node.peers import PeerKeeper
from node.queries import Queries
from node.storage.chain import ChainStore
from node.story import Story
from node.upkeep import Upkeep
from node.watch import Watch
from p2p.network import Network
from p2p.peers import BAN_SCORE
from primitives.encoding import encode
from primitives.ids import Digest, MonotonicMs, ReplicaId
from primitives.limits import BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from vm.executor import BlockResult

log = structlog.get_logger("gridbft.node")

ARRIVALS_REMEMBERED_MAX = 16_384
"""Own clients' transactions whose way to a certificate is being measured; older ones are not measured."""


def is_full(transactions: tuple[bytes, ...]) -> bool:
    """Tell whether a batch had no room for one more transaction of the largest size."""
    room = BATCH_BYTES_MAX - sum(map(len, transactions))
    return len(transactions) >= BATCH_TRANSACTIONS_MAX or room < TRANSACTION_BYTES_MAX


class Bookkeeping:
    """Hears the host: keeps mempool, queries, evidence, metrics and the log in step with the chain."""

    def __init__(
        self,
        chain: ChainStore,
        queries: Queries,
        upkeep: Upkeep,
        intake: Intake,
        metrics: Metrics,
        membership: Membership,
        clock: Clock,
        story: Story,
        heard: Heard,
    ) -> None:
        self._chain = chain
        self._queries = queries
        self._upkeep = upkeep
        self._intake = intake
        self._metrics = metrics
        self._membership = membership
        self._clock = clock
        self._story = story
        self.attendance = heard.attendance
        self._block_ms: MonotonicMs | None = None
        self._certified_ms = clock.monotonic_ms()
        self._inbox: Inbox | None = None
        self._watch: Watch | None = None
        self._network: Network | None = None
        self._keeper: PeerKeeper | None = None
        self._arrivals: OrderedDict[bytes, MonotonicMs] = OrderedDict()
        self._uncertified: OrderedDict[int, tuple[bytes, ...]] = OrderedDict()

    def connect(self, inbox: Inbox, watch: Watch, network: Network, keeper: PeerKeeper) -> None:
        """Bind the parts that themselves need the host."""
        self._keeper = keeper
        self._inbox = inbox
        self._watch = watch
        self._network = network

    def compute_certificate_age_ms(self) -> int:
        """Return how long ago the last certificate came, or this node started."""
        return self._clock.monotonic_ms() - self._certified_ms

    def record_arrival(self, name: Digest) -> None:
        """Start the clock of an accepted transaction's latency."""
        self._arrivals[name] = self._clock.monotonic_ms()
        if len(self._arrivals) > ARRIVALS_REMEMBERED_MAX:
            self._arrivals.popitem(last=False)

    def on_block(self, deliver: Deliver, result: BlockResult) -> None:
        """Bring mempool and queries up to an executed block."""
        header = result.header
        consumed = [receipt.transaction_id for receipt in result.receipts if receipt.consumed]
        unconsumed = [receipt.transaction_id for receipt in result.receipts if not receipt.consumed]
        self._intake.on_block(consumed, unconsumed, full=is_full(deliver.batch.transactions))
        self._queries.record_executed(header, self._chain.snapshot(), result.tree)
        self._uncertified[header.height] = deliver.batch.header.transaction_ids
        self.attendance.on_block(header, self._membership)
        self._measure_interval()
        applied = sum(1 for receipt in result.receipts if receipt.rejection is None)
        for receipt in result.receipts:
            if receipt.rejection is not None:
                self._metrics.record_rejection("ledger", receipt.rejection)
        self._metrics.add("blocks_executed")
        self._metrics.add("transactions_committed", applied)
        self._metrics.add("transactions_rejected", len(result.receipts) - applied)
        self._metrics.set_gauge("chain_height", header.height)
        log.debug("block_executed", height=header.height, transactions=len(result.receipts), applied=applied)

    def on_step(self, event: Event, effects: Sequence[Effect]) -> None:
        """Keep the story going, and note what this validator signs."""
        self._story.tell(event, effects)
        for effect in effects:
            if isinstance(effect, Broadcast) and isinstance(effect.envelope.message, Checkpoint):
                self.attendance.on_checkpoint(effect.envelope.sender, effect.envelope.message.header)

    def on_notice(self, notice: Notice) -> None:
        """Act on what the replica reports."""
        match notice:
            case Certified(certificate=certificate):
                self._on_certificate(certificate)
            case ViewStarted(view=view):
                if self._watch is not None:
                    self._watch.restart_deadlines()
                self._metrics.set_gauge("view", view)
                self._metrics.set_gauge("active", 1)
                log.info("view_started", view=view, primary=self._name(self._membership.get_primary(view)))
            case ViewChangeStarted(view=view, reason=reason):
                self._metrics.add("view_changes")
                self._metrics.set_gauge("active", 0)
                log.warning("view_change_started", view=view, reason=reason)
            case Equivocation(first=first, second=second):
                self._metrics.add("equivocations")
                self._chain.put_evidence(encode((first, second)))
                log.error("equivocation", validator=self._name(ReplicaId(first.sender)))
                if self._network is not None:
                    self._network.penalize(first.sender, BAN_SCORE, _describe_equivocation(first))
            case Refused(sender=sender, reason=reason):
                if self._network is not None:
                    self._network.penalize(sender, FORGED_POINTS, reason)
                log.warning("message_refused", validator=self._name(sender), reason=reason)
            case EpochStarted(membership=membership, handover=handover):
                self._upkeep.keep_handover(handover)
                self._membership = membership
                self._story.follow(membership)
                self._metrics.set_gauge("epoch", membership.epoch)
                names = [validator.name for validator in membership.validators]
                log.info("epoch_started", epoch=membership.epoch, validators=names)
                if self._watch is not None:
                    self._watch.restart_deadlines()
                if self._keeper is not None:
                    self._keeper.follow(membership)
            case VoiceLost(until=until):
                log.warning("voice_lost", until=until)
            case VoiceFound():
                log.info("voice_found")
            case KeyInUse():
                log.error("key_in_use")
            case Diverged(height=height, own=own, certified=certified):
                log.error("diverged", height=height, own=own, certified=certified)

    def on_fetch(self, fetch: Fetch) -> None:
        """Let the inbox get what the replica misses."""
        if self._inbox is not None:
            self._inbox.on_fetch(fetch)

    def _on_certificate(self, certificate: Certificate) -> None:
        height = certificate.header.height
        self._chain.put_certificate(certificate)
        self._queries.record_certificate(certificate)
        self._upkeep.on_certificate(certificate)
        self._metrics.set_gauge("certified_height", height)
        self._metrics.set_gauge("pruned_height", self._chain.get_pruned_height())
        self.attendance.on_certificate(certificate)
        now_ms = self._certified_ms = self._clock.monotonic_ms()
        while self._uncertified and next(iter(self._uncertified)) <= height:
            _, names = self._uncertified.popitem(last=False)
            for name in names:
                arrived = self._arrivals.pop(name, None)
                if arrived is not None:
                    self._metrics.record_commit(now_ms - arrived)

    def _measure_interval(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if self._block_ms is not None:
            self._metrics.get_histogram("block_interval_seconds").observe((now_ms - self._block_ms) / 1000)
        self._block_ms = now_ms

    def _name(self, replica: ReplicaId) -> str:
        return self._membership.get_name(replica)


def _describe_equivocation(first: Envelope) -> str:
    kind = type(first.message).__name__
    return (
        f"it contradicts itself: two signed messages {kind} for one position; the pair is stored as evidence"
    )
