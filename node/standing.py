"""Where this validator stands in agreement and why it commits nothing: its replica, and what its host sees."""

from consensus import timers
from consensus.explanation import Contact, Explanation, Surroundings, explain
from consensus.position import Position, describe_position
from node.batching import Batcher
from node.heard import Heard
from node.host import Host
from node.mempool import Mempool
from node.status import ConsensusStatus
from node.story import Story
from p2p.network import Network
from p2p.peers import HEARTBEAT_S, PeerStatus
from primitives.ids import MonotonicMs
from vm.genesis import ConsensusParameters

SILENT_MIN_MS = int(HEARTBEAT_S * 1000)
"""A linked validator that says nothing for less than this may just be busy; then its link is asked, too."""


class Standing:
    """Looks at host, links and mempool; changes nothing."""

    def __init__(
        self,
        name: str,
        host: Host,
        network: Network,
        mempool: Mempool,
        batcher: Batcher,
        heard: Heard,
        story: Story,
        parameters: ConsensusParameters,
    ) -> None:
        self.name = name
        self._host = host
        self._network = network
        self.mempool = mempool
        self._batcher = batcher
        self._heard = heard
        self._story = story
        self._parameters = parameters

    def describe(self) -> Position:
        """Return the replica's position."""
        host = self._host
        return describe_position(host.replica.view, host.now(), host.get_timers_ms(), self.name)

    def explain(self) -> Explanation:
        """Return why nothing is committed, or that all is well."""
        return explain(self.describe(), self._look_around())

    def tell(self) -> ConsensusStatus:
        """Return position, explanation and the last lines of the transcript, of one moment."""
        position = self.describe()
        explanation = explain(position, self._look_around())
        return ConsensusStatus(position, explanation, self._host.now().wall_ms, self._story.get_lines())

    def get_silences_ms(self) -> dict[str, int]:
        """Return for how long each other validator has not been heard, at most since this process saw it first."""
        contacts = self._look_around().contacts
        return {each.name: each.since_ms if each.heard_ms is None else each.heard_ms for each in contacts}

    def _look_around(self) -> Surroundings:
        now = self._host.now()
        waited_ms = self.mempool.compute_oldest_age_ms(now.monotonic_ms)
        return Surroundings(
            contacts=self._build_contacts(now.monotonic_ms),
            pending=len(self.mempool),
            waited_ms=max(waited_ms, self._batcher.compute_overdue_ms(now)),
            silence_ms=self._batcher.compute_silence_ms(now),
            silent_ms=max(SILENT_MIN_MS, timers.COMPLAINT_PERIODS * self._parameters.resend_ms),
            patience_ms=2 * self._parameters.view_timeout_ms,
        )

    def _build_contacts(self, now_ms: MonotonicMs) -> tuple[Contact, ...]:
        """Return the other validators of the epoch, in its order; the links may know others, or not all of them yet."""
        state = self._host.replica.view
        peers = {bytes.fromhex(peer.key): peer for peer in self._network.get_peers()}
        return tuple(
            self._build_contact(peers[replica], now_ms)
            if replica in peers
            else Contact(
                state.membership.get_name(replica), is_linked=False, since_ms=0, error="no address is known"
            )
            for replica in state.membership.replicas
            if replica != state.own
        )

    def _build_contact(self, peer: PeerStatus, now_ms: MonotonicMs) -> Contact:
        mark = self._heard.get(bytes.fromhex(peer.key))
        error = peer.last_error
        if peer.banned_for_s > 0:
            error = f"banned for {peer.banned_for_s:.0f} s more: {error}"
        return Contact(
            name=peer.name,
            is_linked=peer.connected,
            since_ms=int(peer.since_s * 1000),
            heard_ms=None if mark is None else now_ms - mark.heard_ms,
            voted_ms=None if mark is None or mark.voted_ms is None else now_ms - mark.voted_ms,
            error=error,
        )
