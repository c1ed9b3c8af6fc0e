"""Bringing the gauges up to date: what the parts of a node look like at the moment when somebody asks."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from consensus.catch_up import find_target
from consensus.explanation import Cause, Explanation
from consensus.membership import Membership
from consensus.replica import PHASES, describe_phase
from node.attendance import Attendance
from node.bookkeeping import Bookkeeping
from node.home import Constitution, Storage
from node.host import Host
from node.metrics import Metrics
from node.standing import Standing
from node.storage.chain import ChainStore
from node.verifier import Verifier
from p2p.peers import PeerStatus
from primitives.ids import CHAIN_ID_BYTES

DISK_PERIOD_S = 60.0
"""Looking at the disk reads a directory, of ten thousand tables for a store of 10 GB: a tenth of a second on a slow
card, in which the event loop stands still. Once a minute is enough for what grows by the hour."""

WRITTEN = "write_bytes:"
"""The line of /proc/self/io that counts what was caused to be written to the disk (proc(5))."""


class Gauging:
    """Looks at the parts of a node and sets its metrics; changes nothing else."""

    def __init__(
        self,
        home: Path,
        constitution: Constitution,
        storage: Storage,
        metrics: Metrics,
        host: Host,
        standing: Standing,
        verifier: Verifier,
        bookkeeping: Bookkeeping,
    ) -> None:
        self._chain_id = constitution.genesis_hash[:CHAIN_ID_BYTES].hex()
        self._metrics = metrics
        self._host = host
        self._standing = standing
        self._verifier = verifier
        self._bookkeeping = bookkeeping
        self._storage = storage
        self._disk = DiskGauging(home, storage.chain, metrics)
        metrics.set_histogram("journal_sync_seconds", host.sync_time.histogram)
        metrics.set_histogram("block_execution_seconds", host.block_time.histogram)
        metrics.set_gauge("heartbeat_seconds", constitution.genesis.consensus.heartbeat_ms / 1000)
        metrics.set_gauge("mempool_transactions_max", standing.mempool.limits.transactions_max)

    def look(self, peers: Sequence[PeerStatus], explanation: Explanation) -> None:
        """Bring every gauge, and the counts that other parts keep, up to this moment."""
        self._look_at_agreement(explanation)
        self._look_at_peers(peers)
        self._look_at_validators()
        self._look_at_work()
        self._disk.look()

    def _look_at_agreement(self, explanation: Explanation) -> None:
        state, gauge = self._host.replica.view, self._metrics.set_gauge
        phase = describe_phase(state)
        role = "validator" if state.is_member else "observer"
        gauge("view", state.view)
        gauge("epoch", state.epoch)
        gauge("active", int(state.active))
        gauge("chain_height", state.executed.height)
        gauge("blocks_behind", max(0, find_target(state) - state.executed.height))
        gauge("stalled", int(explanation.cause is not Cause.NONE))
        gauge("view_attempt", explanation.attempt)
        gauge("validators", len(state.membership.validators))
        gauge("validators_missing", len(explanation.missing))
        gauge("certificate_age_seconds", self._bookkeeping.compute_certificate_age_ms() / 1000)
        gauge("clock_timestamp_seconds", self._host.now().wall_ms / 1000)
        self._metrics.set_labelled("phase", {(each,): int(each == phase) for each in PHASES})
        self._metrics.set_labelled("node_info", {(self._standing.name, self._chain_id, role): 1})

    def _look_at_peers(self, peers: Sequence[PeerStatus]) -> None:
        show_peers(self._metrics, peers)

    def _look_at_validators(self) -> None:
        """Show who signs, for the validators of the current epoch only: who left is no cause for alarm."""
        show = self._metrics.set_labelled
        membership = self._host.replica.view.membership
        show_signers(self._metrics, membership, self._bookkeeping.attendance)
        silences = self._standing.get_silences_ms()
        show("validator_silence_seconds", {(name,): each / 1000 for name, each in silences.items()})

    def _look_at_work(self) -> None:
        metrics, counters = self._metrics, self._verifier.counters
        now_ms = self._host.now().monotonic_ms
        metrics.set_gauge("mempool_transactions", len(self._standing.mempool))
        metrics.set_gauge("mempool_bytes", self._standing.mempool.size_bytes)
        metrics.set_gauge(
            "mempool_oldest_seconds", self._standing.mempool.compute_oldest_age_ms(now_ms) / 1000
        )
        metrics.set_gauge("journal_bytes", self._storage.journal.size)
        metrics.set_counter("messages_dropped", self._host.dropped)
        metrics.set_counter("journal_syncs", self._host.syncs)
        metrics.set_counter("signatures_valid", counters.valid)
        metrics.set_counter("signatures_invalid", counters.invalid)
        metrics.set_counter("signatures_spared", counters.spared)


class DiskGauging:
    """Measures the store and the disk of a home, not more often than DISK_PERIOD_S."""

    def __init__(self, home: Path, chain: ChainStore, metrics: Metrics) -> None:
        self._home = home
        self._chain = chain
        self._metrics = metrics
        self._looked_s: float | None = None
        self._seen_equivocations = -1

    def look(self) -> None:
        """Measure, if it is time; what the system does not tell keeps its last value."""
        now_s = monotonic()
        if self._looked_s is not None and now_s - self._looked_s < DISK_PERIOD_S:
            return
        self._looked_s = now_s
        with suppress(OSError):
            self._metrics.set_gauge("store_bytes", self._chain.estimate_size())
            space = os.statvfs(self._home)
            self._metrics.set_gauge("disk_free_bytes", space.f_bavail * space.f_frsize)
        written = read_written_bytes()
        if written is not None:
            self._metrics.set_counter("disk_written_bytes", written)
        equivocations = self._metrics.counters["equivocations"]
        if equivocations != self._seen_equivocations:
            self._seen_equivocations = equivocations
            self._metrics.set_gauge("evidence_stored", sum(1 for _ in self._chain.iterate_evidence()))


def show_peers(metrics: Metrics, peers: Sequence[PeerStatus]) -> None:
    """Show the links to validators."""
    show = metrics.set_labelled
    metrics.set_gauge("peers_connected", sum(peer.connected for peer in peers))
    show("peer_connected", {(peer.name,): int(peer.connected) for peer in peers})
    show("peer_received_bytes", {(peer.name,): peer.bytes_in for peer in peers})
    show("peer_sent_bytes", {(peer.name,): peer.bytes_out for peer in peers})
    show("peer_dropped_frames", {(peer.name,): peer.dropped for peer in peers})


def show_signers(metrics: Metrics, membership: Membership, attendance: Attendance) -> None:
    """Show which validators' signatures the last certificates have."""
    show, told = metrics.set_labelled, attendance.tell(membership.replicas)
    records = {(membership.get_name(replica),): told[replica] for replica in membership.replicas}
    show("validator_last_signed_height", {name: each.last_signed or 0 for name, each in records.items()})
    show("validator_signed_blocks", {name: each.signed for name, each in records.items()})
    show("validator_missed_blocks", {name: each.missed for name, each in records.items()})


def read_written_bytes() -> int | None:
    """Return what this process sent to the disk, or None where the kernel does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
            if line.startswith(WRITTEN):
                return int(line.removeprefix(WRITTEN))
    return None
