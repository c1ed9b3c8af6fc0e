"""What follows blocks and certificates on the node's own disk: handovers are kept, old states and blocks are let go."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

from consensus.messages import Certificate, Handover
from node.pruning import Pruner
from node.queries import Queries
from node.snapshots.server import SnapshotServer
from node.storage.chain import ChainStore
from primitives.ids import Epoch, Height
from vm.contracts.validators import read_validator_set
from vm.genesis import Genesis


def find_handover(chain: ChainStore, genesis: Genesis, certificate: Certificate) -> Handover | None:
    """Return the handover that the certificate of an epoch's last, executed block completes; None for any other."""
    header = certificate.header
    following = read_validator_set(chain, genesis, header.epoch + 1)
    if following is None or following.since_height != header.height:
        return None
    return Handover(certificate, following.validators)


def restore_handover(chain: ChainStore, genesis: Genesis, stable: Certificate | None) -> None:
    """Keep the handover that ``stable`` completes, if a crash came before it was kept."""
    if stable is None or chain.get_handover(Epoch(stable.header.epoch)) is not None:
        return
    handover = find_handover(chain, genesis, stable)
    if handover is not None:
        chain.put_handover(handover)


class Upkeep:
    """Runs beside agreement: blocks are let go in the thread that executes blocks, space is given back in another."""

    def __init__(
        self,
        chain: ChainStore,
        genesis: Genesis,
        snapshots: SnapshotServer,
        pruner: Pruner,
        execution: Executor,
        compaction: Executor,
    ) -> None:
        self.snapshots = snapshots
        self._chain = chain
        self._genesis = genesis
        self._pruner = pruner
        self._execution = execution
        self._compaction = compaction
        self._pruning: Future[int] | None = None
        self._compacting: Future[bool] | None = None

    def begin(self, stable: Certificate | None) -> None:
        """Keep the handover that a crash came before: ``stable`` is the certificate from which the replica resumes."""
        restore_handover(self._chain, self._genesis, stable)

    def keep_handover(self, handover: Handover) -> None:
        """Keep how an epoch ended."""
        self._chain.put_handover(handover)

    def on_certificate(self, certificate: Certificate) -> None:
        """Let go of snapshots that nobody reads, and of blocks that are not to be kept.

        Raises:
            StoreError: the store failed, now or when blocks were let go before.

        """
        height = Height(certificate.header.height)
        self.snapshots.on_certified(height)
        if _is_done(self._pruning) and self._pruner.is_due(height):
            self._pruning = self._execution.submit(self._pruner.step, height)
        if _is_done(self._compacting) and self._pruner.is_compaction_due():
            self._compacting = self._compaction.submit(self._pruner.compact_if_due)


@contextmanager
def open_upkeep(
    chain: ChainStore, queries: Queries, keep_blocks: int, execution: Executor
) -> Iterator[Upkeep]:
    """Give the upkeep of a chain; at the end what is being compacted is finished, and no snapshot is held."""
    snapshots = SnapshotServer(queries.pinned)
    with ThreadPoolExecutor(1, thread_name_prefix="gridbft-compact") as compaction:
        try:
            pruner = Pruner(chain, keep_blocks)
            yield Upkeep(chain, queries.genesis, snapshots, pruner, execution, compaction)
        finally:
            snapshots.close()


def _is_done(future: Future[int] | Future[bool] | None) -> bool:
    """Tell whether the next one may begin; raises what ended the last one."""
    if future is None:
        return True
    if not future.done():
        return False
    future.result()
    return True
