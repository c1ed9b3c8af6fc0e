"""From a decoded message to an authenticated one: who may say it, and every signature it carries.

Pure and without position: the host runs it in a thread, once per message, and only what passed enters ``step``.
"""

from consensus.certificates import check_certificate, check_prepared
from consensus.codec import decode_envelope
from consensus.membership import Membership
from consensus.messages import (
    Checkpoint,
    Envelope,
    Message,
    NewView,
    PrePrepare,
    SignedViewChange,
    Testimony,
    ViewChange,
    get_signed_bytes,
)
from consensus.window import WINDOW
from primitives.encoding import DecodeError
from primitives.ids import Digest, ReplicaId, View
from primitives.signing import SecretKey, SignatureDomain, is_signature_valid


def sign_envelope(
    key: SecretKey,
    genesis_hash: Digest,
    message: Message,
) -> Envelope:
    """Return ``message`` signed by ``key``."""
    domain = SignatureDomain.HEADER if isinstance(message, Checkpoint) else SignatureDomain.CONSENSUS
    signature = key.sign(domain, genesis_hash, get_signed_bytes(message))
    return Envelope(key.public, signature, message)


def check_envelope(membership: Membership, genesis_hash: Digest, envelope: Envelope) -> str | None:
    """Return why the message must not enter, or None when it is authentic.

    In this order: the sender is a member; its signature is valid; what the message carries is itself authentic
    (a pre-prepare's batch digest, a view change's certificates, a new-view's view changes and proposals, what a
    testimony quotes of its asker).
    """
    if envelope.sender not in membership.replica_set:
        return "the sender is not a member"
    if not _is_signed(genesis_hash, envelope):
        return "the signature is not valid"
    match envelope.message:
        case PrePrepare(proposal=proposal, batch=batch):
            if batch.compute_digest() != proposal.digest:
                return "the pre-prepare's digest is not its batch's"
            return None
        case ViewChange() as view_change:
            return check_view_change(membership, genesis_hash, view_change)
        case NewView() as new_view:
            return _check_new_view(membership, genesis_hash, new_view)
        case Testimony() as testimony:
            return _check_testimony(membership, genesis_hash, testimony)
        case _:
            return None


def check_view_change(membership: Membership, genesis_hash: Digest, view_change: ViewChange) -> str | None:
    """Return why a view change proves nothing, or None: its certificates hold and lie in its own window."""
    stable_sequence: int = membership.start_sequence
    if view_change.stable is not None:
        problem = check_certificate(membership, genesis_hash, view_change.stable)
        if problem is not None:
            return f"view change: {problem}"
        stable_sequence = view_change.stable.header.sequence
    previous = stable_sequence
    for certificate in view_change.prepared:
        proposal = certificate.proposal
        if not previous < proposal.sequence <= stable_sequence + WINDOW:
            return "view change: prepared certificates are out of the window or out of order"
        if proposal.view >= view_change.view:
            return "view change: a prepared certificate is not of an earlier view"
        problem = check_prepared(membership, genesis_hash, certificate)
        if problem is not None:
            return f"view change: {problem}"
        previous = proposal.sequence
    return None


def _check_new_view(membership: Membership, genesis_hash: Digest, new_view: NewView) -> str | None:
    if len(new_view.view_changes) > len(membership.replicas) or len(new_view.proposals) > WINDOW:
        return "new-view: more view changes than replicas, or more proposals than a window"
    for entry in new_view.view_changes:
        problem = _check_signed_view_change(membership, genesis_hash, entry)
        if problem is not None:
            return f"new-view: {problem}"
    primary = membership.get_primary(View(new_view.view))
    for proposed in new_view.proposals:
        if not is_signature_valid(
            primary,
            proposed.signature,
            SignatureDomain.CONSENSUS,
            genesis_hash,
            get_signed_bytes(proposed.proposal),
        ):
            return "new-view: a proposal is not signed by the view's primary"
    return None


def _check_testimony(membership: Membership, genesis_hash: Digest, testimony: Testimony) -> str | None:
    """The certificate holds when it is of this epoch; what is quoted is signed by the asker, whatever it carries."""
    if testimony.stable is not None and testimony.epoch == membership.epoch:
        problem = check_certificate(membership, genesis_hash, testimony.stable)
        if problem is not None:
            return f"testimony: {problem}"
    for data in testimony.newest:
        try:
            quoted = decode_envelope(data)
        except DecodeError as error:
            return f"testimony: {error}"
        if quoted.sender != testimony.asker or not _is_signed(genesis_hash, quoted):
            return "testimony: it quotes what the asker did not sign"
    return None


def _is_signed(genesis_hash: Digest, envelope: Envelope) -> bool:
    domain = SignatureDomain.HEADER if isinstance(envelope.message, Checkpoint) else SignatureDomain.CONSENSUS
    return is_signature_valid(
        envelope.sender, envelope.signature, domain, genesis_hash, get_signed_bytes(envelope.message)
    )


def _check_signed_view_change(
    membership: Membership, genesis_hash: Digest, entry: SignedViewChange
) -> str | None:
    if entry.sender not in membership.replica_set:
        return "a view change is not of a member"
    if not is_signature_valid(
        ReplicaId(entry.sender),
        entry.signature,
        SignatureDomain.CONSENSUS,
        genesis_hash,
        get_signed_bytes(entry.view_change),
    ):
        return "a view change is not signed by its sender"
    return check_view_change(membership, genesis_hash, entry.view_change)
