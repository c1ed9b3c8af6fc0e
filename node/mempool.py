"""Transactions that wait to be ordered: bounded, fair between accounts, and pure. Time is an argument.

What stands here was correctly signed and admissible when it came. Nothing accepted is ever displaced by what comes
later; at the bound, newcomers are told to come back. An account may hold at most as much as it leaves free to the
others (Choudhury and Hahne 1998, "Dynamic queue length thresholds"), so that no account fills the pool.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from node.packing import Account, Packer, Place, Queues, Room, RoundRobin, Waiting
from primitives.ids import Digest, Height, MonotonicMs
from primitives.limits import BATCH_TRANSACTIONS_MAX
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

COMMITTED_REMEMBERED_MAX = 32_768
"""Half a minute at 1,000 per second: longer than gossip echoes. Older ones are refused by their used nonce. 4 MB."""

RECHECK_MAX = 512
"""Transactions checked again after each block: 5 ms at 10 µs each, and the whole pool within 40 blocks."""

EXPIRE_MAX = 4_096
"""Transactions expired after each block; what is left expires with the next ones."""

PATIENCE_MAX = 64
"""Full blocks that may postpone a deadline. A pool of 20,000 drains in 20."""

PATIENCE_SPARE = 2
"""Full blocks granted beyond those that what waited before needs: the ones in flight."""

ENTRY_OVERHEAD_BYTES = 600
"""What one entry costs beyond its bytes (objects and tables); counted, so that many small ones are bounded too."""

FIRST_HEIGHT = Height(1)
"""Of the block after the genesis."""

RejectionCheck = Callable[[SealedTransaction], Rejection | None]


@dataclass(frozen=True, slots=True)
class MempoolLimits:
    """How much waits at most."""

    transactions_max: int
    bytes_max: int
    account_transactions_max: int


@dataclass(frozen=True, slots=True)
class Added:
    """It waits to be ordered."""


@dataclass(frozen=True, slots=True)
class Known:
    """It waits already, or was committed a moment ago."""

    committed: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not admissible now."""

    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room for it now: come back later. ``account``: its account alone holds its share."""

    account: bool


AddResult = Added | Known | Refused | Full


class Mempool:
    """The pool of one node; not for several threads."""

    def __init__(
        self, limits: MempoolLimits, packer: Packer | None = None, next_height: Height = FIRST_HEIGHT
    ) -> None:
        """Begin empty; without a packer the accounts take turns."""
        self.limits = limits
        self._packer: Packer = RoundRobin() if packer is None else packer
        self._queues = Queues(OrderedDict(), OrderedDict(), next_height)
        self._entries = self._queues.arrived
        self._accounts = self._queues.accounts
        self._unchecked: OrderedDict[Digest, None] = OrderedDict()  # least recently checked first
        self._bytes = 0
        self._expiring: dict[int, set[Digest]] = {}
        self._expiry_heights: list[int] = []
        self._committed: dict[Digest, None] = {}
        self._committed_order: deque[Digest] = deque()
        self._full_blocks = 0
        self._full_block_times: deque[MonotonicMs] = deque(maxlen=PATIENCE_MAX)
        self._restarted_ms: MonotonicMs | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Return what the waiting transactions cost, in bytes of memory."""
        return self._bytes

    def get(self, transaction_id: Digest) -> SealedTransaction | None:
        """Return a waiting transaction."""
        entry = self._entries.get(transaction_id)
        return None if entry is None else entry.sealed

    def resolve(
        self, transaction_ids: Iterable[Digest]
    ) -> tuple[dict[Digest, SealedTransaction], tuple[Digest, ...]]:
        """Return which of a proposal's transactions wait here, and the ids of the others in their order."""
        found: dict[Digest, SealedTransaction] = {}
        missing = []
        for transaction_id in transaction_ids:
            sealed = self.get(transaction_id)
            if sealed is None:
                missing.append(transaction_id)
            else:
                found[transaction_id] = sealed
        return found, tuple(missing)

    def find_known(self, transaction_id: Digest) -> Known | None:
        """Tell whether a transaction waits or was just committed: it needs no signature check."""
        if transaction_id in self._entries:
            return Known(committed=False)
        return Known(committed=True) if transaction_id in self._committed else None

    def count_others(self, taken: Collection[bytes]) -> int:
        """Return how many transactions wait that are not among ``taken``."""
        return len(self._entries) - sum(name in self._entries for name in taken)

    def get_account(self, account: bytes) -> list[SealedTransaction]:
        """Return what ``account`` has waiting, in order."""
        waiting = self._accounts.get(account)
        return [] if waiting is None else list(waiting.waiting.values())

    def add(
        self, sealed: SealedTransaction, now_ms: MonotonicMs, rejection_check: RejectionCheck
    ) -> AddResult:
        """Take a correctly signed transaction.

        In this order: it is known; the pool has no room; it is not admissible; its account holds as much as it
        leaves free to others.
        """
        known = self.find_known(sealed.id)
        if known is not None:
            return known
        size = len(sealed.raw) + ENTRY_OVERHEAD_BYTES
        free = self.limits.transactions_max - len(self._entries)
        free_bytes = self.limits.bytes_max - self._bytes
        if free < 1 or free_bytes < size:
            return Full(account=False)
        rejection = rejection_check(sealed)
        if rejection is not None:
            return Refused(rejection)
        account = self._accounts.get(sealed.transaction.account)
        if account is not None:
            share = min(self.limits.account_transactions_max, free)
            if len(account.waiting) >= share or account.size >= free_bytes:
                return Full(account=True)
        self._insert(sealed, size, now_ms)
        return Added()

    def select(self, exclude: Collection[bytes], max_count: int, max_bytes: int) -> list[SealedTransaction]:
        """Return what the next batch holds, without removing it: the packer's choice, each account's in order.

        ``exclude`` names what other batches in flight hold already; ``max_bytes`` is the sum of the raw bytes. An
        account whose next transaction does not fit waits, so that its order is kept.
        """
        return self._packer.select(self._queues, exclude, Room(max_count, max_bytes))

    def commit(self, transaction_ids: Iterable[bytes]) -> None:
        """Remove what a block executed, and remember it, so that a late echo is known.

        Not for a transaction whose receipt is not ``consumed``: that one may be applied later, so ``remove`` it.
        """
        for transaction_id in transaction_ids:
            name = Digest(transaction_id)
            self._discard(name)
            if name not in self._committed:
                self._committed[name] = None
                self._committed_order.append(name)
        while len(self._committed_order) > COMMITTED_REMEMBERED_MAX:
            del self._committed[self._committed_order.popleft()]

    def remove(self, transaction_ids: Iterable[bytes]) -> None:
        """Remove without remembering: the same transaction may come again."""
        for transaction_id in transaction_ids:
            self._discard(Digest(transaction_id))

    def recheck(
        self, rejection_check: RejectionCheck, max_count: int = RECHECK_MAX
    ) -> list[tuple[Digest, Rejection]]:
        """Check again, after a block, those that were checked longest ago; return what was dropped and why."""
        dropped = []
        for _ in range(min(max_count, len(self._unchecked))):
            name = next(iter(self._unchecked))
            rejection = rejection_check(self._entries[name].sealed)
            if rejection is None:
                self._unchecked.move_to_end(name)
            else:
                self._discard(name)
                dropped.append((name, rejection))
        return dropped

    def expire(self, next_height: Height, max_count: int = EXPIRE_MAX) -> list[Digest]:
        """Remove what may not be executed at ``next_height`` any more; return the ids.

        What comes from now on counts its waiting from ``next_height``.
        """
        self._queues.next_height = next_height
        expired: list[Digest] = []
        while self._expiry_heights and self._expiry_heights[0] < next_height and len(expired) < max_count:
            names = self._expiring.get(self._expiry_heights[0])
            if not names:
                heappop(self._expiry_heights)
                continue
            for name in sorted(names)[: max_count - len(expired)]:
                self._discard(name)
                expired.append(name)
        return expired

    def record_block(self, now_ms: MonotonicMs, *, full: bool) -> None:
        """Count a block for the deadlines: one without room for more says nothing against its primary."""
        if full:
            self._full_blocks += 1
            self._full_block_times.append(now_ms)

    def restart_deadlines(self, now_ms: MonotonicMs) -> None:
        """Give a new primary, or this node after catching up, the whole time again."""
        self._restarted_ms = now_ms

    def compute_oldest_age_ms(self, now_ms: MonotonicMs) -> int:
        """Return for how long the transaction that came first has waited; 0 when none waits."""
        return 0 if not self._entries else now_ms - next(iter(self._entries.values())).added_ms

    def find_overdue(self, now_ms: MonotonicMs, deadline_ms: int) -> SealedTransaction | None:
        """Return the transaction that has waited longest, if it has for more than ``deadline_ms``.

        Its time counts from its arrival, from the last restart, and from the last full block that may postpone it:
        as many as what waited before it needed, so that a primary cannot pass over one account for ever.
        """
        if not self._entries:
            return None
        entry = self._entries[next(iter(self._entries))]
        since_ms = entry.added_ms
        if self._restarted_ms is not None:
            since_ms = max(since_ms, self._restarted_ms)
        postponing = min(self._full_blocks, entry.full_blocks + entry.patience)
        forgotten = self._full_blocks - len(self._full_block_times)
        if postponing > max(entry.full_blocks, forgotten):
            since_ms = max(since_ms, self._full_block_times[postponing - forgotten - 1])
        return entry.sealed if now_ms - since_ms > deadline_ms else None

    def _compute_patience(self) -> int:
        blocks = -(-len(self._entries) // BATCH_TRANSACTIONS_MAX)
        return min(PATIENCE_MAX, blocks + PATIENCE_SPARE)

    def _insert(self, sealed: SealedTransaction, size: int, now_ms: MonotonicMs) -> None:
        name = sealed.transaction.account
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(OrderedDict(), 0)
        height = self._queues.next_height
        is_first = account.last is None or account.last.first_seen != height
        turn = 0 if is_first or account.last is None else account.last.turn + 1
        account.last = Place(height, turn, name, sealed.id)
        entry = Waiting(sealed, size, now_ms, self._full_blocks, self._compute_patience(), account.last)
        self._entries[sealed.id] = entry
        self._unchecked[sealed.id] = None
        account.waiting[sealed.id] = sealed
        account.size += size
        self._bytes += size
        until = sealed.transaction.valid_until
        if until not in self._expiring:
            self._expiring[until] = set()
            heappush(self._expiry_heights, until)
        self._expiring[until].add(sealed.id)
        self._packer.note(self._queues, entry)

    def _discard(self, transaction_id: Digest) -> None:
        entry = self._entries.pop(transaction_id, None)
        if entry is None:
            return
        sealed = entry.sealed
        del self._unchecked[transaction_id]
        account = self._accounts[sealed.transaction.account]
        del account.waiting[transaction_id]
        account.size -= entry.size
        self._bytes -= entry.size
        if not account.waiting:
            del self._accounts[sealed.transaction.account]
        height = sealed.transaction.valid_until
        self._expiring[height].discard(transaction_id)
        if not self._expiring[height]:
            del self._expiring[height]
            self._tidy_heights()

    def _tidy_heights(self) -> None:
        """Forget heights at which nothing expires, before they outnumber the others."""
        if len(self._expiry_heights) > 2 * len(self._expiring) + 64:
            self._expiry_heights = sorted(self._expiring)
            heapify(self._expiry_heights)


def get_raw(selected: Sequence[SealedTransaction]) -> tuple[bytes, ...]:
    """Return the bytes of a selection, as a batch holds them."""
    return tuple(sealed.raw for sealed in selected)
