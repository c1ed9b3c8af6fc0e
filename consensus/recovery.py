"""From the journal to a replica that keeps every promise it made, and back to a journal that is as short."""

from collections.abc import Iterable
from typing import assert_never

from consensus.effects import (
    AcceptedBatch,
    AcceptedNewView,
    JournalRecord,
    KnownCertificate,
    OwnMessage,
    OwnProposal,
    PreparedRecord,
    SignedHeader,
    Silenced,
    ViewEntered,
)
from consensus.epochs import begin_epoch
from consensus.log import clear_view, drop_unnamed_batches, remember_accepted
from consensus.messages import Certificate, Commit, Envelope, NewView, Prepare, Proposal, ViewChange
from consensus.state import Instance, ReplicaState, Silence
from consensus.watermarks import find_latest_certificate, take_certificate
from primitives.ids import Digest, Height, MonotonicMs, Sequence, View


def restore(state: ReplicaState, records: Iterable[JournalRecord]) -> None:
    """Bring a new state to where its journal says it was; records of finished sequences are passed over."""
    begin_epoch(state)
    for record in records:
        _restore_record(state, record)
    if state.active and state.view > 0 and state.new_view is None:
        state.active = False  # the new-view itself was lost, so what its primary bound is not known
    drop_unnamed_batches(state)


def _restore_record(state: ReplicaState, record: JournalRecord) -> None:
    match record:
        case ViewEntered():
            if record.epoch == state.epoch and (record.view > state.view or not record.active):
                _restore_view(state, View(record.view), active=record.active)
        case OwnMessage(envelope=envelope) | AcceptedNewView(envelope=envelope):
            _restore_message(state, envelope)
        case AcceptedBatch(proposal=proposal):
            if _is_open(state, proposal):
                instance = _get_instance(state, proposal.sequence)
                remember_accepted(instance, proposal, record.primary_signature)
                _restore_proposal(state, proposal, record.primary_signature)
                if record.batch is not None:
                    state.batches[Digest(proposal.digest)] = record.batch
                    _attach_batch(state, proposal)
        case PreparedRecord(certificate=certificate):
            if _is_open(state, certificate.proposal):
                _get_instance(state, certificate.proposal.sequence).prepared = certificate
        case SignedHeader(height=height, digest=digest):
            if height >= state.stable_height:
                state.signed_headers[Height(height)] = Digest(digest)
        case OwnProposal(proposal=proposal):
            if _is_open(state, proposal) and proposal.view == state.view:
                _get_instance(state, proposal.sequence).proposal = proposal
        case KnownCertificate(certificate=certificate):
            _restore_certificate(state, certificate)
        case Silenced(is_over=is_over):
            state.silence = _restore_silence(state, is_over=is_over)
        case _:
            assert_never(record)


def collect_records(state: ReplicaState) -> list[JournalRecord]:
    """Return the records from which ``restore`` gives this state's promises again."""
    records: list[JournalRecord] = []
    if state.latest_certificate is not None:
        records.append(KnownCertificate(state.latest_certificate))
    if state.silence is not None and state.silence.is_past_unknown:
        records.append(Silenced(is_over=False))
    records.append(ViewEntered(state.epoch, state.view, state.active))
    if state.new_view is not None:
        records.append(AcceptedNewView(state.new_view))
    if state.own_view_change is not None:
        records.append(OwnMessage(state.own_view_change))
    records += [SignedHeader(height, state.signed_headers[height]) for height in sorted(state.signed_headers)]
    for _, instance in sorted(state.instances.items()):
        records += _collect_instance(state, instance)
    return records


def _collect_instance(state: ReplicaState, instance: Instance) -> list[JournalRecord]:
    records: list[JournalRecord] = []
    prepared, proposal = instance.prepared, instance.proposal
    if prepared is not None:
        batch = state.batches.get(Digest(prepared.proposal.digest))
        records += [
            AcceptedBatch(prepared.proposal, prepared.primary_signature, batch),
            PreparedRecord(prepared),
        ]
    records += [  # after it: the same digest may have been accepted again in a later view
        AcceptedBatch(accepted, signature, state.batches[digest])
        for digest, (accepted, signature) in instance.accepted.items()
        if digest in state.batches
    ]
    if proposal is not None:
        records.append(AcceptedBatch(proposal, instance.primary_signature, instance.batch))
        if state.is_primary:
            records.append(OwnProposal(proposal))
    for votes in (instance.prepares, instance.commits):
        if state.own in votes:
            records.append(OwnMessage(votes[state.own]))
    return records


def _restore_certificate(state: ReplicaState, certificate: Certificate) -> None:
    """Take what the store may have lost: the certificate with which the next epoch began, or a later one."""
    if state.following is not None and certificate.header == state.executed:
        state.stable = certificate
        begin_epoch(state)
    else:
        take_certificate(state, certificate)


def _restore_silence(state: ReplicaState, *, is_over: bool) -> Silence | None:
    """Return how silent the replica is after a record: one whose past is unknown stays so over restarts."""
    silence = state.silence
    if is_over and silence is None:
        return None
    nonce = b"" if silence is None else silence.nonce
    return None if is_over and not nonce else Silence(nonce, is_past_unknown=not is_over)


def _restore_view(state: ReplicaState, view: View, *, active: bool) -> None:
    state.view = view
    state.active = active
    clear_view(state)
    if not active:
        state.new_view = None


def _restore_message(state: ReplicaState, envelope: Envelope) -> None:
    message = envelope.message
    if isinstance(message, ViewChange) and message.epoch == state.epoch:
        state.own_view_change = envelope
        state.view_changes[state.own] = envelope
        if message.stable is not None:
            take_certificate(state, message.stable)
        if message.view > state.view:
            _restore_view(state, View(message.view), active=False)
    elif isinstance(message, NewView) and message.epoch == state.epoch and message.view >= state.view:
        if message.view > state.view or not state.active:
            _restore_view(state, View(message.view), active=True)
        state.new_view = envelope
        quoted = find_latest_certificate(message)
        if quoted is not None:
            take_certificate(state, quoted)
        for entry in message.proposals:
            if _is_open(state, entry.proposal):
                _restore_proposal(state, entry.proposal, entry.signature)
                _attach_batch(state, entry.proposal)
    elif (
        isinstance(message, Prepare | Commit)
        and (message.epoch, message.view) == (state.epoch, state.view)
        and message.sequence > state.stable_sequence
    ):
        instance = _get_instance(state, message.sequence)
        votes = instance.prepares if isinstance(message, Prepare) else instance.commits
        votes[state.own] = envelope


def _restore_proposal(state: ReplicaState, proposal: Proposal, signature: bytes) -> None:
    if proposal.view != state.view:
        return
    instance = _get_instance(state, proposal.sequence)
    instance.proposal = proposal
    instance.primary_signature = signature


def _attach_batch(state: ReplicaState, proposal: Proposal) -> None:
    instance = _get_instance(state, proposal.sequence)
    if instance.proposal is not None and instance.proposal.digest == proposal.digest:
        instance.batch = state.batches.get(Digest(proposal.digest))


def _is_open(state: ReplicaState, proposal: Proposal) -> bool:
    return proposal.epoch == state.epoch and proposal.sequence > state.stable_sequence


def _get_instance(state: ReplicaState, sequence: int) -> Instance:
    return state.instances.setdefault(Sequence(sequence), Instance(Sequence(sequence), MonotonicMs(0)))
