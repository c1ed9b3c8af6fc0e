"""Watermarks move on certificates: what a certificate makes stable, and what it forbids to go on."""

from consensus.certificates import build_certificate
from consensus.effects import Certified, Diverged, Effect, Report
from consensus.log import truncate_log
from consensus.messages import Certificate, Checkpoint, Envelope, NewView
from consensus.state import ReplicaState
from primitives.ids import Digest, Height, ReplicaId


def stabilise(state: ReplicaState, certificate: Certificate) -> list[Effect]:
    """Make a certificate of an executed height the low watermark; another header than the own one halts."""
    height = Height(certificate.header.height)
    certified = certificate.header.compute_digest()
    own = state.signed_headers.get(height)
    if height == state.executed.height:
        own = state.executed.compute_digest()
    if own is not None and own != certified:
        return halt(state, height, own, certified)
    if height <= state.stable_height:
        return []
    state.stable = certificate
    if state.proven is not None and state.proven.header.height <= height:
        state.proven = None
    truncate_log(state)
    state.checkpoints = {h: votes for h, votes in state.checkpoints.items() if h >= height}
    state.signed_headers = {h: digest for h, digest in state.signed_headers.items() if h >= height}
    return [Report(Certified(certificate))]


def find_latest_certificate(new_view: NewView) -> Certificate | None:
    """Return the highest certificate that a new-view's view changes quote: the view begins above it."""
    quoted = [entry.view_change.stable for entry in new_view.view_changes]
    known = [certificate for certificate in quoted if certificate is not None]
    return max(known, key=lambda certificate: certificate.header.sequence, default=None)


def take_certificate(state: ReplicaState, certificate: Certificate) -> None:
    """Keep a checked certificate that is later than every known one; what it decides is not voted on again."""
    if certificate.header.sequence > state.low_watermark:
        state.proven = certificate


def stabilise_proven(state: ReplicaState) -> list[Effect]:
    """Make the proven certificate the stable one as soon as its height is executed."""
    proven = state.proven
    if proven is None or proven.header.height > state.executed.height:
        return []
    state.proven = None
    return stabilise(state, proven)


def find_certified_height(state: ReplicaState) -> Height:
    """Return the highest height above the executed one for which the collected checkpoints are a quorum, else 0."""
    for height in sorted(state.checkpoints, reverse=True):
        if height <= state.executed.height:
            return Height(0)
        if find_certificate(state, state.checkpoints[height]) is not None:
            return height
    return Height(0)


def halt(state: ReplicaState, height: Height, own: Digest, certified: Digest) -> list[Effect]:
    """Stop for ever: this replica's execution is not the quorum's, so none of its votes may count."""
    state.halted = True
    return [Report(Diverged(height, own, certified))]


def find_certificate(state: ReplicaState, votes: dict[ReplicaId, Envelope]) -> Certificate | None:
    """Return the certificate that a quorum of these checkpoints forms, or None."""
    quorum = state.membership.quorum
    if len(votes) < quorum:
        return None
    groups: dict[Digest, dict[ReplicaId, Envelope]] = {}
    for replica in sorted(votes):
        message = votes[replica].message
        if isinstance(message, Checkpoint):
            groups.setdefault(message.header.compute_digest(), {})[replica] = votes[replica]
    for digest in sorted(groups):
        group = groups[digest]
        if len(group) >= quorum:
            message = group[min(group)].message
            if isinstance(message, Checkpoint):
                return build_certificate(message.header, group)
    return None
