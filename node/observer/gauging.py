"""The metrics of an observer: those of a validator, as far as they mean something without a replica."""

from collections.abc import Sequence
from pathlib import Path

from consensus.replica import PHASES
from node.bookkeeping import Bookkeeping
from node.clock import Clock
from node.gauging import DiskGauging, show_peers, show_signers
from node.home import Constitution
from node.mempool import Mempool
from node.metrics import Metrics
from node.observer.follower import Follower
from node.stopwatch import Stopwatch
from node.storage.chain import ChainStore
from node.verifier import Verifier
from p2p.peers import PeerStatus
from primitives.ids import CHAIN_ID_BYTES, Height


class ObserverGauging:
    """Looks at the parts of an observer and sets its metrics; changes nothing else."""

    def __init__(
        self,
        name: str,
        home: Path,
        constitution: Constitution,
        chain: ChainStore,
        metrics: Metrics,
        follower: Follower,
        mempool: Mempool,
        verifier: Verifier,
        bookkeeping: Bookkeeping,
        clock: Clock,
        block_time: Stopwatch,
    ) -> None:
        self.metrics = metrics
        self.block_time = block_time
        self._info = (name, constitution.genesis_hash[:CHAIN_ID_BYTES].hex(), "observer")
        self._follower = follower
        self._mempool = mempool
        self._verifier = verifier
        self._bookkeeping = bookkeeping
        self._clock = clock
        self._disk = DiskGauging(home, chain, metrics)
        metrics.set_histogram("block_execution_seconds", block_time.histogram)
        metrics.set_gauge("heartbeat_seconds", constitution.genesis.consensus.heartbeat_ms / 1000)
        metrics.set_gauge("mempool_transactions_max", mempool.limits.transactions_max)

    def look(
        self, peers: Sequence[PeerStatus], phase: str, certified_height: Height, *, is_stalled: bool
    ) -> None:
        """Bring every gauge, and the counts that other parts keep, up to this moment."""
        standpoint, gauge = self._follower.standpoint, self.metrics.set_gauge
        counters = self._verifier.counters
        gauge("epoch", standpoint.membership.epoch)
        gauge("chain_height", standpoint.executed.height)
        gauge("certified_height", certified_height)
        gauge("blocks_behind", self._follower.count_behind())
        gauge("stalled", int(is_stalled))
        gauge("validators", len(standpoint.membership.validators))
        gauge("certificate_age_seconds", self._bookkeeping.compute_certificate_age_ms() / 1000)
        gauge("clock_timestamp_seconds", self._clock.wall_ms() / 1000)
        gauge("mempool_transactions", len(self._mempool))
        gauge("mempool_bytes", self._mempool.size_bytes)
        self.metrics.set_labelled("phase", {(each,): int(each == phase) for each in PHASES})
        self.metrics.set_labelled("node_info", {self._info: 1})
        self.metrics.set_counter("signatures_valid", counters.valid)
        self.metrics.set_counter("signatures_invalid", counters.invalid)
        self.metrics.set_counter("signatures_spared", counters.spared)
        show_peers(self.metrics, peers)
        show_signers(self.metrics, standpoint.membership, self._bookkeeping.attendance)
        self._disk.look()
