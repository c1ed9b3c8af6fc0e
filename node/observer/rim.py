"""What the outside sees of an observer: the API and the status of a validator, without a place in agreement."""

from typing import NoReturn

from node.api.errors import refuse_unknown
from node.api.services import Services
from node.bookkeeping import Bookkeeping
from node.clock import Clock
from node.home import Constitution
from node.liveness import find_dead_reason
from node.mempool import Mempool
from node.observer.follower import Follower
from node.observer.gauging import ObserverGauging
from node.queries import Queries
from node.rim import READY_BEHIND_MAX, Submit, count_submissions
from node.status import LatencyStatus, NodeStatus
from node.stopwatch import Stopwatch
from p2p.network import Network
from primitives.ids import CHAIN_ID_BYTES

STALE_HEARTBEATS = 3
"""Without work a block comes with every heartbeat; after three without one nobody should rely on the newest reads."""


class ObserverRim:
    """Looks at the parts; changes nothing but the metrics' gauges."""

    def __init__(
        self,
        name: str,
        constitution: Constitution,
        follower: Follower,
        network: Network,
        queries: Queries,
        mempool: Mempool,
        bookkeeping: Bookkeeping,
        gauging: ObserverGauging,
        clock: Clock,
    ) -> None:
        self._name = name
        self._constitution = constitution
        self._follower = follower
        self._network = network
        self._queries = queries
        self._mempool = mempool
        self._bookkeeping = bookkeeping
        self._gauging = gauging
        self._clock = clock

    def build_services(self, submit: Submit) -> Services:
        """Return the node as the API sees it; where members listen for each other it does not know."""
        attendance, follower = self._bookkeeping.attendance, self._follower
        return Services(
            genesis=self._constitution.genesis_bytes,
            queries=self._queries,
            metrics=self._gauging.metrics,
            submit=count_submissions(submit, self._bookkeeping, self._gauging.metrics),
            get_status=self.get_status,
            get_consensus=self.get_consensus,
            find_unready_reason=self.find_unready_reason,
            find_dead_reason=self.find_dead_reason,
            get_view=lambda: None,
            get_attendance=lambda: attendance.tell(follower.standpoint.membership.replicas),
        )

    def get_status(self) -> NodeStatus:
        """Return where the observer stands; it has no view, no primary and nothing that it votes on."""
        standpoint = self._follower.standpoint
        executed, certified = standpoint.executed, self._queries.certified_header
        peers = self._network.get_peers()
        reason = self.find_unready_reason()
        phase = "catching_up" if self._follower.count_behind() > READY_BEHIND_MAX else "observing"
        self._gauging.look(peers, phase, self._queries.certified_height, is_stalled=reason is not None)
        latencies = self._gauging.metrics.compute_latencies()
        shown = executed if certified is None else certified
        return NodeStatus(
            name=self._name,
            chain=self._constitution.genesis_hash[:CHAIN_ID_BYTES].hex(),
            genesis_hash=self._constitution.genesis_hash.hex(),
            role="observer",
            height=executed.height,
            certified_height=self._queries.certified_height,
            view=0,
            epoch=standpoint.membership.epoch,
            active=False,
            primary="",
            phase=phase,
            block_time_ms=shown.time_ms,
            state_root=shown.state_root.hex(),
            mempool=len(self._mempool),
            view_changes=0,
            peers=peers,
            waiting=reason,
            clock_ms=self._clock.wall_ms(),
            commit_latency_ms=LatencyStatus(latencies.p50, latencies.p99),
            counters=self._gauging.metrics.counters,
        )

    def get_consensus(self) -> NoReturn:
        """Refuse: an observer takes no part in agreement.

        Raises:
            ApiProblem: always.

        """
        raise refuse_unknown("this node is an observer and takes no part in agreement; ask a validator")

    def find_dead_reason(self) -> str | None:
        """Return why this process should be ended and started again, or None: a block is executed for too long."""
        return find_dead_reason(Stopwatch(()), self._gauging.block_time)

    def tell_briefly(self) -> str:
        """Return in one line where the observer stands, or why it does not follow."""
        told = self.get_status()
        linked = sum(peer.connected for peer in self._network.get_peers())
        place = f"observer at block {told.height}, certified {told.certified_height}"
        well = f"{place}, linked to {linked} of {len(told.peers)}"
        return well if told.waiting is None else f"{place}; {told.waiting}"

    def find_unready_reason(self) -> str | None:
        """Return why clients should rather ask another node, or None: linked, close to the others, and fresh."""
        peers = self._network.get_peers()
        if not any(peer.connected for peer in peers):
            reasons = "; ".join(f"{peer.name}: {peer.last_error}" for peer in peers)
            return f"no link to any validator: {reasons or 'none is listed in [[peers]]'}"
        behind = self._follower.count_behind()
        if behind > READY_BEHIND_MAX:
            return f"{behind} blocks behind the validators"
        if self._queries.certified_header is None:
            return "no certified block yet"
        age_ms = self._bookkeeping.compute_certificate_age_ms()
        if age_ms > STALE_HEARTBEATS * self._constitution.genesis.consensus.heartbeat_ms:
            return f"no validator has told of a new block for {age_ms // 1000} s"
        return None
