"""What this node answers when a peer asks: transactions, a batch of the window, blocks, handovers, a snapshot."""

from consensus.replica import Replica
from node.exchange import (
    NO_ANSWER,
    PrunedAnswer,
    RequestKind,
    as_digest,
    decode_epoch,
    decode_height,
    decode_transactions_request,
    select_blocks,
    select_handovers,
)
from node.mempool import Mempool
from node.snapshots.parts import decode_buckets_question, decode_pairs_question
from node.snapshots.server import SnapshotServer
from node.storage.chain import ChainStore
from p2p.transfer import RequestRefused
from primitives.encoding import DecodeError, encode
from primitives.header import Block
from primitives.ids import Digest, Height

OLD_BLOCKS_READ_MAX = 8
"""Blocks read for one question: a full one takes 3 ms of the event loop, and 1,000 ids may lie in 1,000 blocks."""


class Answers:
    """Serves peers from the mempool, the replica's window and the chain; it changes nothing."""

    def __init__(
        self, replica: Replica, mempool: Mempool, chain: ChainStore, snapshots: SnapshotServer
    ) -> None:
        self._snapshots = snapshots
        self._replica = replica
        self._mempool = mempool
        self._chain = chain

    def answer(self, kind: int, payload: bytes) -> bytes:
        """Return the answer's bytes.

        Raises:
            RequestRefused: a question that is malformed, unknown, or about something this node does not have.

        """
        try:
            if kind == RequestKind.TRANSACTIONS:
                return self._answer_transactions(decode_transactions_request(payload))
            if kind == RequestKind.BATCH:
                batch = self._replica.get_batch(as_digest(payload))
                return NO_ANSWER if batch is None else encode(batch)
            if kind == RequestKind.BLOCKS:
                return self._answer_blocks(decode_height(payload))
            if kind == RequestKind.HANDOVERS:
                return select_handovers(self._chain.iterate_handovers(decode_epoch(payload)))
            if kind == RequestKind.SNAPSHOT:
                return self._snapshots.answer_manifest()
            if kind == RequestKind.SNAPSHOT_BUCKETS:
                return self._snapshots.answer_buckets(decode_buckets_question(payload))
            if kind == RequestKind.SNAPSHOT_PAIRS:
                return self._snapshots.answer_pairs(decode_pairs_question(payload))
        except DecodeError as error:
            raise RequestRefused(str(error)) from None
        raise RequestRefused(f"unknown question {kind}")

    def _answer_blocks(self, first: Height) -> bytes:
        pruned = self._chain.get_pruned_height()
        if first <= pruned:
            return encode(PrunedAnswer(pruned))
        chain = self._chain
        return select_blocks(first, chain.get_height(), chain.get_block, chain.get_certificate)

    def _answer_transactions(self, names: tuple[bytes, ...]) -> bytes:
        in_window = {
            name: raw
            for batch in self._replica.view.batches.values()
            for name, raw in zip(batch.header.transaction_ids, batch.transactions, strict=True)
        }
        blocks: dict[Height, Block | None] = {}
        raws = []
        for name in names:
            waiting = self._mempool.get(Digest(name))
            raw = (
                waiting.raw
                if waiting is not None
                else in_window.get(name) or self._find_executed(name, blocks)
            )
            if raw is None:
                raise RequestRefused("a transaction is not here")
            raws.append(raw)
        return encode(tuple(raws))

    def _find_executed(self, name: bytes, blocks: dict[Height, Block | None]) -> bytes | None:
        """Look an id up in the chain; ``blocks`` are those that were read for this question."""
        location = self._chain.find_transaction(Digest(name))
        if location is None:
            return None
        height, place = location
        if height not in blocks:
            if len(blocks) >= OLD_BLOCKS_READ_MAX:
                raise RequestRefused(f"these transactions are in more than {OLD_BLOCKS_READ_MAX} old blocks")
            blocks[height] = self._chain.get_block(height)
        block = blocks[height]
        if block is None or block.batch.header.transaction_ids[place] != name:
            return None
        return block.batch.transactions[place]
