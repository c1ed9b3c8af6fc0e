import pytest

from node.mempool import (
    COMMITTED_REMEMBERED_MAX,
    ENTRY_OVERHEAD_BYTES,
    Added,
    AddResult,
    Full,
    Known,
    Mempool,
    MempoolLimits,
    Refused,
)
from primitives.ids import Digest, Height, MonotonicMs
from primitives.limits import BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX
from tests.node.transactions import make_account, make_unsigned
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

LIMITS = MempoolLimits(transactions_max=1_000, bytes_max=10**7, account_transactions_max=400)
NOON = MonotonicMs(1_000_000)
DEADLINE_MS = 1_500


def admit(sealed: SealedTransaction) -> Rejection | None:
    return None


def refuse(sealed: SealedTransaction) -> Rejection | None:
    return Rejection.SUSPENDED


def fill(pool: Mempool, *transactions: SealedTransaction, at_ms: int = NOON) -> list[AddResult]:
    return [pool.add(sealed, MonotonicMs(at_ms), admit) for sealed in transactions]


def select_all(pool: Mempool) -> list[SealedTransaction]:
    return pool.select(frozenset(), BATCH_TRANSACTIONS_MAX, BATCH_BYTES_MAX)


def test_a_transaction_that_waits_is_known() -> None:
    pool = Mempool(LIMITS)
    sealed = make_unsigned()
    assert fill(pool, sealed, sealed) == [Added(), Known(committed=False)]
    assert len(pool) == 1
    assert pool.get(sealed.id) is sealed


def test_a_committed_transaction_is_known_when_it_is_gossiped_again() -> None:
    pool = Mempool(LIMITS)
    sealed = make_unsigned()
    fill(pool, sealed)
    pool.commit([sealed.id])
    assert len(pool) == 0
    assert fill(pool, sealed) == [Known(committed=True)]


def test_a_removed_transaction_may_come_again() -> None:
    pool = Mempool(LIMITS)
    sealed = make_unsigned()
    fill(pool, sealed)
    pool.remove([sealed.id])
    assert fill(pool, sealed) == [Added()]


def test_committed_ids_are_forgotten_in_the_order_of_their_blocks() -> None:
    pool = Mempool(LIMITS)
    names = [number.to_bytes(32, "big") for number in range(COMMITTED_REMEMBERED_MAX + 1)]
    pool.commit(names)
    assert pool.find_known(Digest(names[0])) is None
    assert pool.find_known(Digest(names[1])) == Known(committed=True)


def test_an_inadmissible_transaction_is_refused_with_its_reason_and_not_kept() -> None:
    pool = Mempool(LIMITS)
    assert pool.add(make_unsigned(), NOON, refuse) == Refused(Rejection.SUSPENDED)
    assert (len(pool), pool.size_bytes) == (0, 0)


def test_an_account_holds_at_most_as_much_as_it_leaves_to_the_others() -> None:
    pool = Mempool(MempoolLimits(transactions_max=100, bytes_max=10**7, account_transactions_max=100))
    results = fill(pool, *(make_unsigned(0, nonce) for nonce in range(1, 101)))
    assert results.count(Added()) == 50
    assert results[-1] == Full(account=True)
    assert fill(pool, make_unsigned(1)) == [Added()]


def test_an_account_holds_at_most_its_own_bound() -> None:
    pool = Mempool(LIMITS)
    results = fill(pool, *(make_unsigned(0, nonce) for nonce in range(1, 402)))
    assert results.count(Added()) == 400
    assert results[-1] == Full(account=True)


def test_large_transactions_of_one_account_leave_half_of_the_bytes() -> None:
    pool = Mempool(MempoolLimits(transactions_max=1_000, bytes_max=100_000, account_transactions_max=1_000))
    fill(pool, *(make_unsigned(0, nonce, padding=2_000) for nonce in range(1, 100)))
    assert 40_000 < pool.size_bytes < 60_000
    assert fill(pool, make_unsigned(1, padding=2_000)) == [Added()]


def test_a_full_pool_refuses_newcomers_and_displaces_nobody() -> None:
    pool = Mempool(MempoolLimits(transactions_max=100, bytes_max=10**7, account_transactions_max=100))
    first = [make_unsigned(account) for account in range(100)]
    fill(pool, *first)
    assert fill(pool, make_unsigned(200)) == [Full(account=False)]
    assert all(pool.get(sealed.id) for sealed in first)


def test_a_pool_full_of_bytes_refuses_newcomers() -> None:
    size = len(make_unsigned(padding=1_000).raw) + ENTRY_OVERHEAD_BYTES
    pool = Mempool(MempoolLimits(transactions_max=100, bytes_max=2 * size + 10, account_transactions_max=100))
    results = fill(pool, *(make_unsigned(account, padding=1_000) for account in range(3)))
    assert results == [Added(), Added(), Full(account=False)]


def test_a_batch_takes_turns_between_accounts_and_keeps_the_order_of_each() -> None:
    pool = Mempool(LIMITS)
    greedy = [make_unsigned(0, nonce) for nonce in range(1, 6)]
    modest = [make_unsigned(1, nonce) for nonce in (9, 3)]
    fill(pool, *greedy, *modest)
    assert select_all(pool) == [greedy[0], modest[0], greedy[1], modest[1], *greedy[2:]]


def test_who_was_served_last_waits_longest() -> None:
    pool = Mempool(LIMITS)
    a, b, c = (make_unsigned(account) for account in range(3))
    fill(pool, a, b, c)
    first = pool.select(frozenset(), 2, BATCH_BYTES_MAX)
    assert first == [a, b]
    assert pool.select(frozenset(), 2, BATCH_BYTES_MAX) == [c, a]


def test_newcomers_do_not_overtake_who_waits() -> None:
    pool = Mempool(LIMITS)
    patient = make_unsigned(0)
    fill(pool, make_unsigned(1), patient)
    pool.select(frozenset(), 1, BATCH_BYTES_MAX)
    fill(pool, make_unsigned(2))
    assert pool.select(frozenset(), 1, BATCH_BYTES_MAX) == [patient]


def test_what_is_in_flight_is_not_selected_again() -> None:
    pool = Mempool(LIMITS)
    first, second = make_unsigned(0, 1), make_unsigned(0, 2)
    fill(pool, first, second)
    assert pool.select({first.id}, 10, BATCH_BYTES_MAX) == [second]


def test_an_account_whose_next_transaction_does_not_fit_keeps_its_order() -> None:
    pool = Mempool(LIMITS)
    large, small = make_unsigned(0, 1, padding=2_000), make_unsigned(0, 2)
    other = make_unsigned(1)
    fill(pool, large, small, other)
    assert pool.select(frozenset(), 10, 1_000) == [other]


def test_a_proposal_is_resolved_into_what_is_here_and_what_is_missing() -> None:
    pool = Mempool(LIMITS)
    here, absent = make_unsigned(0), make_unsigned(1)
    fill(pool, here)
    found, missing = pool.resolve([absent.id, here.id])
    assert (found, missing) == ({here.id: here}, (absent.id,))


def test_after_a_block_those_checked_longest_ago_are_checked_first_and_only_so_many() -> None:
    pool = Mempool(LIMITS)
    transactions = [make_unsigned(account) for account in range(5)]
    fill(pool, *transactions)
    seen: list[SealedTransaction] = []

    def look(sealed: SealedTransaction) -> Rejection | None:
        seen.append(sealed)
        return Rejection.NONCE_USED if sealed is transactions[1] else None

    assert pool.recheck(look, 3) == [(transactions[1].id, Rejection.NONCE_USED)]
    assert pool.recheck(look, 3) == []
    assert seen == [*transactions[:3], *transactions[3:], transactions[0]]
    assert len(pool) == 4


def test_what_may_not_be_executed_any_more_expires() -> None:
    pool = Mempool(LIMITS)
    at_ten, at_eleven = make_unsigned(0, valid_until=10), make_unsigned(1, valid_until=11)
    fill(pool, at_ten, at_eleven)
    assert pool.expire(Height(10)) == []
    assert pool.expire(Height(11)) == [at_ten.id]
    assert pool.expire(Height(12)) == [at_eleven.id]
    assert len(pool) == 0


def test_only_so_many_expire_after_one_block() -> None:
    pool = Mempool(LIMITS)
    fill(pool, *(make_unsigned(account, valid_until=5) for account in range(5)))
    assert len(pool.expire(Height(6), 3)) == 3
    assert len(pool.expire(Height(7), 3)) == 2


def test_heights_at_which_nothing_expires_are_forgotten() -> None:
    pool = Mempool(LIMITS)
    for height in range(10, 2_000):
        sealed = make_unsigned(0, height, valid_until=height)
        fill(pool, sealed)
        pool.commit([sealed.id])
    assert len(pool._expiry_heights) < 100


def test_what_an_account_has_waiting_is_told_in_the_order_of_arrival() -> None:
    pool = Mempool(LIMITS)
    transactions = [make_unsigned(0, nonce) for nonce in (4, 2)]
    fill(pool, *transactions)
    assert pool.get_account(make_account(0)) == transactions
    pool.commit([transactions[0].id])
    assert pool.get_account(make_account(0)) == transactions[1:]
    assert pool.get_account(make_account(9)) == []


class TestDeadlines:
    def test_a_transaction_is_overdue_after_its_deadline(self) -> None:
        pool = Mempool(LIMITS)
        sealed = make_unsigned()
        fill(pool, sealed)
        assert pool.find_overdue(MonotonicMs(NOON + DEADLINE_MS), DEADLINE_MS) is None
        assert pool.find_overdue(MonotonicMs(NOON + DEADLINE_MS + 1), DEADLINE_MS) is sealed

    def test_an_empty_pool_waits_for_nothing(self) -> None:
        pool = Mempool(LIMITS)
        assert pool.find_overdue(MonotonicMs(10**9), DEADLINE_MS) is None

    def test_a_full_block_postpones_the_deadline(self) -> None:
        pool = Mempool(LIMITS)
        fill(pool, make_unsigned())
        pool.record_block(MonotonicMs(NOON + 1_000), full=True)
        assert pool.find_overdue(MonotonicMs(NOON + 2_400), DEADLINE_MS) is None
        assert pool.find_overdue(MonotonicMs(NOON + 2_501), DEADLINE_MS) is not None

    def test_a_block_with_room_postpones_nothing(self) -> None:
        pool = Mempool(LIMITS)
        fill(pool, make_unsigned())
        pool.record_block(MonotonicMs(NOON + 1_000), full=False)
        assert pool.find_overdue(MonotonicMs(NOON + 1_501), DEADLINE_MS) is not None

    def test_full_blocks_do_not_hide_a_censored_account_for_ever(self) -> None:
        pool = Mempool(LIMITS)
        fill(pool, make_unsigned())
        for second in range(1, 100):
            pool.record_block(MonotonicMs(NOON + second * 1_000), full=True)
        assert pool.find_overdue(MonotonicMs(NOON + 99_001), DEADLINE_MS) is not None

    def test_as_many_full_blocks_postpone_as_what_waited_before_needs(self) -> None:
        pool = Mempool(
            MempoolLimits(transactions_max=10_000, bytes_max=10**8, account_transactions_max=9_000)
        )
        before = [make_unsigned(0, nonce) for nonce in range(1, 3_501)]
        fill(pool, *before)
        fill(pool, make_unsigned(1))
        pool.commit(sealed.id for sealed in before)
        for second in range(1, 7):
            pool.record_block(MonotonicMs(NOON + second * 1_000), full=True)
        assert pool.find_overdue(MonotonicMs(NOON + 6_000 + DEADLINE_MS), DEADLINE_MS) is None
        pool.record_block(MonotonicMs(NOON + 7_000), full=True)
        assert pool.find_overdue(MonotonicMs(NOON + 6_000 + DEADLINE_MS + 1), DEADLINE_MS) is not None

    def test_full_blocks_before_its_arrival_do_not_concern_a_transaction(self) -> None:
        pool = Mempool(LIMITS)
        pool.record_block(NOON, full=True)
        fill(pool, make_unsigned(), at_ms=NOON + 10)
        assert pool.find_overdue(MonotonicMs(NOON + 10 + DEADLINE_MS), DEADLINE_MS) is None
        assert pool.find_overdue(MonotonicMs(NOON + 11 + DEADLINE_MS), DEADLINE_MS) is not None

    def test_a_new_primary_has_the_whole_time_again(self) -> None:
        pool = Mempool(LIMITS)
        fill(pool, make_unsigned())
        pool.restart_deadlines(MonotonicMs(NOON + 5_000))
        assert pool.find_overdue(MonotonicMs(NOON + 6_000), DEADLINE_MS) is None
        assert pool.find_overdue(MonotonicMs(NOON + 6_501), DEADLINE_MS) is not None


@pytest.mark.parametrize("count", [1, 7])
def test_an_unknown_id_is_no_error(count: int) -> None:
    pool = Mempool(LIMITS)
    names = [number.to_bytes(32, "big") for number in range(count)]
    pool.remove(names)
    pool.commit(names)
    assert len(pool) == 0


def test_the_oldest_waiting_transaction_has_waited_longest() -> None:
    pool = Mempool(LIMITS)
    assert pool.compute_oldest_age_ms(NOON) == 0
    first, second = make_unsigned(nonce=1), make_unsigned(nonce=2)
    fill(pool, first, at_ms=NOON)
    fill(pool, second, at_ms=NOON + 50)
    assert pool.compute_oldest_age_ms(MonotonicMs(NOON + 80)) == 80
    pool.commit([first.id])
    assert pool.compute_oldest_age_ms(MonotonicMs(NOON + 80)) == 30
