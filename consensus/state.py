"""Everything a replica knows. ``ReplicaState`` and ``Instance`` are the core's only mutable objects."""

from collections import deque
from dataclasses import dataclass, field

from consensus.authentication import sign_envelope
from consensus.effects import TimerName
from consensus.events import Now, Received
from consensus.membership import Membership
from consensus.messages import (
    Certificate,
    Envelope,
    Message,
    PreparedCertificate,
    Proposal,
    Status,
    Testimony,
)
from primitives.batch import NULL_DIGEST, Batch
from primitives.header import Block, BlockHeader
from primitives.ids import Digest, Height, MonotonicMs, ReplicaId, Sequence, View
from primitives.signing import SecretKey


@dataclass(frozen=True, slots=True)
class Settings:
    """What the replica is given once; the times bound waiting (milliseconds) and never safety.

    ``membership`` is that of the epoch in which the last executed block was agreed on.
    """

    membership: Membership
    key: SecretKey
    genesis_hash: Digest
    depth: int
    view_timeout_ms: int
    view_timeout_max_ms: int
    resend_ms: int
    drift_ms: int


@dataclass(slots=True)
class Instance:
    """One sequence of the current view, and what this replica ever prepared there.

    ``batch`` is None for the null batch and while a re-proposed batch is still being fetched. ``accepted`` are the
    latest proposals voted for here, one per digest, with their primaries' signatures: somebody may hold a prepared
    certificate for any of them, and then its batch must be found again.
    """

    sequence: Sequence
    created_ms: MonotonicMs
    proposal: Proposal | None = None
    primary_signature: bytes = b""
    batch: Batch | None = None
    prepares: dict[ReplicaId, Envelope] = field(default_factory=dict)
    commits: dict[ReplicaId, Envelope] = field(default_factory=dict)
    accepted: dict[Digest, tuple[Proposal, bytes]] = field(default_factory=dict)
    prepared: PreparedCertificate | None = None
    committed: Digest | None = None

    @property
    def is_batch_known(self) -> bool:
        """Tell whether the proposed batch is at hand, or is the null batch."""
        return self.proposal is not None and (self.batch is not None or self.proposal.digest == NULL_DIGEST)


@dataclass(slots=True)
class Silence:
    """A replica that does not know everything its key may have signed, and so says nothing that binds it.

    ``nonce`` tells the answers to its inquiry from older ones. ``is_past_unknown``: the journal is not all that was
    signed, so more replicas must testify. ``until`` is the sequence that a certificate must pass before it asks a last
    time; None while it asks. ``view``, ``height``, ``sequence`` and ``votes`` (kind, place, digest; those of that view,
    and of checkpoints all) are what it knew of itself when it began to ask: later it may have learnt from others what
    it once signed. Above ``signed_below`` it has signed nothing: known when it asks a last time.
    """

    nonce: bytes
    is_past_unknown: bool = False
    view: View = View(0)
    height: Height = Height(0)
    sequence: Sequence = Sequence(0)
    votes: frozenset[tuple[str, int, bytes]] = frozenset()
    until: Sequence | None = None
    is_last: bool = False
    signed_below: Sequence = Sequence(0)
    testimonies: dict[ReplicaId, Testimony] = field(default_factory=dict)


@dataclass(slots=True)
class ReplicaState:
    """The agreement state of one replica.

    ``executed`` is the header of the last executed block; ``executed_sequence`` may lie above its sequence by null
    batches. ``stable`` is the latest certificate this replica has executed up to; None means genesis. ``proven`` is
    a later one that a new-view quoted: its blocks are still missing here, and nothing at or below it may be voted on.
    ``following`` is the next epoch's membership once the last block of this one is executed; until that block has its
    certificate, everything above it is void.
    """

    settings: Settings
    membership: Membership
    executed: BlockHeader
    executed_sequence: Sequence
    stable: Certificate | None
    stable_since_ms: MonotonicMs | None = None
    """When ``stable`` became known; None for the one it resumed from."""
    proven: Certificate | None = None
    following: Membership | None = None
    silence: Silence | None = None
    parent_seen_ms: MonotonicMs | None = None
    """When the last block was executed here or the replica started, for the time that a fresh batch may carry."""

    view: View = View(0)
    active: bool = True
    attempt: int = 0
    """Views tried since the last progress; the view time-out doubles with it."""
    new_view: Envelope | None = None
    own_view_change: Envelope | None = None
    view_changes: dict[ReplicaId, Envelope] = field(default_factory=dict)
    lonely_since_ms: MonotonicMs | None = None
    """Since when another replica has been waiting alone in the next view."""
    complaints: dict[ReplicaId, tuple[View, MonotonicMs]] = field(default_factory=dict)

    instances: dict[Sequence, Instance] = field(default_factory=dict)
    batches: dict[Digest, Batch] = field(default_factory=dict)
    held: dict[Sequence, Received] = field(default_factory=dict)
    future: dict[ReplicaId, deque[Received]] = field(default_factory=dict)
    wanted: Sequence | None = None
    delivering: Sequence | None = None

    checkpoints: dict[Height, dict[ReplicaId, Envelope]] = field(default_factory=dict)
    signed_headers: dict[Height, Digest] = field(default_factory=dict)
    newest: dict[tuple[ReplicaId, str], Envelope] = field(default_factory=dict)
    """What a replica last said of each kind that binds it, to remind it when it has lost its memory."""
    statuses: dict[ReplicaId, Status] = field(default_factory=dict)
    fetched: deque[Block] = field(default_factory=deque)
    fetched_certificate: Certificate | None = None
    catch_up_target: Height = Height(0)
    answered: dict[tuple[ReplicaId, str], MonotonicMs] = field(default_factory=dict)
    """When a replica was last given what it missed: at most one entry per replica and kind of answer."""
    reported: dict[ReplicaId, int] = field(default_factory=dict)
    """Contradictions reported of each replica."""

    timers: dict[TimerName, int] = field(default_factory=dict)
    """The generation of each running timer."""
    timer_generation: int = 0
    resends: int = 0
    """How often what others may have missed was said again."""
    halted: bool = False

    @property
    def own(self) -> ReplicaId:
        """Return this replica's voting key."""
        return ReplicaId(self.settings.key.public)

    @property
    def epoch(self) -> int:
        """Return the epoch this replica votes in."""
        return self.membership.epoch

    @property
    def primary(self) -> ReplicaId:
        """Return the leader of the current view."""
        return self.membership.get_primary(self.view)

    @property
    def is_primary(self) -> bool:
        """Tell whether this replica leads the current view."""
        return self.primary == self.own

    @property
    def is_member(self) -> bool:
        """Tell whether this replica has a vote in the epoch; without one it follows."""
        return self.own in self.membership.replica_set

    @property
    def may_vote(self) -> bool:
        """Tell whether this replica may say what binds it: it has a vote, and knows all that it signed."""
        return self.silence is None and self.is_member

    @property
    def stable_sequence(self) -> Sequence:
        """Return the sequence of the latest certificate executed up to; what is at or below it is forgotten."""
        return Sequence(0 if self.stable is None else self.stable.header.sequence)

    @property
    def latest_certificate(self) -> Certificate | None:
        """Return the highest certificate known, executed here or not."""
        return self.stable if self.proven is None else self.proven

    @property
    def quotable_certificate(self) -> Certificate | None:
        """Return the highest certificate of this epoch; None stands for the epoch's beginning."""
        latest = self.latest_certificate
        return latest if latest is not None and latest.header.epoch == self.epoch else None

    @property
    def low_watermark(self) -> Sequence:
        """Return the sequence at or below which nothing is voted on: it has been decided."""
        latest = self.latest_certificate
        return Sequence(0 if latest is None else latest.header.sequence)

    @property
    def stable_height(self) -> Height:
        """Return the height of the latest certificate."""
        return Height(0 if self.stable is None else self.stable.header.height)


def sign(state: ReplicaState, message: Message) -> Envelope:
    """Return ``message`` signed by this replica."""
    return sign_envelope(state.settings.key, state.settings.genesis_hash, message)


def get_instance(state: ReplicaState, sequence: Sequence, now: Now) -> Instance:
    """Return the instance of an in-window sequence, made when it is new."""
    instance = state.instances.get(sequence)
    if instance is None:
        instance = state.instances[sequence] = Instance(sequence, now.monotonic_ms)
    return instance
