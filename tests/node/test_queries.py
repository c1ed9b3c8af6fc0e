import asyncio

import pytest

from consensus.certificates import check_certificate
from node.height_signal import HeightSignal, TooManyWaitersError
from node.pinned_state import UNCERTIFIED_MAX, NotCertifiedYetError, PinnedStates
from node.queries import Queries, QueryError
from node.receipts import LINKS_MAX, MerkleLadder
from primitives.encoding import encode
from primitives.ids import Digest, Height, MonotonicMs
from primitives.merkle import compute_merkle_proof
from tests.node.community import (
    SLOT_S,
    START_S,
    UTILITY,
    Community,
    DictSnapshot,
    build_settled_community,
    make_meter_account,
)
from vm.receipt import is_receipt_included
from vm.state_root import is_state_proof_valid


def test_reads_stay_at_the_certified_height_until_a_later_block_is_certified() -> None:
    community = Community()
    community.commit(community.grant(100))
    community.execute(community.grant(50))
    with community.queries.open() as pinned:
        view = community.queries.get_account(pinned, "utility")
        assert view is not None
        assert (pinned.height, view.coins.amount) == (1, 100)
    community.certify()
    with community.queries.open() as pinned:
        view = community.queries.get_account(pinned, UTILITY.hex())
        assert view is not None
        assert (pinned.height, view.coins.amount) == (2, 150)


def test_genesis_is_readable_without_a_certificate() -> None:
    community = Community()
    with community.queries.open() as pinned:
        assert pinned.height == 0
        assert pinned.certificate is None
        assert community.queries.get_account(pinned, "utility") is not None


def test_a_node_that_resumes_has_nothing_to_read_until_its_block_is_certified() -> None:
    community = Community()
    header = community.execute(community.grant())
    resumed = Queries(community.genesis, community.chain, community.mempool)
    resumed.record_executed(header, DictSnapshot(community.state, community.buckets), community.tree)
    with pytest.raises(NotCertifiedYetError), resumed.open():
        pass
    resumed.record_certificate(community.certify(header))
    with resumed.open() as pinned:
        assert pinned.height == 1


def test_a_certificate_that_comes_before_its_block_counts_when_the_block_is_executed() -> None:
    community = Community()
    late = Queries(community.genesis, community.chain, community.mempool)
    header = community.execute(community.grant())
    late.record_certificate(community.certify(header))
    assert late.certified_header is None
    late.record_executed(header, DictSnapshot(community.state, community.buckets), community.tree)
    assert late.certified_header == header


def test_a_reader_keeps_its_height_while_the_chain_goes_on_and_then_lets_go() -> None:
    community = Community()
    community.commit(community.grant(100))
    snapshot = community.snapshots[1]
    with community.queries.open() as pinned:
        community.commit(community.grant(50))
        assert snapshot.closed == 0
        view = community.queries.get_account(pinned, "utility")
        assert view is not None
        assert view.coins.amount == 100
    assert community.snapshots[1].closed == 1


def test_every_snapshot_is_closed_exactly_once() -> None:
    community = Community()
    for number in range(6):
        community.execute(community.grant())
        if number % 2:
            community.certify()
    community.execute(community.grant())
    community.queries.close()
    assert [snapshot.closed for snapshot in community.snapshots] == [1] * 8


def test_uncertified_states_are_bounded() -> None:
    community = Community()
    pinned = PinnedStates()
    snapshots = []
    for _ in range(UNCERTIFIED_MAX + 5):
        header = community.execute()
        snapshots.append(DictSnapshot({}, {}))
        pinned.record_executed(header, snapshots[-1], community.tree)
    assert sum(1 for snapshot in snapshots if not snapshot.closed) == UNCERTIFIED_MAX
    assert pinned.record_certificate(community.certify())
    assert sum(1 for snapshot in snapshots if not snapshot.closed) == 1


def test_an_older_certificate_changes_nothing() -> None:
    community = Community()
    first = community.execute(community.grant())
    community.commit(community.grant())
    community.certify(first)
    assert community.queries.certified_height == 2


def test_a_receipt_is_proven_under_its_own_certificate() -> None:
    community = Community()
    transactions = [community.grant(amount) for amount in range(1, 8)]
    community.commit(*transactions)
    for index, sealed in enumerate(transactions):
        committed = community.queries.find_transaction(sealed.id)
        assert committed is not None
        assert (committed.height, committed.index, committed.certified) == (1, index, True)
        proven = community.queries.prove_receipt(committed)
        assert proven is not None
        assert proven.proof.receipt.transaction_id == sealed.id
        assert is_receipt_included(proven.proof)
        assert proven.proof.headers[-1] == proven.certificate.header
        assert check_certificate(community.membership, community.genesis_hash, proven.certificate) is None


def test_a_block_without_certificate_is_proven_by_links_to_the_next_one_that_has_one() -> None:
    community = Community()
    sealed = community.grant()
    community.execute(sealed)
    for _ in range(3):
        community.execute()
    before = community.queries.find_transaction(sealed.id)
    assert before is not None
    assert not before.certified
    community.certify()
    committed = community.queries.find_transaction(sealed.id)
    assert committed is not None
    proven = community.queries.prove_receipt(committed)
    assert proven is not None
    assert [header.height for header in proven.proof.headers] == [1, 2, 3, 4]
    assert is_receipt_included(proven.proof)


def test_links_are_bounded() -> None:
    community = Community()
    sealed = community.grant()
    community.execute(sealed)
    for _ in range(LINKS_MAX):
        community.execute()
    community.certify()
    committed = community.queries.find_transaction(sealed.id)
    assert committed is not None
    assert committed.certified
    assert community.queries.prove_receipt(committed) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 33])
def test_a_ladder_gives_the_proofs_that_the_tree_gives(count: int) -> None:
    leaves = [b"leaf %d" % number for number in range(count)]
    ladder = MerkleLadder(leaves)
    for index in range(count):
        assert ladder.prove(index) == compute_merkle_proof(leaves, index)


def test_a_bill_line_is_proven_under_the_certified_state_root() -> None:
    community = build_settled_community()
    with community.queries.open() as pinned:
        line = community.queries.get_line(pinned.state, make_meter_account(0), START_S)
        assert line is not None
        assert (line.line.export_wh, line.line.pool_sold_wh) == (2_000, 2_000)
        proof = pinned.prove(line.key)
        root = Digest(pinned.header.state_root)
        assert is_state_proof_valid(line.key, encode(line.line), proof, root)
        assert not is_state_proof_valid(line.key, encode(line.line) + b"x", proof, root)


def test_meters_are_found_by_id_and_name_and_listed_in_pages() -> None:
    community = build_settled_community(homes=5)
    with community.queries.open() as pinned:
        state = pinned.state
        by_name = community.queries.find_meter(state, "home-3")
        by_id = community.queries.find_meter(state, make_meter_account(3).hex())
        assert by_name == by_id
        assert by_name is not None
        assert community.queries.find_meter(state, "utility") is None
        assert community.queries.find_meter(state, "nobody") is None
        first = community.queries.list_meters(state, b"", 3)
        rest = community.queries.list_meters(state, first[-1].account, 3)
        assert [view.account for view in first + rest] == sorted(make_meter_account(i) for i in range(5))


def test_the_grid_and_the_issuance_have_balances_and_no_key() -> None:
    community = Community()
    community.commit(community.grant(100))
    with community.queries.open() as pinned:
        issuance = community.queries.get_account(pinned, "issuance")
        assert issuance is not None
        assert (issuance.record, issuance.coins.amount) == (None, -100)
        assert community.queries.get_account(pinned, "grid") is not None


def test_the_nonce_hint_counts_what_is_executed_and_what_waits() -> None:
    community = Community()

    def get_hint() -> int:
        with community.queries.open() as pinned:
            view = community.queries.get_account(pinned, "utility")
            assert view is not None
            return view.nonce_hint

    assert get_hint() == 1
    community.execute(community.grant())
    assert get_hint() == 2  # executed, not yet certified
    community.mempool.add(community.grant(), MonotonicMs(0), lambda _: None)
    assert get_hint() == 3


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (START_S + 1, START_S + SLOT_S, "no slot begins"),
        (START_S, START_S + 1, "no slot begins"),
        (START_S + SLOT_S, START_S, "is before first"),
        (START_S, START_S + 100 * SLOT_S, "at most 100"),
    ],
)
def test_a_period_that_is_none_is_refused_with_what_to_ask(first: int, last: int, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        Community().queries.list_slots(first, last, 100)


def test_a_waiter_wakes_at_the_next_certified_height_and_not_before() -> None:
    async def scenario() -> None:
        signal = HeightSignal(Height(3))
        assert await signal.wait_beyond(Height(2), 10)
        assert not await signal.wait_beyond(Height(3), 0.01)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(signal.wait_beyond(Height(3), 10))
            await asyncio.sleep(0)  # it starts, and waits
            assert signal.waiters == 1
            signal.advance(Height(3))
            assert not waiting.done()
            signal.advance(Height(4))
        assert waiting.result()
        assert signal.waiters == 0

    asyncio.run(scenario())


def test_only_so_many_may_wait_and_a_cancelled_waiter_leaves_its_place() -> None:
    async def scenario() -> None:
        signal = HeightSignal(Height(0), waiters_max=1)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(signal.wait_beyond(Height(0), 10))
            await asyncio.sleep(0)  # it starts, and waits
            assert signal.waiters == 1
            with pytest.raises(TooManyWaitersError):
                await signal.wait_beyond(Height(0), 10)
            waiting.cancel()
        assert signal.waiters == 0

    asyncio.run(scenario())
