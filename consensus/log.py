"""The instances of the window: accepting a proposal, collecting votes, keeping messages that came too early."""

from collections import deque

from consensus.effects import (
    AcceptedBatch,
    Broadcast,
    Effect,
    Equivocation,
    OwnMessage,
    OwnProposal,
    Persist,
    Report,
)
from consensus.events import Now, Received
from consensus.messages import Commit, Envelope, Prepare, PrePrepare, Proposal
from consensus.state import Instance, ReplicaState, get_instance, sign
from primitives.batch import NULL_DIGEST, Batch
from primitives.ids import Digest, ReplicaId, Sequence

FUTURE_VOTES_MAX = 64
"""Messages of later views kept per sender: a view change lasts a few sequences; newer ones replace older."""

ACCEPTED_KEPT = 4
"""Digests of one sequence whose batches are kept over view changes: each needs a failed view of its own."""

EVIDENCE_MAX = 16
"""Contradictions of one replica that are reported: one proves it faulty, and it can sign them without end."""

FUTURE_PROPOSALS_MAX = 4
"""Pre-prepares among them: the depth's maximum, because each may hold a whole batch."""


def accept_proposal(
    state: ReplicaState, now: Now, proposal: Proposal, signature: bytes, batch: Batch | None
) -> list[Effect]:
    """Bind a position of the current view to a digest, and vote for it unless this replica proposed it.

    Without its batch (a re-proposal that is still being fetched) nothing is voted yet.
    """
    instance = get_instance(state, Sequence(proposal.sequence), now)
    instance.proposal = proposal
    instance.primary_signature = signature
    instance.batch = batch
    if batch is not None:
        state.batches[Digest(proposal.digest)] = batch
    if not instance.is_batch_known:
        return []
    return vote_prepare(state, instance)


def vote_prepare(state: ReplicaState, instance: Instance) -> list[Effect]:
    """Make the accepted proposal durable and, as a backup, prepare it; a position gets one vote for ever."""
    proposal = instance.proposal
    if proposal is None:
        return []
    remember_accepted(instance, proposal, instance.primary_signature)
    if not state.may_vote:
        return []
    effects: list[Effect] = [
        Persist(AcceptedBatch(proposal, instance.primary_signature, instance.batch)),
    ]
    if state.is_primary:
        return [*effects, Persist(OwnProposal(proposal))]
    if state.own in instance.prepares:
        return effects
    prepare = sign(state, Prepare(proposal.epoch, proposal.view, proposal.sequence, proposal.digest))
    instance.prepares[state.own] = prepare
    return [*effects, Persist(OwnMessage(prepare)), Broadcast(prepare)]


def remember_accepted(instance: Instance, proposal: Proposal, signature: bytes) -> None:
    """Keep the proposal's batch findable over view changes; the oldest of too many is forgotten."""
    digest = Digest(proposal.digest)
    if digest == NULL_DIGEST:
        return
    instance.accepted.pop(digest, None)
    instance.accepted[digest] = (proposal, signature)
    if len(instance.accepted) > ACCEPTED_KEPT:
        del instance.accepted[next(iter(instance.accepted))]


def record_vote(
    state: ReplicaState, votes: dict[ReplicaId, Envelope], envelope: Envelope
) -> list[Effect] | None:
    """Keep a replica's first vote of a phase; None when it is a repetition, a report when it contradicts the first."""
    sender = ReplicaId(envelope.sender)
    known = votes.get(sender)
    if known is None:
        votes[sender] = envelope
        return []
    if get_vote_digest(known) == get_vote_digest(envelope):
        return None
    return report_equivocation(state, known, envelope)


def report_equivocation(state: ReplicaState, first: Envelope, second: Envelope) -> list[Effect]:
    """Report two messages that exclude each other, the first EVIDENCE_MAX times for each sender."""
    sender = ReplicaId(first.sender)
    count = state.reported.get(sender, 0)
    if count >= EVIDENCE_MAX:
        return []
    state.reported[sender] = count + 1
    return [Report(Equivocation(first, second))]


def may_answer(
    state: ReplicaState, sender: ReplicaId, kind: str, now: Now, period_ms: int | None = None
) -> bool:
    """Tell whether to give a replica again what it misses: once per re-send period unless told otherwise, for answers
    are large and questions small.
    """
    period_ms = state.settings.resend_ms if period_ms is None else period_ms
    answered = state.answered.get((sender, kind))
    if answered is not None and now.monotonic_ms - answered < period_ms:
        return False
    state.answered[sender, kind] = now.monotonic_ms
    return True


def get_vote_digest(envelope: Envelope) -> bytes:
    """Return the digest that a prepare, commit or pre-prepare names."""
    message = envelope.message
    if isinstance(message, Prepare | Commit):
        return message.digest
    if isinstance(message, PrePrepare):
        return message.proposal.digest
    return b""


def select_matching(votes: dict[ReplicaId, Envelope], digest: bytes) -> dict[ReplicaId, Envelope]:
    """Return the votes for ``digest``."""
    return {replica: envelope for replica, envelope in votes.items() if get_vote_digest(envelope) == digest}


def buffer_future(state: ReplicaState, event: Received) -> None:
    """Keep a message of a later view, or of the current one before its new-view; bounded per sender."""
    sender = ReplicaId(event.envelope.sender)
    kept = state.future.setdefault(sender, deque())
    if isinstance(event.envelope.message, PrePrepare):
        proposals = [entry for entry in kept if isinstance(entry.envelope.message, PrePrepare)]
        if len(proposals) >= FUTURE_PROPOSALS_MAX:
            kept.remove(proposals[0])
    if len(kept) >= FUTURE_VOTES_MAX:
        kept.popleft()
    kept.append(event)


def take_future(state: ReplicaState) -> list[Received]:
    """Return, and forget, the kept messages in the order of their senders; what is still early is kept again."""
    events = [event for sender in sorted(state.future) for event in state.future[sender]]
    state.future.clear()
    return events


def clear_view(state: ReplicaState) -> None:
    """Forget what belonged to the view that ends; what was accepted, prepared and committed in it remains."""
    for instance in state.instances.values():
        instance.proposal = None
        instance.primary_signature = b""
        instance.batch = None
        instance.prepares = {}
        instance.commits = {}
    state.held.clear()
    state.wanted = None
    state.complaints.clear()


def truncate_log(state: ReplicaState) -> None:
    """Forget everything at or below the low watermark, and batches that no remaining instance names."""
    low = state.stable_sequence
    state.instances = {s: instance for s, instance in state.instances.items() if s > low}
    state.held = {s: event for s, event in state.held.items() if s > low}
    drop_unnamed_batches(state)


def drop_unnamed_batches(state: ReplicaState) -> None:
    """Keep only batches that the window names: proposed, voted for and undecided, prepared or committed."""
    named: set[bytes] = set()
    for instance in state.instances.values():
        if instance.proposal is not None:
            named.add(instance.proposal.digest)
        if instance.prepared is not None:
            named.add(instance.prepared.proposal.digest)
        if instance.committed is not None:
            named.add(instance.committed)
        else:
            named.update(instance.accepted)
    state.batches = {digest: batch for digest, batch in state.batches.items() if digest in named}
