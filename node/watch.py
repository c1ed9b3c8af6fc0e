"""Watching the primary from here: what it owes is first forwarded to it, then complained of."""

from collections import deque

from consensus.events import Now, Overdue
from consensus.replica import describe_phase
from node.batching import Batcher
from node.host import Host
from node.links import Links
from node.mempool import Mempool
from vm.genesis import ConsensusParameters

LOOKS_COUNTED = 40
"""A primary that was idle in more than half of so many looks at waiting work is too slow, although blocks come: four
seconds of work at the default period."""

LINK_LOST_MS = 500
"""So long the link to the primary may be down, while something waits as long, before that alone is complained of: a
process that was killed takes its links with it at once, and a restarted one has them again in less. One link that
breaks is one complaint, which deposes nobody."""

CHECKS_PER_PERIOD = 4
"""The watch looks so many times per re-send period: a deadline is noticed a quarter of it late at most."""


class Watch:
    """Says ``Overdue`` while a transaction, a due block or the heartbeat waits longer than the genesis allows."""

    def __init__(
        self,
        host: Host,
        mempool: Mempool,
        batcher: Batcher,
        network: Links,
        parameters: ConsensusParameters,
    ) -> None:
        self._host = host
        self._mempool = mempool
        self._batcher = batcher
        self._network = network
        self._parameters = parameters
        self._due_since_ms: int | None = None
        self._complained_ms = 0
        self._forwarded: bytes | None = None
        self._late: tuple[bytes, int] | None = None
        self._linked_ms: int | None = None
        """When the current primary's link was last seen to stand; None before the first time."""
        self._idle: deque[bool] = deque(maxlen=LOOKS_COUNTED)

    @property
    def period_s(self) -> float:
        """Return how often ``look`` is to be called, in seconds."""
        return self._parameters.resend_ms / CHECKS_PER_PERIOD / 1000

    def restart_deadlines(self) -> None:
        """Give a new primary the whole time again."""
        self._mempool.restart_deadlines(self._host.now().monotonic_ms)
        self._due_since_ms = None
        self._forwarded = None
        self._late = None
        self._linked_ms = None
        self._idle.clear()

    def look(self, now: Now) -> None:
        """Offer a batch if this node leads, and otherwise see whether its primary is late."""
        self._host.offer_batch()
        if describe_phase(self._host.replica.view) != "normal":
            self.restart_deadlines()
            return
        deadline_ms = self._parameters.request_deadline_ms
        self._forward_oldest(now, deadline_ms // 2)
        is_late = self._is_transaction_late(now, deadline_ms) or self._is_due_block_late(now, deadline_ms)
        is_gone = self._is_primary_gone(now)
        if not self._is_primary_slow(now) and not is_late and not is_gone:
            return
        if now.monotonic_ms - self._complained_ms >= self._parameters.resend_ms:
            self._complained_ms = now.monotonic_ms
            self._host.put(Overdue(now))

    def _is_transaction_late(self, now: Now, deadline_ms: int) -> bool:
        """Tell whether the longest waiting transaction shows a primary that stands still or passes it over.

        While blocks come, a busy machine is no fault of the primary: only blocks with room that were proposed
        after the deadline, so more than may have been on their way, show that it leaves the transaction out.
        """
        oldest = self._mempool.find_overdue(now.monotonic_ms, deadline_ms)
        if oldest is None:
            self._late = None
            return False
        height = self._host.replica.view.executed.height
        if self._late is None or self._late[0] != oldest.id:
            self._late = (oldest.id, height)
        return self._is_stalled(now, deadline_ms) or height - self._late[1] > self._parameters.depth + 1

    def _is_primary_slow(self, now: Now) -> bool:
        """Tell whether the primary lets work wait again and again, each time a little less than the deadline.

        Only looks at work are counted: it has waited for a re-send period and nothing is on its way, or something is.
        An honest primary proposes at once, and needs less than a period to hear of a transaction and to be heard.
        """
        state = self._host.replica.view
        is_in_flight = any(
            instance.proposal is not None and sequence > state.executed_sequence
            for sequence, instance in state.instances.items()
        )
        if is_in_flight or state.delivering is not None:
            self._idle.append(False)
        elif self._mempool.find_overdue(now.monotonic_ms, self._parameters.resend_ms) is not None:
            self._idle.append(not state.is_primary)
        return len(self._idle) == LOOKS_COUNTED and sum(self._idle) > LOOKS_COUNTED // 2

    def _is_primary_gone(self, now: Now) -> bool:
        """Tell whether the primary's link stood and has been down for LINK_LOST_MS while something waits for it."""
        state = self._host.replica.view
        if state.is_primary or self._network.is_linked(state.primary):
            self._linked_ms = now.monotonic_ms
        if self._linked_ms is None or now.monotonic_ms - self._linked_ms < LINK_LOST_MS:
            return False
        return self._mempool.find_overdue(now.monotonic_ms, LINK_LOST_MS) is not None

    def _is_stalled(self, now: Now, deadline_ms: int) -> bool:
        """Tell whether no block came for so long, and not because this node is still executing one."""
        is_executing = self._host.replica.view.delivering is not None
        return not is_executing and self._batcher.compute_silence_ms(now) > deadline_ms

    def _forward_oldest(self, now: Now, after_ms: int) -> None:
        """Gossip the longest waiting transaction once more: perhaps the primary never got it."""
        oldest = self._mempool.find_overdue(now.monotonic_ms, after_ms)
        if oldest is not None and oldest.id != self._forwarded:
            self._forwarded = oldest.id
            self._network.gossip(oldest.raw)

    def _is_due_block_late(self, now: Now, deadline_ms: int) -> bool:
        if not self._batcher.is_block_due(now):
            self._due_since_ms = None
            return False
        if self._due_since_ms is None:
            self._due_since_ms = now.monotonic_ms
        is_late = now.monotonic_ms - self._due_since_ms > deadline_ms
        return is_late and self._is_stalled(now, deadline_ms)
