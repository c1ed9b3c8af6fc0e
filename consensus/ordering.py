"""Agreement on one batch per sequence: pre-prepare, prepare, commit (Castro and Liskov 1999, section 4.2)."""

from consensus.certificates import build_prepared
from consensus.effects import (
    Broadcast,
    Deliver,
    Effect,
    OwnMessage,
    Persist,
    PreparedRecord,
    Refused,
    Report,
    WantBatch,
)
from consensus.events import BatchFetched, Now, Proposed, Received
from consensus.log import (
    accept_proposal,
    buffer_future,
    record_vote,
    report_equivocation,
    select_matching,
    vote_prepare,
)
from consensus.messages import Commit, Envelope, Prepare, PrePrepare, Proposal
from consensus.state import Instance, ReplicaState, get_instance, sign
from consensus.window import WINDOW, is_executed, is_in_window
from primitives.batch import NULL_DIGEST, Batch
from primitives.ids import Digest, Epoch, Height, ReplicaId, Sequence


def on_proposed(state: ReplicaState, event: Proposed) -> list[Effect]:
    """Propose the host's batch, if it answers the question that is still open in this very view."""
    if (event.epoch, event.view) != (state.epoch, state.view) or not state.active:
        return []
    if event.sequence != state.wanted or not state.is_primary or not state.may_vote:
        return []
    state.wanted = None
    if is_executed(state, event.sequence) or not is_in_window(state, event.sequence):
        return []
    proposal = Proposal(state.epoch, state.view, event.sequence, event.batch.header.compute_digest())
    envelope = sign(state, PrePrepare(proposal, event.batch.header))
    effects = accept_proposal(state, event.now, proposal, envelope.signature, event.batch)
    return [*effects, Broadcast(envelope), *check_instance(state, state.instances[event.sequence])]


def on_pre_prepare(state: ReplicaState, event: Received, message: PrePrepare) -> list[Effect]:
    """Accept a fresh proposal.

    Accepted when, in this order: epoch and view are current (later views are kept); the sender leads the view and
    named itself proposer; the sequence is in the window, free, and not executed (what was is re-proposed by a
    new-view or never); nobody jumps ahead of its predecessor; the batch's time is not beyond the clock's drift. What
    fails one of the last two is held and looked at again.
    """
    proposal = message.proposal
    if proposal.epoch != state.epoch or proposal.view < state.view:
        return []
    if proposal.view > state.view or not state.active:
        buffer_future(state, event)
        return []
    sender = ReplicaId(event.envelope.sender)
    if sender != state.primary or message.batch.proposer != sender:
        return [Report(Refused(sender, "a pre-prepare from a replica that does not lead the view"))]
    if event.batch is None or not is_in_window(state, proposal.sequence):
        return []
    if proposal.digest == NULL_DIGEST:
        return [Report(Refused(sender, "a fresh proposal of the null batch"))]
    instance = get_instance(state, Sequence(proposal.sequence), event.now)
    if instance.proposal is not None:
        return _compare_proposals(state, instance, event.envelope, message)
    if is_executed(state, proposal.sequence):
        return []
    if not _is_next(state, proposal.sequence) or not _is_time_acceptable(state, event.now, event.batch):
        state.held[Sequence(proposal.sequence)] = event
        return []
    state.held.pop(Sequence(proposal.sequence), None)
    effects = accept_proposal(state, event.now, proposal, event.envelope.signature, event.batch)
    return effects + check_instance(state, instance) + release_held(state, event.now)


def release_held(state: ReplicaState, now: Now) -> list[Effect]:
    """Look again at held proposals, lowest sequence first, with the clocks of ``now``."""
    effects: list[Effect] = []
    for sequence in sorted(state.held):
        event = state.held[sequence]
        message = event.envelope.message
        if not isinstance(message, PrePrepare) or not _is_next(state, sequence):
            break
        if event.batch is None or not _is_time_acceptable(state, now, event.batch):
            break
        del state.held[sequence]
        if state.instances[sequence].proposal is None:
            effects += accept_proposal(state, now, message.proposal, event.envelope.signature, event.batch)
            effects += check_instance(state, state.instances[sequence])
    return effects


def on_prepare(state: ReplicaState, event: Received, message: Prepare) -> list[Effect]:
    """Count a backup's prepare: current epoch and view, not the primary, in the window, its first here."""
    if message.epoch != state.epoch or message.view < state.view:
        return []
    if message.view > state.view or not state.active:
        buffer_future(state, event)
        return []
    if event.envelope.sender == state.primary:
        return [Report(Refused(ReplicaId(event.envelope.sender), "the primary sent a prepare"))]
    return _count(state, event, message)


def on_commit(state: ReplicaState, event: Received, message: Commit) -> list[Effect]:
    """Count a commit: current epoch and view, in the window, its sender's first here."""
    if message.epoch != state.epoch or message.view < state.view:
        return []
    if message.view > state.view or not state.active:
        buffer_future(state, event)
        return []
    return _count(state, event, message)


def on_batch_fetched(state: ReplicaState, event: BatchFetched) -> list[Effect]:
    """Vote for the re-proposals that waited for this batch."""
    if event.batch.header.compute_digest() != event.digest:
        return []
    effects: list[Effect] = []
    for sequence in sorted(state.instances):
        instance = state.instances[sequence]
        if instance.proposal is None or instance.proposal.digest != event.digest or instance.is_batch_known:
            continue
        instance.batch = event.batch
        state.batches[event.digest] = event.batch
        effects += vote_prepare(state, instance)
        effects += check_instance(state, instance)
    return effects


def check_instance(state: ReplicaState, instance: Instance) -> list[Effect]:
    """Advance an instance as far as its votes carry it: prepared, then committed. Without a vote it is only watched.

    A proposal whose own prepare a restart forgot, because it was not durable yet, is prepared first.
    """
    proposal = instance.proposal
    if proposal is None or not instance.is_batch_known or not state.active:
        return []
    effects: list[Effect] = []
    quorum = state.membership.quorum
    if state.may_vote and not state.is_primary and state.own not in instance.prepares:
        effects += vote_prepare(state, instance)
    if state.may_vote and state.own not in instance.commits:
        prepares = select_matching(instance.prepares, proposal.digest)
        if len(prepares) < quorum - 1:
            return effects
        certificate = build_prepared(proposal, instance.primary_signature, prepares)
        instance.prepared = certificate
        commit = sign(state, Commit(proposal.epoch, proposal.view, proposal.sequence, proposal.digest))
        instance.commits[state.own] = commit
        effects += [Persist(PreparedRecord(certificate)), Persist(OwnMessage(commit)), Broadcast(commit)]
    if instance.committed is None and len(select_matching(instance.commits, proposal.digest)) >= quorum:
        instance.committed = Digest(proposal.digest)
    return effects


def deliver_next(state: ReplicaState) -> list[Effect]:
    """Hand the next committed batch to the host, one at a time; null batches are passed over."""
    while state.delivering is None and not state.fetched and state.following is None:
        sequence = Sequence(state.executed_sequence + 1)
        instance = state.instances.get(sequence)
        if instance is None or instance.committed is None:
            return []
        if instance.committed == NULL_DIGEST:
            state.executed_sequence = sequence
            continue
        batch = state.batches.get(instance.committed)
        if batch is None:
            return []
        state.delivering = sequence
        height = Height(state.executed.height + 1)
        return [Deliver(Epoch(state.epoch), sequence, height, batch)]
    return []


def want_batch(state: ReplicaState) -> list[Effect]:
    """As primary, ask for the next batch while fewer than ``depth`` are on their way."""
    if not state.active or not state.is_primary or not state.may_vote or state.fetched:
        return []
    decided = max(state.executed_sequence, state.low_watermark)
    if state.wanted is not None and state.wanted > decided:
        return []
    proposed = [s for s, instance in state.instances.items() if instance.proposal is not None]
    if any(not state.instances[s].is_batch_known for s in proposed):
        return []
    sequence = Sequence(max([decided, *proposed]) + 1)
    if sequence > decided + state.settings.depth or not is_in_window(state, sequence):
        return []
    if not _is_next(state, sequence):
        return []
    state.wanted = sequence
    in_flight = tuple(
        instance.batch.header
        for s, instance in sorted(state.instances.items())
        if instance.batch is not None and instance.proposal is not None and s > state.executed_sequence
    )
    return [WantBatch(Epoch(state.epoch), state.view, sequence, in_flight)]


def resend(state: ReplicaState, now: Now) -> list[Effect]:
    """Repeat the own messages of every instance that is older than a re-send period and not yet certified."""
    if not state.may_vote:
        return []
    effects: list[Effect] = []
    for sequence in sorted(state.instances):
        instance = state.instances[sequence]
        proposal = instance.proposal
        if proposal is None or now.monotonic_ms - instance.created_ms < state.settings.resend_ms:
            continue
        if state.is_primary and instance.batch is not None and instance.batch.header.proposer == state.own:
            pre_prepare = PrePrepare(proposal, instance.batch.header)
            effects.append(Broadcast(Envelope(state.own, instance.primary_signature, pre_prepare)))
        effects += [
            Broadcast(votes[state.own])
            for votes in (instance.prepares, instance.commits)
            if state.own in votes
        ]
    return effects


def compute_ahead_ms(state: ReplicaState, now: Now, batch: Batch) -> int:
    """Return how far a fresh batch's time is beyond max(own clock, parent's time and what passed since) + drift."""
    seen_ms = now.monotonic_ms if state.parent_seen_ms is None else state.parent_seen_ms
    since_parent = state.executed.time_ms + now.monotonic_ms - seen_ms
    return max(0, batch.header.time_ms - max(now.wall_ms, since_parent) - state.settings.drift_ms)


def has_uncommitted(state: ReplicaState) -> bool:
    """Tell whether a proposal of this view waits for votes: the reason to watch the primary."""
    return any(
        instance.proposal is not None and instance.committed is None and not is_executed(state, sequence)
        for sequence, instance in state.instances.items()
    )


def _count(state: ReplicaState, event: Received, message: Prepare | Commit) -> list[Effect]:
    if not is_in_window(state, message.sequence):
        return []
    instance = get_instance(state, Sequence(message.sequence), event.now)
    votes = instance.prepares if isinstance(message, Prepare) else instance.commits
    effects = record_vote(state, votes, event.envelope)
    if effects is None:
        return []
    return effects + check_instance(state, instance)


def _is_next(state: ReplicaState, sequence: int) -> bool:
    """Tell whether the sequence's predecessor is executed or proposed in this view; in the upper half of the window
    it must be executed. There no gap can arise, hence no null batch, which has no block to move the watermarks by.
    """
    if sequence <= max(state.executed_sequence, state.low_watermark) + 1:
        return True
    if sequence > state.low_watermark + WINDOW // 2:
        return False
    before = state.instances.get(Sequence(sequence - 1))
    return before is not None and before.proposal is not None


def _is_time_acceptable(state: ReplicaState, now: Now, batch: Batch) -> bool:
    return compute_ahead_ms(state, now, batch) == 0


def _compare_proposals(
    state: ReplicaState, instance: Instance, envelope: Envelope, message: PrePrepare
) -> list[Effect]:
    """Ignore a repeated proposal; report a second digest for the same position as evidence."""
    accepted = instance.proposal
    if accepted is None or accepted.digest == message.proposal.digest or instance.batch is None:
        return []
    first = Envelope(state.primary, instance.primary_signature, PrePrepare(accepted, instance.batch.header))
    return report_equivocation(state, first, envelope)
