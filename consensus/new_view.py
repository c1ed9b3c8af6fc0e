"""Entering a view: what the new primary must re-propose, recomputed by every backup (Castro and Liskov 1999, 4.4)."""

from consensus import timers
from consensus.effects import (
    AcceptedNewView,
    Broadcast,
    Effect,
    FetchBatch,
    OwnMessage,
    Persist,
    Refused,
    Report,
    TimerName,
    ViewEntered,
    ViewStarted,
)
from consensus.events import Now, Received
from consensus.log import accept_proposal, clear_view, drop_unnamed_batches
from consensus.membership import Membership
from consensus.messages import (
    Envelope,
    NewView,
    Proposal,
    SignedProposal,
    SignedViewChange,
    ViewChange,
    get_signed_bytes,
)
from consensus.state import ReplicaState, sign
from consensus.watermarks import find_latest_certificate, take_certificate
from consensus.window import WINDOW, is_in_window
from primitives.batch import NULL_DIGEST
from primitives.ids import Digest, Epoch, ReplicaId, Sequence, View
from primitives.limits import FRAME_BYTES_MAX
from primitives.signing import SignatureDomain

SIGNATURE_ENTRY_BYTES = 104
"""A replica's key and signature inside a certificate, with the lengths before them."""

NEW_VIEW_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""What the view changes of a new-view may take; the rest is for its proposals and the frame."""


def build_if_due(state: ReplicaState, now: Now) -> list[Effect]:
    """As the next primary, send the new-view as soon as a quorum of view changes for it is here."""
    if state.active or not state.is_primary or not state.may_vote:
        return []
    view_changes = select_view_changes(state)
    if not view_changes:
        return []
    proposals = tuple(
        _sign_proposal(state, proposal)
        for proposal in compute_proposals(state.membership, state.view, view_changes)
    )
    envelope = sign(state, NewView(state.epoch, state.view, view_changes, proposals))
    effects: list[Effect] = [Persist(OwnMessage(envelope)), Broadcast(envelope)]
    return effects + enter(state, now, envelope, proposals)


def select_view_changes(state: ReplicaState) -> tuple[SignedViewChange, ...]:
    """Return a quorum of view changes for the view, or nothing while there is none that fits into a frame.

    They begin within a window of each other. The smallest are taken when the first do not fit: f faulty ones, however
    long, cannot stop the view.
    """
    quorum = state.membership.quorum
    found = select_close(
        state.membership,
        [
            SignedViewChange(replica, envelope.signature, envelope.message)
            for replica, envelope in sorted(state.view_changes.items())
            if isinstance(envelope.message, ViewChange) and envelope.message.view == state.view
        ],
    )
    if not found:
        return ()
    sizes = {entry.sender: compute_size(entry) for entry in found}
    chosen = found[:quorum]
    if sum(sizes[entry.sender] for entry in chosen) > NEW_VIEW_BYTES_MAX:
        smallest = sorted(found, key=lambda entry: (sizes[entry.sender], entry.sender))[:quorum]
        chosen = sorted(smallest, key=lambda entry: entry.sender)
    if sum(sizes[entry.sender] for entry in chosen) > NEW_VIEW_BYTES_MAX:
        return ()
    return tuple(chosen)


def select_close(membership: Membership, found: list[SignedViewChange]) -> list[SignedViewChange]:
    """Return the view changes that begin within a window below one of them, the highest with a quorum; else nothing.

    A replica that has lost its memory votes again when everything it may have signed lies more than a window below: its
    forgotten view changes are then of no use beside fresh ones. Correct replicas further behind catch up first.
    """
    starts = {entry.sender: get_start(membership, entry.view_change) for entry in found}
    for high in sorted(set(starts.values()), reverse=True):
        close = [entry for entry in found if high - WINDOW <= starts[entry.sender] <= high]
        if len(close) >= membership.quorum:
            return close
    return []


def get_start(membership: Membership, view_change: ViewChange) -> int:
    """Return the sequence of the certificate that a view change quotes, or of its epoch's beginning."""
    stable = view_change.stable
    return membership.start_sequence if stable is None else stable.header.sequence


def compute_size(entry: SignedViewChange) -> int:
    """Return an upper bound of a view change's encoded bytes, from its counts."""
    stable = entry.view_change.stable
    signatures = 0 if stable is None else len(stable.signatures)
    signatures += sum(len(certificate.prepares) for certificate in entry.view_change.prepared)
    return 512 + 256 * len(entry.view_change.prepared) + SIGNATURE_ENTRY_BYTES * signatures


def on_new_view(state: ReplicaState, event: Received, message: NewView) -> list[Effect]:
    """Enter the view if its primary proves it.

    In this order: of this epoch; not of a view already entered or left; sent by the view's primary; its view
    changes are a quorum of distinct replicas for this very view, within a window of each other and not more than one
    below what is decided here; its proposals are those that follow from them.
    """
    if message.epoch != state.epoch or message.view < state.view:
        return []
    if message.view == state.view and state.active:
        return []
    sender = ReplicaId(event.envelope.sender)
    membership = state.membership
    if sender != membership.get_primary(View(message.view)):
        return [Report(Refused(sender, "a new-view from a replica that does not lead the view"))]
    senders = [entry.sender for entry in message.view_changes]
    if senders != sorted(set(senders)) or len(senders) < membership.quorum:
        return [Report(Refused(sender, "a new-view without a quorum of distinct view changes"))]
    if any(
        (entry.view_change.epoch, entry.view_change.view) != (message.epoch, message.view)
        for entry in message.view_changes
    ):
        return [Report(Refused(sender, "a new-view that quotes view changes for another view"))]
    starts = [get_start(membership, entry.view_change) for entry in message.view_changes]
    if min(starts) < max(starts) - WINDOW:
        return [Report(Refused(sender, "a new-view of view changes more than a window apart"))]
    if max(starts) < max(state.low_watermark, state.executed_sequence) - WINDOW:
        return []
    expected = compute_proposals(membership, View(message.view), message.view_changes)
    if tuple(entry.proposal for entry in message.proposals) != expected:
        return [Report(Refused(sender, "a new-view whose proposals do not follow from its view changes"))]
    return enter(state, event.now, event.envelope, message.proposals)


def compute_proposals(
    membership: Membership, view: View, view_changes: tuple[SignedViewChange, ...]
) -> tuple[Proposal, ...]:
    """Return what the view must re-propose: above the highest certificate quoted, up to the highest prepared
    sequence, each time the digest prepared in the highest view, and the null batch where nothing was.
    """
    low = max(get_start(membership, entry.view_change) for entry in view_changes)
    chosen: dict[int, Proposal] = {}
    for entry in view_changes:
        for certificate in entry.view_change.prepared:
            prepared = certificate.proposal
            known = chosen.get(prepared.sequence)
            if prepared.sequence > low and (known is None or prepared.view > known.view):
                chosen[prepared.sequence] = prepared
    high = max(chosen, default=low)
    return tuple(
        Proposal(
            membership.epoch, view, sequence, chosen[sequence].digest if sequence in chosen else NULL_DIGEST
        )
        for sequence in range(low + 1, high + 1)
    )


def enter(
    state: ReplicaState, now: Now, envelope: Envelope, proposals: tuple[SignedProposal, ...]
) -> list[Effect]:
    """Work in the view: nothing that its latest quoted certificate decides is voted on again, and its re-proposals
    are accepted as they are, whatever their batches' time.
    """
    message = envelope.message
    if not isinstance(message, NewView):
        return []
    state.view = View(message.view)
    state.active = True
    state.new_view = envelope
    clear_view(state)
    certificate = find_latest_certificate(message)
    if certificate is not None:
        take_certificate(state, certificate)
    effects: list[Effect] = [
        *timers.stop(state, TimerName.VIEW_CHANGE),
        *timers.stop(state, TimerName.PROGRESS),
        Persist(AcceptedNewView(envelope)),
        Persist(ViewEntered(state.epoch, message.view, active=True)),
        Report(ViewStarted(Epoch(state.epoch), state.view)),
    ]
    for entry in proposals:
        proposal = entry.proposal
        if not is_in_window(state, proposal.sequence):
            continue
        _require_same_decision(state, proposal)
        batch = state.batches.get(Digest(proposal.digest))
        effects += accept_proposal(state, now, proposal, entry.signature, batch)
    drop_unnamed_batches(state)
    return effects + fetch_missing(state)


def fetch_missing(state: ReplicaState) -> list[Effect]:
    """Ask for the batches of re-proposals that this replica never saw; repeated with every re-send."""
    peers = tuple(sorted(state.membership.replica_set - {state.own}))
    return [
        FetchBatch(Digest(instance.proposal.digest), peers)
        for _, instance in sorted(state.instances.items())
        if instance.proposal is not None and not instance.is_batch_known
    ]


def _sign_proposal(state: ReplicaState, proposal: Proposal) -> SignedProposal:
    settings = state.settings
    signature = settings.key.sign(
        SignatureDomain.CONSENSUS, settings.genesis_hash, get_signed_bytes(proposal)
    )
    return SignedProposal(proposal, signature)


def _require_same_decision(state: ReplicaState, proposal: Proposal) -> None:
    """A committed digest that a proven new-view contradicts means more than f faulty replicas: stop."""
    instance = state.instances.get(Sequence(proposal.sequence))
    if instance is not None and instance.committed not in (None, proposal.digest):
        message = f"sequence {proposal.sequence} was committed with another digest than the new view proposes"
        raise AssertionError(message)
