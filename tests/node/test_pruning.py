"""Old blocks go, a bounded number at a time; what proves the present stays, and the disk becomes smaller."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consensus.catch_up import SNAPSHOT_BEYOND
from consensus.messages import Certificate, Signature
from node.config import KEEP_BLOCKS_MIN
from node.exchange import PrunedAnswer, RequestKind, decode_blocks, encode_height
from node.pruning import COMPACT_BLOCKS, STEP_BLOCKS_MAX, STEP_TRANSACTIONS_MAX, Pruner
from node.snapshots.server import RENEW_BLOCKS
from node.storage.chain import ChainStore
from node.storage.integrity import check_everything, open_tree
from node.storage.leveldb import open_leveldb
from node.storage.memory import MemoryStore
from primitives.ids import Epoch, Height
from tests.node.snapshots.source import Source
from tests.node.storage.chains import NOTHING, build_block, build_receipts, init
from vm.receipt import Receipt


def certify(chain: ChainStore, height: int) -> None:
    header = chain.get_header(Height(height))
    assert header is not None
    chain.put_certificate(Certificate(header, (Signature(b"r" * 32, b"s" * 64),)))


def commit(chain: ChainStore, height: int, transactions: tuple[bytes, ...]) -> None:
    block = build_block(height, transactions)
    chain.commit_block(block, build_receipts(block), {}, NOTHING)
    certify(chain, height)


@pytest.fixture
def chain() -> ChainStore:
    chain = ChainStore(MemoryStore())
    init(chain)
    return chain


def grow(chain: ChainStore, blocks: int, transactions: int = 1) -> None:
    first = chain.get_height() + 1
    for height in range(first, first + blocks):
        commit(chain, height, tuple(b"%d/%d" % (height, index) for index in range(transactions)))


def test_without_a_bound_every_block_is_kept(chain: ChainStore) -> None:
    grow(chain, 10)
    assert Pruner(chain, 0).step(Height(10)) == 0
    assert chain.get_pruned_height() == 0
    assert chain.get_block(Height(1)) is not None


def test_blocks_beyond_the_bound_go_with_all_that_is_theirs(chain: ChainStore) -> None:
    grow(chain, 10)
    names = {
        height: build_block(height, (b"%d/0" % height,)).batch.header.transaction_ids[0]
        for height in range(1, 11)
    }
    assert Pruner(chain, 4).step(Height(10)) == 6
    assert chain.get_pruned_height() == 6
    for height in range(1, 7):
        assert chain.get_header(Height(height)) is None
        assert chain.get_block(Height(height)) is None
        assert chain.get_receipts(Height(height)) == ()
        assert chain.get_certificate(Height(height)) is None
        assert chain.find_transaction(names[height]) is None
    for height in range(7, 11):
        assert chain.get_block(Height(height)) is not None
        assert chain.get_certificate(Height(height)) is not None
        assert chain.find_transaction(names[height]) == (height, 0)
    assert chain.get_header(Height(0)) is not None
    assert Pruner(chain, 4).step(Height(10)) == 0


def test_a_step_is_bounded_and_the_next_one_goes_on(chain: ChainStore) -> None:
    grow(chain, 100)
    pruner = Pruner(chain, 1)
    assert [pruner.step(Height(100)) for _ in range(3)] == [STEP_BLOCKS_MAX, 99 - STEP_BLOCKS_MAX, 0]


def test_a_step_is_bounded_by_transactions_too(chain: ChainStore) -> None:
    grow(chain, 8, transactions=STEP_TRANSACTIONS_MAX // 2)
    assert Pruner(chain, 1).step(Height(8)) == 2


def test_a_transaction_that_counts_in_a_later_block_is_still_found(chain: ChainStore) -> None:
    first = build_block(1, (b"twice",))
    name = first.batch.header.transaction_ids[0]
    chain.commit_block(first, (Receipt(name, "SUSPENDED", False),), {}, NOTHING)
    certify(chain, 1)
    commit(chain, 2, (b"twice",))
    grow(chain, 3)
    Pruner(chain, 4).step(Height(5))
    assert chain.get_pruned_height() == 1
    assert chain.find_transaction(name) == (2, 0)


def test_only_the_lowest_block_below_the_last_certificate_may_go(chain: ChainStore) -> None:
    grow(chain, 3)
    for height in (2, 0, 5):
        with pytest.raises(ValueError, match="not the lowest one"):
            chain.prune_block(Height(height))
    chain.prune_block(Height(1))
    chain.prune_block(Height(2))
    with pytest.raises(ValueError, match="last certified one"):
        chain.prune_block(Height(3))


def test_a_late_certificate_of_a_pruned_block_is_not_kept(chain: ChainStore) -> None:
    grow(chain, 3)
    certificate = chain.get_certificate(Height(1))
    assert certificate is not None
    Pruner(chain, 1).step(Height(3))
    chain.put_certificate(certificate)
    assert chain.get_certificate(Height(1)) is None


def test_a_pruned_chain_opens_and_is_whole() -> None:
    source = Source()
    for number in range(6):
        source.register(2, f"home-{number}")
    Pruner(source.chain, 2).step(Height(source.height))
    assert source.chain.get_pruned_height() == 4
    assert open_tree(source.chain).root == source.header.state_root
    check_everything(source.chain)


def test_whoever_needs_a_snapshot_is_below_every_one_that_is_held() -> None:
    """Else an old state would be offered to one whose next blocks are gone, and be of no use to it."""
    assert KEEP_BLOCKS_MIN > RENEW_BLOCKS
    assert SNAPSHOT_BEYOND > RENEW_BLOCKS


def test_handovers_stay_when_their_blocks_go() -> None:
    source = Source()
    source.add_validator("v4")
    for number in range(4):
        source.register(1, f"home-{number}")
    Pruner(source.chain, 1).step(Height(source.height))
    handover = source.chain.get_handover(Epoch(0))
    assert handover is not None
    assert source.chain.get_header(Height(handover.certificate.header.height)) is None


def test_a_question_for_a_pruned_block_is_answered_by_name() -> None:
    source = Source()
    for number in range(6):
        source.register(1, f"home-{number}")
    Pruner(source.chain, 2).step(Height(6))
    answer = source.answers.answer(RequestKind.BLOCKS, encode_height(Height(4)))
    assert decode_blocks(answer) == PrunedAnswer(4)
    following = decode_blocks(source.answers.answer(RequestKind.BLOCKS, encode_height(Height(5))))
    assert not isinstance(following, PrunedAnswer)
    assert [block.header.height for block in following.blocks] == [5, 6]


def test_blocks_of_one_answer_are_of_one_epoch() -> None:
    source = Source()
    source.add_validator("v4")
    source.register(1)
    last = source.height - 1
    answer = decode_blocks(source.answers.answer(RequestKind.BLOCKS, encode_height(Height(1))))
    assert not isinstance(answer, PrunedAnswer)
    assert {block.header.epoch for block in answer.blocks} == {0}
    assert answer.certificate.header.height == last
    following = decode_blocks(source.answers.answer(RequestKind.BLOCKS, encode_height(Height(last + 1))))
    assert not isinstance(following, PrunedAnswer)
    assert {block.header.epoch for block in following.blocks} == {1}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, ChainStore]]:
    path = tmp_path / "leveldb"
    with ExitStack() as stack:
        chain = ChainStore(stack.enter_context(open_leveldb(path)))
        init(chain)
        yield path, chain


def test_the_disk_becomes_smaller(disk: tuple[Path, ChainStore]) -> None:
    path, chain = disk
    blocks = 4 * COMPACT_BLOCKS
    for height in range(1, blocks + 1):
        commit(chain, height, tuple(height.to_bytes(8, "big") * 40 + bytes((index,)) for index in range(10)))
    before = sum(file.stat().st_size for file in path.iterdir())
    pruner = Pruner(chain, 64)
    while pruner.step(Height(blocks)):
        pruner.compact_if_due()
    after = sum(file.stat().st_size for file in path.iterdir())
    assert chain.get_pruned_height() == blocks - 64
    assert chain.get_block(Height(blocks)) is not None
    assert after < before / 2


def test_space_is_given_back_after_many_blocks_only(chain: ChainStore) -> None:
    grow(chain, COMPACT_BLOCKS + 10)
    pruner = Pruner(chain, 1)
    while chain.get_pruned_height() < COMPACT_BLOCKS - STEP_BLOCKS_MAX:
        pruner.step(Height(COMPACT_BLOCKS + 10))
        assert not pruner.compact_if_due()
    pruner.step(Height(COMPACT_BLOCKS + 10))
    assert pruner.compact_if_due()
    assert not pruner.compact_if_due()
