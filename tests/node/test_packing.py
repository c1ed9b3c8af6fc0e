"""What every packer promises, and what each of them is for."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.fair_packing import HEAP_SPARE, OVERTAKEN_MAX, FairPacker, build_packer
from node.fair_search import pack_greedily, pack_optimally
from node.mempool import Added, Mempool, MempoolLimits
from node.packing import Fifo, Packer, Packing
from primitives.ids import Digest, Height, MonotonicMs
from tests.node.transactions import make_account, make_unsigned
from vm.transaction import SealedTransaction

LIMITS = MempoolLimits(transactions_max=10_000, bytes_max=10**8, account_transactions_max=9_000)
FIRST = Height(10)
SMALL = len(make_unsigned(0, 100).raw)
PADDINGS = st.sampled_from([0, 0, 60, 150, 400])
LARGEST = len(make_unsigned(0, 10_000, padding=400).raw)
ARRIVALS = st.lists(st.tuples(st.integers(0, 4), PADDINGS), max_size=12)
EVERY = pytest.mark.parametrize("packing", list(Packing))
BY_AGE = pytest.mark.parametrize("packing", [Packing.FIFO, Packing.HEURISTIC, Packing.OPTIMAL])
FAIR = pytest.mark.parametrize("packing", [Packing.HEURISTIC, Packing.OPTIMAL])


class Chain:
    """A pool with blocks: what is selected is committed, and the next height begins."""

    def __init__(self, packer: Packer) -> None:
        self.height = FIRST
        self.nonce = 100
        self.waiting: list[SealedTransaction] = []
        self.first_seen: dict[Digest, int] = {}
        self.pool = Mempool(LIMITS, packer, FIRST)

    def bring(self, arrivals: Sequence[tuple[int, int]]) -> list[SealedTransaction]:
        """Let transactions come, each an account and a padding."""
        brought = []
        for account, padding in arrivals:
            self.nonce += 1
            brought.append(make_unsigned(account, self.nonce, padding=padding))
        self.take(brought)
        return brought

    def take(self, brought: Sequence[SealedTransaction]) -> None:
        for sealed in brought:
            assert self.pool.add(sealed, MonotonicMs(0), lambda _: None) == Added()
            self.first_seen[sealed.id] = self.height
        self.waiting += brought

    def make_block(self, count: int, size: int) -> list[SealedTransaction]:
        block = self.pool.select(frozenset(), count, size)
        names = [sealed.id for sealed in block]
        self.pool.commit(names)
        self.waiting = [sealed for sealed in self.waiting if sealed.id not in set(names)]
        self.skip_block()
        return block

    def skip_block(self) -> None:
        """Let a block pass that took nothing from here."""
        self.height = Height(self.height + 1)
        self.pool.expire(self.height)

    def sum_waiting(self, block: Sequence[SealedTransaction]) -> int:
        return sum(1 + self.height - self.first_seen[sealed.id] for sealed in block)


def measure(transactions: Sequence[SealedTransaction]) -> int:
    return sum(len(sealed.raw) for sealed in transactions)


@EVERY
@given(rounds=st.lists(ARRIVALS, max_size=4), count=st.integers(1, 15), size=st.integers(SMALL, 4_000))
@settings(max_examples=60, deadline=None)
def test_a_batch_keeps_its_bounds_and_the_order_of_each_account(
    packing: Packing, rounds: list[list[tuple[int, int]]], count: int, size: int
) -> None:
    chain = Chain(build_packer(packing))
    for arrivals in rounds:
        brought = chain.bring(arrivals)
        in_flight = {sealed.id for sealed in brought[:2]}
        free = [sealed for sealed in chain.waiting if sealed.id not in in_flight]
        block = chain.pool.select(in_flight, count, size)
        assert len({sealed.id for sealed in block}) == len(block) <= count
        assert measure(block) <= size
        for account in range(5):
            chosen = [sealed for sealed in block if sealed.transaction.account == make_account(account)]
            queue = [sealed for sealed in free if sealed.transaction.account == make_account(account)]
            assert chosen == queue[: len(chosen)]
        if len(free) <= count and measure(free) <= size:
            assert len(block) == len(free)
        chain.make_block(count, size)


@BY_AGE
@given(
    before=ARRIVALS,
    victim=st.tuples(st.integers(0, 4), PADDINGS),
    flood=st.lists(ARRIVALS, min_size=1, max_size=3),
    count=st.integers(1, 10),
    size=st.integers(LARGEST, 3 * LARGEST),
)
@settings(max_examples=60, deadline=None)
def test_nobody_starves_whatever_comes_later(
    packing: Packing,
    before: list[tuple[int, int]],
    victim: tuple[int, int],
    flood: list[list[tuple[int, int]]],
    count: int,
    size: int,
) -> None:
    """Every block takes from what came first, but for so many in which younger ones may overtake."""
    chain = Chain(build_packer(packing))
    older = chain.bring(before)
    (patient,) = chain.bring([victim])
    older += chain.bring(flood[0])  # before the next block, so that it may stand before it
    blocks_by_count = -(-len(older) // count)
    blocks_by_size = measure(older) // (size - LARGEST + 1) + 1
    bound = OVERTAKEN_MAX + blocks_by_count + blocks_by_size + 1
    for block in range(bound):
        if patient in chain.make_block(count, size):
            return
        chain.bring(flood[(block + 1) % len(flood)])
    raise AssertionError(f"it still waits after {bound} blocks")


@given(queue=st.integers(0, 4), others=st.integers(0, 9), flood=st.integers(1, 12), count=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_where_accounts_take_turns_a_flood_of_one_account_delays_another_by_turns_only(
    queue: int, others: int, flood: int, count: int
) -> None:
    chain = Chain(build_packer(Packing.ROUND_ROBIN))
    chain.bring([(number, 0) for number in range(1, others + 1)])
    chain.bring([(0, 0)] * queue)
    (patient,) = chain.bring([(0, 400)])
    for _ in range((queue + 1) * (-(-(others + 1) // count) + 1)):
        if patient in chain.make_block(count, count * LARGEST):
            return
        chain.bring([(number, 0) for number in range(1, others + 1) for _ in range(flood)])
    raise AssertionError("it was passed over")


@FAIR
@given(arrivals=ARRIVALS, order=st.randoms(use_true_random=False), size=st.integers(SMALL, 3_000))
@settings(max_examples=60, deadline=None)
def test_the_same_transactions_make_the_same_block_in_whatever_order_the_accounts_come(
    packing: Packing, arrivals: list[tuple[int, int]], order: st.DataObject, size: int
) -> None:
    first, second = Chain(build_packer(packing)), Chain(build_packer(packing))
    brought = first.bring(arrivals)
    accounts = [account for account, _ in arrivals]
    order.shuffle(accounts)  # type: ignore[attr-defined]
    queues = {
        account: [sealed for (name, _), sealed in zip(arrivals, brought, strict=True) if name == account]
        for account in accounts
    }
    second.take([queues[account].pop(0) for account in accounts])
    assert first.make_block(6, size) == second.make_block(6, size)


@given(rounds=st.lists(ARRIVALS, min_size=1, max_size=3), size=st.integers(SMALL, 3_000))
@settings(max_examples=40, deadline=None)
def test_the_transactions_of_no_other_block_have_waited_longer_than_those_of_the_optimal_one(
    rounds: list[list[tuple[int, int]]], size: int
) -> None:
    sums = []
    packers: list[Packer] = [
        FairPacker(lambda queues, count, room: pack_optimally(queues, count, room, 10**6), 99),
        FairPacker(pack_greedily, 99),
        Fifo(),
        build_packer(Packing.ROUND_ROBIN),
    ]
    for packer in packers:
        chain = Chain(packer)
        for arrivals in rounds:
            chain.bring(arrivals)
            chain.skip_block()
        sums.append(chain.sum_waiting(chain.pool.select(frozenset(), 8, size)))
    assert sums[0] == max(sums)


@FAIR
def test_who_was_overtaken_for_long_enough_goes_first(packing: Packing) -> None:
    chain = Chain(build_packer(packing))
    (large,) = chain.bring([(0, 400)])
    taken = []
    for _ in range(OVERTAKEN_MAX + 1):
        chain.bring([(account, 0) for account in range(1, 5)])
        taken.append(large in chain.make_block(10, LARGEST))
    assert taken == [False] * OVERTAKEN_MAX + [True]


def test_first_come_first_served_lets_nothing_overtake_what_does_not_fit() -> None:
    chain = Chain(Fifo())
    first, large, last = chain.bring([(0, 0), (1, 400), (2, 0)])
    assert chain.make_block(10, measure([first, large]) - 1) == [first]
    assert chain.make_block(10, measure([large, last])) == [large, last]


@FAIR
def test_what_came_again_waits_anew_behind_its_account(packing: Packing) -> None:
    chain = Chain(build_packer(packing))
    first, second = chain.bring([(0, 0), (0, 0)])
    chain.pool.remove([first.id])
    assert chain.pool.add(first, MonotonicMs(0), lambda _: None) == Added()
    assert chain.make_block(2, 2 * SMALL) == [second, first]


@FAIR
def test_places_of_those_that_left_are_forgotten_also_where_nothing_is_selected(packing: Packing) -> None:
    packer = build_packer(packing)
    assert isinstance(packer, FairPacker)
    chain = Chain(packer)
    for _ in range(500):
        (sealed,) = chain.bring([(0, 0)])
        chain.pool.commit([sealed.id])
    assert len(packer._heap) <= HEAP_SPARE + 3


@EVERY
@pytest.mark.parametrize(("count", "size"), list(product((0, 3), (0, SMALL - 9))))
def test_a_batch_without_room_is_empty(packing: Packing, count: int, size: int) -> None:
    chain = Chain(build_packer(packing))
    chain.bring([(0, 0), (1, 0)])
    assert chain.pool.select(frozenset(), count, size) == []
