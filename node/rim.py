"""What the outside sees of a node: its status, its API and its admin socket, over the parts that do the work."""

from collections.abc import Awaitable, Callable, Sequence

from consensus.membership import Membership
from consensus.replica import describe_phase
from node.api.services import Services
from node.bookkeeping import Bookkeeping
from node.gauging import Gauging
from node.home import Constitution
from node.host import Host
from node.intake import Intake, SubmitResult, SubmitStatus
from node.liveness import find_dead_reason
from node.mempool import Mempool
from node.metrics import Metrics
from node.queries import Queries
from node.standing import Standing
from node.status import LatencyStatus, NodeStatus, ViewEvent, build_stall
from p2p.network import Network
from primitives.hashing import compute_transaction_id
from primitives.ids import CHAIN_ID_BYTES

Submit = Callable[[Sequence[bytes]], Awaitable[list[SubmitResult]]]

READY_BEHIND_MAX = 2
"""A node so many blocks behind still answers as well as the others."""


class Rim:
    """Looks at the parts; changes nothing but the metrics' gauges."""

    def __init__(
        self,
        name: str,
        constitution: Constitution,
        host: Host,
        network: Network,
        standing: Standing,
        mempool: Mempool,
        queries: Queries,
        metrics: Metrics,
        gauging: Gauging,
    ) -> None:
        self._name = name
        self._constitution = constitution
        self._host = host
        self._network = network
        self._standing = standing
        self._mempool = mempool
        self._queries = queries
        self._metrics = metrics
        self._gauging = gauging

    def build_services(self, intake: Intake, bookkeeping: Bookkeeping) -> Services:
        """Return the node as the API sees it."""
        return Services(
            genesis=self._constitution.genesis_bytes,
            queries=self._queries,
            metrics=self._metrics,
            submit=count_submissions(self._refuse_without_vote(intake.submit), bookkeeping, self._metrics),
            get_status=self.get_status,
            get_consensus=self._standing.tell,
            find_unready_reason=self.find_unready_reason,
            find_dead_reason=self.find_dead_reason,
            get_view=self.get_view,
            get_addresses=self._network.get_addresses,
            get_attendance=lambda: bookkeeping.attendance.tell(self._membership.replicas),
        )

    def get_status(self) -> NodeStatus:
        """Return where the node stands."""
        state = self._host.replica.view
        certified = self._queries.certified_header
        peers = self._network.get_peers()
        latencies = self._metrics.compute_latencies()
        explanation = self._standing.explain()
        clock_ms = self._host.now().wall_ms
        self._gauging.look(peers, explanation)
        counters = self._metrics.counters
        return NodeStatus(
            name=self._name,
            chain=self._constitution.genesis_hash[:CHAIN_ID_BYTES].hex(),
            genesis_hash=self._constitution.genesis_hash.hex(),
            role="validator" if state.is_member else "observer",
            height=state.executed.height,
            certified_height=self._queries.certified_height,
            view=state.view,
            epoch=state.epoch,
            active=state.active,
            primary=self._membership.get_name(state.primary),
            phase=describe_phase(state),
            block_time_ms=state.executed.time_ms if certified is None else certified.time_ms,
            state_root=(state.executed if certified is None else certified).state_root.hex(),
            mempool=len(self._mempool),
            view_changes=counters["view_changes"],
            peers=peers,
            waiting=explanation.summary,
            stall=build_stall(explanation, clock_ms),
            clock_ms=clock_ms,
            commit_latency_ms=LatencyStatus(latencies.p50, latencies.p99),
            counters=counters,
        )

    def find_dead_reason(self) -> str | None:
        """Return why this process should be ended and started again, or None."""
        return find_dead_reason(self._host.sync_time, self._host.block_time)

    def tell_briefly(self) -> str:
        """Return in one line where the node stands, or why it is not committing."""
        told = self.get_status()
        linked = sum(peer.connected for peer in self._network.get_peers())
        place = f"block {told.height}, certified {told.certified_height}, view {told.view}"
        well = f"{place}, linked to {linked} of {len(told.peers)}"
        return well if told.waiting is None else f"{place}; not committing: {told.waiting}"

    def get_view(self) -> ViewEvent:
        """Return the view that this replica works in, or has left for."""
        state = self._host.replica.view
        primary = self._membership.get_name(state.primary)
        return ViewEvent(state.epoch, state.view, primary, active=state.active)

    def find_unready_reason(self) -> str | None:
        """Return why clients should rather ask another validator, or None."""
        state = self._host.replica.view
        if not state.is_member:
            return self._explain_no_vote()
        reason = self._standing.explain().summary
        if reason is not None:
            return reason
        behind = state.executed.height - self._queries.certified_height
        return None if behind <= READY_BEHIND_MAX else f"{behind} blocks have no certificate yet"

    def _refuse_without_vote(self, submit: Submit) -> Submit:
        """Return ``submit`` for a validator; a node without a vote has nobody to pass a transaction on to."""

        async def refuse_or_submit(raws: Sequence[bytes]) -> list[SubmitResult]:
            if self._host.replica.view.is_member:
                return await submit(raws)
            detail = self._explain_no_vote()
            return [
                SubmitResult(compute_transaction_id(raw), SubmitStatus.BUSY, None, detail) for raw in raws
            ]

        return refuse_or_submit

    def _explain_no_vote(self) -> str:
        state = self._host.replica.view
        names = ", ".join(each.name for each in state.membership.validators)
        return f"{self._name} is no validator in epoch {state.epoch}; ask one of {names}"

    @property
    def _membership(self) -> Membership:
        return self._host.replica.view.membership


def count_submissions(submit: Submit, bookkeeping: Bookkeeping, metrics: Metrics) -> Submit:
    """Return ``submit`` with its results counted and the accepted ones' latency measured."""

    async def counted(raws: Sequence[bytes]) -> list[SubmitResult]:
        results = await submit(raws)
        for result in results:
            if result.status is SubmitStatus.ACCEPTED:
                bookkeeping.record_arrival(result.id)
            elif result.rejection is not None:
                metrics.record_rejection("admission", result.rejection)
        accepted = sum(result.status is SubmitStatus.ACCEPTED for result in results)
        metrics.add("transactions_accepted", accepted)
        metrics.add("transactions_refused", sum(result.status is SubmitStatus.REFUSED for result in results))
        return results

    return counted
