"""What this node answers when a peer asks: transactions by id, a batch of the window, certified blocks."""

from consensus.replica import Replica
from node.exchange import (
    NO_ANSWER,
    RequestKind,
    as_digest,
    decode_height,
    decode_transactions_request,
    select_blocks,
)
from node.mempool import Mempool
from node.storage.chain import ChainStore
from p2p.transfer import RequestRefused
from primitives.encoding import DecodeError, encode
from primitives.header import Block
from primitives.ids import Digest, Height

OLD_BLOCKS_READ_MAX = 8
"""Blocks read for one question: a full one takes 3 ms of the event loop, and 1,000 ids may lie in 1,000 blocks."""


class Answers:
    """Serves peers from the mempool, the replica's window and the chain; it changes nothing."""

    def __init__(self, replica: Replica, mempool: Mempool, chain: ChainStore) -> None:
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
                first = decode_height(payload)
                return select_blocks(
                    first, self._chain.get_height(), self._chain.get_block, self._chain.get_certificate
                )
        except DecodeError as error:
            raise RequestRefused(str(error)) from None
        raise RequestRefused(f"unknown question {kind}")

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
        return None if block is None else block.batch.transactions[place]
