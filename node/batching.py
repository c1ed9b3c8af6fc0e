"""When the leading node proposes, and what: at once when something waits, else at due times and heartbeats."""

from collections import deque

from consensus.effects import WantBatch
from consensus.events import Now, Proposed
from node.mempool import Mempool, get_raw
from primitives.batch import Batch, BatchHeader
from primitives.ids import MonotonicMs, ReplicaId
from primitives.limits import BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX

WORTH_A_BLOCK = 128
"""Waiting transactions for which a block is begun while another is on its way. A block costs each validator as much as
40 transactions, so fewer wait until the one on its way is executed: as they would if they were in the next one."""

REST_DIVISOR = 2
"""After a block of several transactions the leader waits for company: a half of the time which that block took. Without
it light loads fill every core with small blocks, and each takes longer than the wait would."""

REST_MS_MAX = 25
"""Where blocks take longer it is the lines that are slow, and nothing is gained by waiting."""


EXECUTED_REMEMBERED = 8
"""Headers of the last blocks: twice the greatest depth."""


class Batcher:
    """Holds the replica's open question for a batch and answers it as soon as there is a reason for a block."""

    def __init__(
        self, own: ReplicaId, mempool: Mempool, heartbeat_ms: int, worth_a_block: int = WORTH_A_BLOCK
    ) -> None:
        """Begin without a question; with ``worth_a_block`` 1 every transaction begins a block while there is room."""
        self._own = own
        self._worth_a_block = worth_a_block
        self._mempool = mempool
        self._heartbeat_ms = heartbeat_ms
        self._want: WantBatch | None = None
        self._executed: deque[BatchHeader] = deque(maxlen=EXECUTED_REMEMBERED)
        self._begun_ms = 0
        self._rested_ms = 0
        self._last_block_ms: MonotonicMs | None = None
        self.next_due_ms: int | None = None
        """Block time at which contracts have something to do by themselves, UTC milliseconds."""

    @property
    def is_asked(self) -> bool:
        """Tell whether a question is open."""
        return self._want is not None

    def ask(self, want: WantBatch) -> None:
        """Take the replica's question; a newer one replaces an older one."""
        self._want = want

    def record_block(self, now: Now, executed: BatchHeader, next_due_ms: int | None) -> None:
        """Take note of an executed block: it is no longer on its way, whatever an older question says."""
        self._last_block_ms = now.monotonic_ms
        self._executed.append(executed)
        if executed.proposer == self._own and len(executed.transaction_ids) > 1:
            took_ms = now.monotonic_ms - self._begun_ms
            self._rested_ms = now.monotonic_ms + min(took_ms // REST_DIVISOR, REST_MS_MAX)
        self.next_due_ms = next_due_ms

    def answer(self, now: Now) -> Proposed | None:
        """Return the answer to the open question, or None while there is no reason for a block."""
        want = self._want
        if want is None:
            return None
        # A question may be older than the last block: it waited for a sync meanwhile, or is still open.
        in_flight = [header for header in want.in_flight if header not in self._executed]
        is_early = bool(in_flight) or now.monotonic_ms < self._rested_ms
        if is_early and len(self._mempool) < self._worth_a_block:
            return None
        taken = {name for header in in_flight for name in header.transaction_ids}
        if is_early and self._mempool.count_others(taken) < self._worth_a_block:
            return None
        selected = self._mempool.select(taken, BATCH_TRANSACTIONS_MAX, BATCH_BYTES_MAX)
        if not selected and (in_flight or not self.is_block_due(now)):
            return None
        self._want = None
        self._begun_ms = now.monotonic_ms
        header = BatchHeader(self._own, now.wall_ms, tuple(bytes(sealed.id) for sealed in selected))
        batch = Batch(header, get_raw(selected))
        return Proposed(now, want.epoch, want.view, want.sequence, batch)

    def compute_rest_ms(self, now: Now) -> int:
        """Return for how long the open question waits for company; 0 without a question or a rest."""
        return 0 if self._want is None else max(0, self._rested_ms - now.monotonic_ms)

    def is_block_due(self, now: Now) -> bool:
        """Tell whether a block is due without transactions: a contract's time has come, or the heartbeat's."""
        if self.next_due_ms is not None and now.wall_ms >= self.next_due_ms:
            return True
        return self.compute_silence_ms(now) >= self._heartbeat_ms

    def compute_overdue_ms(self, now: Now) -> int:
        """Return for how long a block without transactions has been due; 0 while none is."""
        silence_ms = self.compute_silence_ms(now)
        since_due_ms = 0 if self.next_due_ms is None else min(now.wall_ms - self.next_due_ms, silence_ms)
        return max(0, since_due_ms, silence_ms - self._heartbeat_ms)

    def compute_silence_ms(self, now: Now) -> int:
        """Return how long ago the last block was executed here; the first question starts the clock."""
        if self._last_block_ms is None:
            self._last_block_ms = now.monotonic_ms
        return now.monotonic_ms - self._last_block_ms
