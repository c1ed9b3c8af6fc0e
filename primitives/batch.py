"""A batch: transactions in the order in which a primary proposes them, before anybody has executed them."""

from primitives.encoding import Struct, encode
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash, compute_transaction_id
from primitives.ids import Digest, ReplicaId, UnixMs


class BatchHeader(Struct, frozen=True):
    """What agreement is about: who proposed when, and the ids of the transactions in their order."""

    proposer: bytes
    time_ms: int
    transaction_ids: tuple[bytes, ...]

    def compute_digest(self) -> Digest:
        """Return the digest that pre-prepare, prepare and commit name."""
        return compute_hash(HashDomain.BATCH, encode(self))


class Batch(Struct, frozen=True):
    """A batch header with the exact bytes of its transactions; opaque to agreement."""

    header: BatchHeader
    transactions: tuple[bytes, ...]


def build_batch(proposer: ReplicaId, time_ms: UnixMs, transactions: tuple[bytes, ...]) -> Batch:
    """Return the batch of these raw transactions."""
    ids = tuple(bytes(compute_transaction_id(raw)) for raw in transactions)
    return Batch(BatchHeader(proposer, time_ms, ids), transactions)


def is_batch_whole(batch: Batch) -> bool:
    """Tell whether the transactions are exactly those that the header names."""
    header = batch.header
    return len(header.transaction_ids) == len(batch.transactions) and all(
        compute_transaction_id(raw) == name
        for raw, name in zip(batch.transactions, header.transaction_ids, strict=True)
    )


NULL_DIGEST = EMPTY_DIGEST
"""The digest of the null batch, which fills a gap after a view change and makes no block."""
