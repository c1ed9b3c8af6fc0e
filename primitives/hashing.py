"""BLAKE2b-256 with a personalisation per domain: equal bytes in different roles never share a hash.

RFC 7693; the personalisation is at most 16 bytes.
"""

from enum import Enum
from hashlib import blake2b

from primitives.ids import DIGEST_BYTES, AccountId, Digest


class HashDomain(bytes, Enum):
    """What a hash is of. The value is the BLAKE2b personalisation.

    ``start`` is a hash of the domain before any data, never updated: a copy of it costs half as much as a new one.
    """

    start: "blake2b"

    def __init__(self, person: bytes) -> None:
        self.start = blake2b(digest_size=DIGEST_BYTES, person=person)

    GENESIS = b"gridbft/genesis"
    TRANSACTION = b"gridbft/tx"
    BATCH = b"gridbft/batch"
    HEADER = b"gridbft/header"
    RECEIPT = b"gridbft/receipt"
    MEMBERSHIP = b"gridbft/members"
    MERKLE_LEAF = b"gridbft/m-leaf"
    MERKLE_NODE = b"gridbft/m-node"
    MERKLE_ROOT = b"gridbft/m-root"
    STATE_LEAF = b"gridbft/s-leaf"
    STATE_BUCKET = b"gridbft/s-bucket"
    STATE_NODE = b"gridbft/s-node"
    STATE_KEY = b"gridbft/s-key"
    ACCOUNT = b"gridbft/account"
    CERTIFICATE = b"gridbft/tls-cert"
    PENDING = b"gridbft/pending"
    JOURNAL = b"gridbft/journal"


EMPTY_DIGEST = Digest(bytes(DIGEST_BYTES))
"""The digest of nothing: the parent of genesis, the digest of a null batch."""


def compute_hash(domain: HashDomain, data: bytes) -> Digest:
    """Return the 32-byte hash of ``data`` in ``domain``."""
    hasher = domain.start.copy()
    hasher.update(data)
    return Digest(hasher.digest())


def compute_transaction_id(raw: bytes) -> Digest:
    """Return a transaction's id: the hash of its exact bytes, signature included."""
    return compute_hash(HashDomain.TRANSACTION, raw)


def compute_account_id(seed: bytes) -> AccountId:
    """Return the 16-byte account id that belongs to ``seed`` (a first public key or a well-known name)."""
    return AccountId(compute_hash(HashDomain.ACCOUNT, seed)[:16])
