"""Every executed block is a checkpoint: sign its header, collect a quorum, move the watermarks."""

from consensus.effects import (
    Broadcast,
    Effect,
    Persist,
    Send,
    SignedHeader,
)
from consensus.events import Executed, Received
from consensus.log import may_answer, report_equivocation
from consensus.messages import Checkpoint, Envelope
from consensus.state import ReplicaState, sign
from consensus.watermarks import find_certificate, halt, stabilise
from primitives.header import BlockHeader
from primitives.ids import Height, ReplicaId, Sequence

UNCERTIFIED_RESENT = 4
"""Own checkpoints repeated while no certificate covers them; a later one covers the earlier by the parents' links."""


def take_over(state: ReplicaState, event: Executed) -> None:
    """Make the executed block the parent of what comes next."""
    state.delivering = None
    state.executed = event.header
    state.executed_sequence = Sequence(max(event.sequence, state.executed_sequence))
    state.parent_seen_ms = event.now.monotonic_ms


def sign_checkpoint(state: ReplicaState, header: BlockHeader) -> list[Effect]:
    """Sign and broadcast a header once and for all; never one that a quorum already contradicts."""
    digest = header.compute_digest()
    signed = state.signed_headers.get(Height(header.height))
    if signed is not None and signed != digest:
        return halt(state, Height(header.height), digest, signed)
    votes = state.checkpoints.setdefault(Height(header.height), {})
    certificate = find_certificate(state, votes)
    if certificate is not None and certificate.header != header:
        return halt(state, Height(header.height), digest, certificate.header.compute_digest())
    if not state.may_vote:
        return check_certificate_formed(state, Height(header.height))
    state.signed_headers[Height(header.height)] = digest
    envelope = sign(state, Checkpoint(header))
    votes[state.own] = envelope
    effects: list[Effect] = [Persist(SignedHeader(header.height, digest)), Broadcast(envelope)]
    return effects + check_certificate_formed(state, Height(header.height))


def on_checkpoint(state: ReplicaState, event: Received, message: Checkpoint) -> list[Effect]:
    """Count a checkpoint: current epoch, not below the latest certificate, its sender's first for the height.

    A repetition of the latest certificate's header, or a checkpoint of the epoch that this header ended, says that its
    sender misses the certificate: it is given the signatures, whoever they are of, because their own senders may be
    silent by now. Not while the certificate is younger than a re-send period: what the sender misses is on its way
    then, and everybody answering everybody would cost n cubed messages.
    """
    header = message.header
    height = Height(header.height)
    sender = ReplicaId(event.envelope.sender)
    if header.epoch == state.epoch:
        votes = state.checkpoints.setdefault(height, {})
        known = votes.get(sender)
        if known is None:
            votes[sender] = event.envelope
            return check_certificate_formed(state, height)
        if known.message != message:
            return report_equivocation(state, known, event.envelope)
    stable = state.stable
    if stable is None or header != stable.header:
        return []
    since_ms = state.stable_since_ms
    if since_ms is not None and event.now.monotonic_ms - since_ms < state.settings.resend_ms:
        return []
    if not may_answer(state, sender, "certificate", event.now):
        return []
    return [
        Send(sender, Envelope(entry.replica, entry.signature, message))
        for entry in stable.signatures
        if entry.replica != sender
    ]


def check_certificate_formed(state: ReplicaState, height: Height) -> list[Effect]:
    """Stabilise the checkpoint when a quorum signed one header of an executed height above the latest certificate."""
    if not state.stable_height < height <= state.executed.height:
        return []
    votes = state.checkpoints.get(height, {})
    certificate = find_certificate(state, votes)
    if certificate is None:
        return []
    return stabilise(state, certificate)


def resend(state: ReplicaState) -> list[Effect]:
    """Repeat the own checkpoints that no certificate covers yet; sign the executed one if a restart forgot it."""
    if not state.may_vote:
        return []
    effects: list[Effect] = []
    executed = Height(state.executed.height)
    if executed > state.stable_height and state.own not in state.checkpoints.get(executed, {}):
        return sign_checkpoint(state, state.executed)
    for height in sorted(state.checkpoints):
        if max(state.stable_height, executed - UNCERTIFIED_RESENT) < height <= executed:
            own = state.checkpoints[height].get(state.own)
            effects += [] if own is None else [Broadcast(own)]
    return effects
