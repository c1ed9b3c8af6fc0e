"""What replicas say to each other (Castro and Liskov 1999, sections 4.2 to 4.4, with signatures).

A message is signed over its encoding; a pre-prepare over its ``Proposal`` alone, so that certificates can carry
the signature without the batch; a checkpoint over its header's digest, so that the signature is one of the
block's certificate.
"""

from primitives.batch import BatchHeader
from primitives.encoding import Struct, encode
from primitives.header import BlockHeader, Validator
from primitives.ids import Digest


class Proposal(Struct, frozen=True, tag=1):
    """The primary's word that a batch digest stands at a sequence of a view; counts as its prepare."""

    epoch: int
    view: int
    sequence: int
    digest: bytes


class PrePrepare(Struct, frozen=True, tag=2):
    """A fresh proposal with the batch's header; the transactions travel by gossip."""

    proposal: Proposal
    batch: BatchHeader


class Prepare(Struct, frozen=True, tag=3):
    """A backup accepts the primary's proposal."""

    epoch: int
    view: int
    sequence: int
    digest: bytes


class Commit(Struct, frozen=True, tag=4):
    """A replica holds a prepared certificate for the digest."""

    epoch: int
    view: int
    sequence: int
    digest: bytes


class Checkpoint(Struct, frozen=True, tag=5):
    """A replica executed a block and got this header."""

    header: BlockHeader


class Signature(Struct, frozen=True):
    """One replica's signature inside a certificate."""

    replica: bytes
    signature: bytes


class Certificate(Struct, frozen=True):
    """A quorum of signatures over a block header, sorted by replica: the block is final."""

    header: BlockHeader
    signatures: tuple[Signature, ...]


class Handover(Struct, frozen=True):
    """How an epoch ended: the certificate of its last block, and the validators whom that block's header names."""

    certificate: Certificate
    validators: tuple[Validator, ...]


class PreparedCertificate(Struct, frozen=True):
    """A proposal and a quorum for it: the primary's own signature and prepares, sorted by replica."""

    proposal: Proposal
    primary_signature: bytes
    prepares: tuple[Signature, ...]


class ViewChange(Struct, frozen=True, tag=6):
    """A replica left for ``view``: its latest certificate, and what it had prepared above it."""

    epoch: int
    view: int
    stable: Certificate | None
    prepared: tuple[PreparedCertificate, ...]


class SignedViewChange(Struct, frozen=True):
    """A view change with its sender's signature, as a new-view quotes it."""

    sender: bytes
    signature: bytes
    view_change: ViewChange


class SignedProposal(Struct, frozen=True):
    """A proposal of the new view with its primary's signature."""

    proposal: Proposal
    signature: bytes


class NewView(Struct, frozen=True, tag=7):
    """The new primary's proof and the batches, by digest, that the view must re-propose."""

    epoch: int
    view: int
    view_changes: tuple[SignedViewChange, ...]
    proposals: tuple[SignedProposal, ...]


class Complaint(Struct, frozen=True, tag=8):
    """A replica waits for something the primary of ``view`` owes; f + 1 of them start a view change."""

    epoch: int
    view: int


class Status(Struct, frozen=True, tag=9):
    """Where a replica stands, told periodically; a hint that is never trusted, only followed to certificates."""

    epoch: int
    view: int
    height: int
    sequence: int


class Inquiry(Struct, frozen=True, tag=10):
    """A replica that just started asks what it has signed; ``nonce`` tells the answers from older ones."""

    epoch: int
    nonce: bytes


class Testimony(Struct, frozen=True, tag=11):
    """The answer to an inquiry: the witness's latest certificate of the epoch (None: its beginning), and the newest
    messages it holds that the asker signed, as they travel.
    """

    epoch: int
    asker: bytes
    nonce: bytes
    stable: Certificate | None
    newest: tuple[bytes, ...]


Message = (
    PrePrepare
    | Prepare
    | Commit
    | Checkpoint
    | ViewChange
    | NewView
    | Complaint
    | Status
    | Inquiry
    | Testimony
)
Vote = Prepare | Commit


class Envelope(Struct, frozen=True):
    """A message with its sender and signature, as it travels and as it is kept."""

    sender: bytes
    signature: bytes
    message: Message


def get_header_payload(header: BlockHeader) -> Digest:
    """Return the bytes that a header's signature covers."""
    return header.compute_digest()


def get_signed_bytes(message: Message | Proposal) -> bytes:
    """Return the bytes that the sender's signature covers (in the domain of its kind)."""
    match message:
        case PrePrepare(proposal=proposal):
            return encode(proposal)
        case Checkpoint(header=header):
            return get_header_payload(header)
        case _:
            return encode(message)
