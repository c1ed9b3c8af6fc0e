"""When a leading node proposes: something waits, or a block is due and nothing is on its way."""

from consensus.effects import WantBatch
from consensus.events import Now
from node.batching import REST_MS_MAX, WORTH_A_BLOCK, Batcher
from node.mempool import Mempool, MempoolLimits
from primitives.batch import BatchHeader
from primitives.ids import Epoch, MonotonicMs, ReplicaId, Sequence, UnixMs, View
from tests.node.transactions import make_unsigned

HEARTBEAT_MS = 2_000
ON_ITS_WAY = BatchHeader(b"a" * 32, 1_000, (b"t" * 32,))


def at(monotonic_ms: int) -> Now:
    return Now(MonotonicMs(monotonic_ms), UnixMs(1_000_000 + monotonic_ms))


def asked(*in_flight: BatchHeader) -> Batcher:
    batcher = Batcher(ReplicaId(b"a" * 32), Mempool(MempoolLimits(1_000, 10**6, 100)), HEARTBEAT_MS)
    assert batcher.answer(at(0)) is None
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), in_flight))
    assert batcher.answer(at(0)) is None
    return batcher


def test_an_idle_network_gets_a_heartbeat_after_its_time() -> None:
    batcher = asked()
    assert batcher.answer(at(HEARTBEAT_MS - 1)) is None
    proposed = batcher.answer(at(HEARTBEAT_MS))
    assert proposed is not None
    assert proposed.batch.transactions == ()


def test_no_heartbeat_is_proposed_while_a_block_is_on_its_way() -> None:
    assert asked(ON_ITS_WAY).answer(at(5 * HEARTBEAT_MS)) is None


def test_an_open_question_forgets_a_block_that_was_executed_meanwhile() -> None:
    batcher = asked(ON_ITS_WAY)
    batcher.record_block(at(10), ON_ITS_WAY, None)
    assert batcher.answer(at(10 + HEARTBEAT_MS - 1)) is None
    assert batcher.answer(at(10 + HEARTBEAT_MS)) is not None


def test_while_a_block_is_on_its_way_the_next_begins_when_enough_waits_for_it() -> None:
    mempool = Mempool(MempoolLimits(1_000, 10**6, 100))
    batcher = Batcher(ReplicaId(b"a" * 32), mempool, HEARTBEAT_MS)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), (ON_ITS_WAY,)))
    for index in range(WORTH_A_BLOCK):
        assert batcher.answer(at(0)) is None
        mempool.add(make_unsigned(index), MonotonicMs(0), lambda _: None)
    proposed = batcher.answer(at(0))
    assert proposed is not None
    assert len(proposed.batch.transactions) == WORTH_A_BLOCK


def test_what_is_on_its_way_does_not_count_as_waiting() -> None:
    mempool = Mempool(MempoolLimits(1_000, 10**6, 100))
    batcher = Batcher(ReplicaId(b"a" * 32), mempool, HEARTBEAT_MS, worth_a_block=2)
    first = make_unsigned(0)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), (BatchHeader(b"a" * 32, 1_000, (first.id,)),)))
    for sealed in (first, make_unsigned(1)):
        mempool.add(sealed, MonotonicMs(0), lambda _: None)
    assert batcher.answer(at(0)) is None
    mempool.add(make_unsigned(2), MonotonicMs(0), lambda _: None)
    assert batcher.answer(at(0)) is not None


def test_what_waits_goes_at_once_when_the_block_on_its_way_is_executed() -> None:
    mempool = Mempool(MempoolLimits(1_000, 10**6, 100))
    batcher = Batcher(ReplicaId(b"a" * 32), mempool, HEARTBEAT_MS)
    mempool.add(make_unsigned(1), MonotonicMs(0), lambda _: None)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), (ON_ITS_WAY,)))
    assert batcher.answer(at(0)) is None
    batcher.record_block(at(10), ON_ITS_WAY, None)
    proposed = batcher.answer(at(10))
    assert proposed is not None
    assert len(proposed.batch.transactions) == 1


def test_a_question_that_comes_after_a_block_was_executed_does_not_take_it_for_one_on_its_way() -> None:
    mempool = Mempool(MempoolLimits(1_000, 10**6, 100))
    batcher = Batcher(ReplicaId(b"a" * 32), mempool, HEARTBEAT_MS)
    mempool.add(make_unsigned(1), MonotonicMs(0), lambda _: None)
    batcher.record_block(at(10), ON_ITS_WAY, None)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), (ON_ITS_WAY,)))
    assert batcher.answer(at(10)) is not None


def lead(count: int, took_ms: int) -> tuple[Batcher, Mempool]:
    """Return a leader that has just executed a block of its own, and was asked for the next one."""
    mempool = Mempool(MempoolLimits(1_000, 10**6, 100))
    batcher = Batcher(ReplicaId(b"a" * 32), mempool, HEARTBEAT_MS)
    first = [make_unsigned(index) for index in range(count)]
    for sealed in first:
        mempool.add(sealed, MonotonicMs(0), lambda _: None)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(1), ()))
    proposed = batcher.answer(at(0))
    assert proposed is not None
    mempool.commit([sealed.id for sealed in first])
    batcher.record_block(at(took_ms), proposed.batch.header, None)
    batcher.ask(WantBatch(Epoch(0), View(0), Sequence(2), ()))
    return batcher, mempool


def test_after_a_block_of_several_the_leader_waits_for_company_half_as_long_as_it_took() -> None:
    batcher, mempool = lead(2, took_ms=20)
    mempool.add(make_unsigned(2), MonotonicMs(20), lambda _: None)
    assert batcher.answer(at(29)) is None
    assert batcher.compute_rest_ms(at(29)) == 1
    assert batcher.answer(at(30)) is not None
    assert batcher.compute_rest_ms(at(29)) == 0  # nobody asks any more


def test_a_leader_never_rests_for_longer_than_slow_lines_would_let_it() -> None:
    batcher, mempool = lead(2, took_ms=5_000)
    mempool.add(make_unsigned(2), MonotonicMs(5_000), lambda _: None)
    assert batcher.answer(at(5_000 + REST_MS_MAX - 1)) is None
    assert batcher.answer(at(5_000 + REST_MS_MAX)) is not None


def test_a_leader_does_not_rest_after_a_lonely_transaction_nor_while_enough_for_a_block_waits() -> None:
    batcher, mempool = lead(1, took_ms=20)
    mempool.add(make_unsigned(2), MonotonicMs(20), lambda _: None)
    assert batcher.answer(at(20)) is not None
    batcher, mempool = lead(2, took_ms=20)
    for index in range(2, 2 + WORTH_A_BLOCK):
        mempool.add(make_unsigned(index), MonotonicMs(20), lambda _: None)
    assert batcher.answer(at(20)) is not None


def test_a_due_block_is_overdue_from_its_heartbeat_or_its_contracts_time_on() -> None:
    batcher = asked()
    assert batcher.compute_overdue_ms(at(HEARTBEAT_MS)) == 0
    assert batcher.compute_overdue_ms(at(HEARTBEAT_MS + 700)) == 700
    batcher.next_due_ms = 1_000_000 + 500
    assert batcher.compute_overdue_ms(at(400)) == 0
    assert batcher.compute_overdue_ms(at(900)) == 400


def test_no_block_is_overdue_for_longer_than_the_last_one_is_old() -> None:
    batcher = asked()
    batcher.next_due_ms = 0
    assert batcher.compute_overdue_ms(at(300)) == 300
