"""Certificates: building them from votes, and checking them offline, with nothing but the membership.

A meter runs ``check_certificate`` with the same code as a replica.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from consensus.membership import Membership
from consensus.messages import (
    Certificate,
    Envelope,
    Handover,
    Prepare,
    PreparedCertificate,
    Proposal,
    Signature,
    get_header_payload,
    get_signed_bytes,
)
from primitives.header import BlockHeader
from primitives.ids import Digest, Epoch, Height, ReplicaId, Sequence, View
from primitives.signing import SignatureDomain, is_signature_valid


def build_certificate(header: BlockHeader, votes: Mapping[ReplicaId, Envelope]) -> Certificate:
    """Return the certificate of ``header`` from its signed checkpoints, sorted by replica."""
    return Certificate(
        header, tuple(Signature(replica, votes[replica].signature) for replica in sorted(votes))
    )


def build_prepared(
    proposal: Proposal, primary_signature: bytes, prepares: Mapping[ReplicaId, Envelope]
) -> PreparedCertificate:
    """Return the prepared certificate of ``proposal`` from matching prepares, sorted by replica."""
    signatures = tuple(Signature(replica, prepares[replica].signature) for replica in sorted(prepares))
    return PreparedCertificate(proposal, primary_signature, signatures)


def check_certificate(membership: Membership, genesis_hash: Digest, certificate: Certificate) -> str | None:
    """Return why the certificate proves nothing, or None when a quorum of ``membership`` signed its header.

    In this order: the header's epoch is the membership's; the signers are distinct members in sorted order; they are a
    quorum; every signature is valid.
    """
    if certificate.header.epoch != membership.epoch:
        return f"the certificate is of epoch {certificate.header.epoch}, the membership of {membership.epoch}"
    problem = _check_signers(membership, certificate.signatures, membership.quorum)
    if problem is not None:
        return problem
    payload = get_header_payload(certificate.header)
    for entry in certificate.signatures:
        if not is_signature_valid(
            entry.replica, entry.signature, SignatureDomain.HEADER, genesis_hash, payload
        ):
            return f"the signature of {membership.get_name(ReplicaId(entry.replica))} is not valid"
    return None


def follow_handover(membership: Membership, genesis_hash: Digest, handover: Handover) -> Membership | str:
    """Return the membership of the next epoch, or why the handover proves none.

    In this order: a quorum of ``membership`` signed the header; it names the validators given, and not the old ones.
    """
    header = handover.certificate.header
    problem = check_certificate(membership, genesis_hash, handover.certificate)
    if problem is not None:
        return problem
    following = Membership(
        Epoch(membership.epoch + 1), handover.validators, Height(header.height), Sequence(header.sequence)
    )
    if header.next_membership != following.hash:
        return "the certified header names other validators"
    if following.hash == membership.hash:
        return "the certified header ends no epoch"
    return following


def check_prepared(
    membership: Membership, genesis_hash: Digest, certificate: PreparedCertificate
) -> str | None:
    """Return why the prepared certificate proves nothing, or None.

    It holds the primary's signature over the proposal and quorum - 1 prepares of distinct backups for the same
    epoch, view, sequence and digest (Castro and Liskov 1999, section 4.2).
    """
    proposal = certificate.proposal
    if proposal.epoch != membership.epoch or proposal.view < 0:
        return "the prepared certificate is of another epoch"
    primary = membership.get_primary(View(proposal.view))
    problem = _check_signers(membership, certificate.prepares, membership.quorum - 1)
    if problem is not None:
        return problem
    if any(entry.replica == primary for entry in certificate.prepares):
        return "the primary is counted twice in a prepared certificate"
    if not is_signature_valid(
        primary,
        certificate.primary_signature,
        SignatureDomain.CONSENSUS,
        genesis_hash,
        get_signed_bytes(proposal),
    ):
        return "the primary's signature in a prepared certificate is not valid"
    payload = get_signed_bytes(Prepare(proposal.epoch, proposal.view, proposal.sequence, proposal.digest))
    for entry in certificate.prepares:
        if not is_signature_valid(
            entry.replica, entry.signature, SignatureDomain.CONSENSUS, genesis_hash, payload
        ):
            return "a prepare in a prepared certificate is not valid"
    return None


def _check_signers(membership: Membership, signatures: Iterable[Signature], needed: int) -> str | None:
    signers = [entry.replica for entry in signatures]
    if any(later <= earlier for earlier, later in pairwise(signers)):
        return "the signers are not distinct and sorted"
    if any(signer not in membership.replica_set for signer in signers):
        return "a signer is not a member"
    if len(signers) < needed:
        return f"{len(signers)} signatures are fewer than the {needed} needed"
    return None
