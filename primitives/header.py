"""Block headers and the validator set: the two records that agreement and ledger both name.

Every executed block is a checkpoint. Replicas sign its header; a quorum of those signatures is its certificate.
"""

from primitives.batch import Batch
from primitives.encoding import Struct, encode
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.ids import Digest

PROTOCOL_VERSION = 3
"""Of what blocks and state roots are made of: 2 since a key's bucket is named by parts of it, 3 since readings
and lines have keys that begin with their time."""


class Validator(Struct, frozen=True):
    """A member of the validator set: its name, its voting key and its pinned TLS certificate (DER)."""

    name: str
    public_key: bytes
    tls_certificate: bytes


def compute_membership_hash(validators: tuple[Validator, ...]) -> Digest:
    """Return the hash under which a header names the validator set of the next block."""
    return compute_hash(HashDomain.MEMBERSHIP, encode(validators))


class BlockHeader(Struct, frozen=True):
    """What a block's certificate signs. It never names the view: replicas may commit in different views.

    ``time_ms`` is block time, UTC milliseconds; digests are 32 bytes.
    """

    height: int
    sequence: int
    epoch: int
    parent: bytes
    batch_digest: bytes
    time_ms: int
    state_root: bytes
    receipts_root: bytes
    next_membership: bytes
    protocol_version: int

    def compute_digest(self) -> Digest:
        """Return the digest that replicas sign and that the next block names as its parent."""
        return compute_hash(HashDomain.HEADER, encode(self))


class Block(Struct, frozen=True):
    """An executed batch under its header."""

    header: BlockHeader
    batch: Batch


def build_genesis_header(time_ms: int, state_root: Digest, membership_hash: Digest) -> BlockHeader:
    """Return the header of height 0; nobody signs it, because everybody computes it from the genesis."""
    return BlockHeader(
        height=0,
        sequence=0,
        epoch=0,
        parent=EMPTY_DIGEST,
        batch_digest=EMPTY_DIGEST,
        time_ms=time_ms,
        state_root=state_root,
        receipts_root=EMPTY_DIGEST,
        next_membership=membership_hash,
        protocol_version=PROTOCOL_VERSION,
    )
