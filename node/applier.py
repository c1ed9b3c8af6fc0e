"""Execution: one delivered batch at a time, in a thread of its own, durable before anybody hears of it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from consensus.effects import Deliver
from node.metric_names import HISTOGRAMS
from node.stopwatch import Stopwatch
from node.storage.chain import ChainStore
from primitives.header import Block, BlockHeader
from vm.contract import LedgerContext
from vm.executor import BlockResult, Position, execute_block
from vm.state_root import StateTree


class Applier:
    """Turns delivered batches into blocks; between two blocks it knows the parent's header and tree."""

    def __init__(
        self,
        ledger: LedgerContext,
        chain: ChainStore,
        header: BlockHeader,
        tree: StateTree,
        executor: ThreadPoolExecutor,
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._executor = executor
        self.header = header
        self.tree = tree
        self.block_time = Stopwatch(HISTOGRAMS["block_execution_seconds"][1])

    async def apply(self, deliver: Deliver) -> BlockResult:
        """Execute a batch and store its block in one synced write; the result becomes the next one's parent.

        Raises:
            StoreError: the block could not be made durable; the process must stop.

        """
        loop = asyncio.get_running_loop()
        with self.block_time:
            result = await loop.run_in_executor(self._executor, self.execute_and_store, deliver)
        self.advance(result)
        return result

    def advance(self, result: BlockResult) -> None:
        """Make a stored block the parent of the next one."""
        self.header = result.header
        self.tree = result.tree

    def execute_and_store(self, deliver: Deliver) -> BlockResult:
        """Execute a batch on the parent and store its block in one synced write; ``advance`` comes after it.

        Raises:
            StoreError: the block could not be made durable.

        """
        result = execute_block(
            self._ledger,
            self.header,
            Position(deliver.height, deliver.sequence, deliver.epoch),
            deliver.batch,
            self._chain,
            self.tree,
            self._chain.get_bucket,
        )
        block = Block(result.header, deliver.batch)
        self._chain.commit_block(block, result.receipts, result.state_writes, result.tree_writes)
        return result
