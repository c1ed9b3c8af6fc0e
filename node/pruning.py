"""Letting old blocks go, a few with every certificate, so that no block waits for it."""

from node.storage.chain import ChainStore
from primitives.ids import Height
from primitives.limits import BATCH_TRANSACTIONS_MAX

STEP_BLOCKS_MAX = 64
"""Blocks let go for one certificate: what was kept too long goes, and the next block waits 20 ms at most."""

STEP_TRANSACTIONS_MAX = 2 * BATCH_TRANSACTIONS_MAX
"""The same by transactions, each of which is an entry of the index: twice what a block adds, so that it gets there."""

COMPACT_BLOCKS = 256
"""So many blocks are let go before the store gives their space back: it rewrites its tables for that."""


class Pruner:
    """Keeps ``keep_blocks`` blocks, the last certified one included; 0 keeps all."""

    def __init__(self, chain: ChainStore, keep_blocks: int) -> None:
        self._chain = chain
        self._keep_blocks = keep_blocks
        self._uncompacted = 0

    def is_due(self, certified: Height) -> bool:
        """Tell whether a step at this certified height would let a block go."""
        return self._keep_blocks > 0 and self._chain.get_pruned_height() < certified - self._keep_blocks

    def is_compaction_due(self) -> bool:
        """Tell whether enough blocks were let go for the store to give their space back."""
        return self._uncompacted >= COMPACT_BLOCKS

    def step(self, certified: Height) -> int:
        """Let the lowest blocks go that are not to be kept, at most so many as a step may; return how many.

        Raises:
            StoreError: the store fails.

        """
        if self._keep_blocks == 0:
            return 0
        height, transactions, removed = self._chain.get_pruned_height(), 0, 0
        while (
            height < certified - self._keep_blocks
            and removed < STEP_BLOCKS_MAX
            and transactions < STEP_TRANSACTIONS_MAX
        ):
            height = Height(height + 1)
            transactions += self._chain.prune_block(height)
            removed += 1
        self._uncompacted += removed
        return removed

    def compact_if_due(self) -> bool:
        """Give the space of many blocks back to the disk, or do nothing while they are few; tell which.

        Raises:
            StoreError: the store fails.

        """
        if not self.is_compaction_due():
            return False
        self._uncompacted = 0
        self._chain.compact_pruned()
        return True
