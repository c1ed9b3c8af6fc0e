"""Blocks that anybody can build again from their height alone, to tell what a store should hold."""

from node.storage.chain import ChainStore
from primitives.batch import build_batch
from primitives.header import Block, BlockHeader, build_genesis_header
from primitives.ids import Digest, ReplicaId, UnixMs
from vm.receipt import Receipt
from vm.state_root import TreeWrites

GENESIS = b"genesis"
PROPOSER = ReplicaId(b"p" * 32)
GENESIS_HEADER = build_genesis_header(0, Digest(bytes(32)), Digest(bytes(32)))


def build_block(height: int, transactions: tuple[bytes, ...] | None = None) -> Block:
    if transactions is None:
        transactions = tuple(b"%d/%d" % (height, index) + bytes(200) for index in range(20))
    batch = build_batch(PROPOSER, UnixMs(height * 1000), transactions)
    header = BlockHeader(
        height=height,
        sequence=height,
        epoch=0,
        parent=bytes(32),
        batch_digest=batch.header.compute_digest(),
        time_ms=height * 1000,
        state_root=height.to_bytes(32, "big"),
        receipts_root=bytes(32),
        next_membership=bytes(32),
        protocol_version=1,
    )
    return Block(header, batch)


def build_receipts(block: Block, *, consumed: bool = True) -> tuple[Receipt, ...]:
    rejection = None if consumed else "SUSPENDED"
    return tuple(Receipt(name, rejection, consumed) for name in block.batch.header.transaction_ids)


NOTHING = TreeWrites({}, {})
LEAF_NAME = bytes(2) + b"key"
"""In the bucket 0."""


def fill(leaf: bytes) -> TreeWrites:
    """What gives the bucket 0 one leaf."""
    return TreeWrites({0: leaf}, {LEAF_NAME: Digest(leaf)})


def init(chain: ChainStore) -> None:
    chain.init_genesis(GENESIS, GENESIS_HEADER, {b"height": b"0"}, fill(b"bucket 0"))


def commit(chain: ChainStore, height: int) -> None:
    block = build_block(height)
    writes: dict[bytes, bytes | None] = {b"height": b"%d" % height, b"only %d" % height: b"x"}
    if height > 1:
        writes[b"only %d" % (height - 1)] = None
    chain.commit_block(block, build_receipts(block), writes, fill(b"bucket %d" % height))
