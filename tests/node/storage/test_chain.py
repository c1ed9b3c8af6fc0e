"""The chain in either store: what a block changes, changes at once; what is absent is said plainly."""

from collections.abc import Mapping

import pytest
from msgspec import structs

from consensus.messages import Certificate, Handover, Signature
from node.receipts import Receipts
from node.storage import chain as chain_module
from node.storage import keys
from node.storage.chain import EVIDENCE_BYTES_MAX, EVIDENCE_MAX, ChainStore
from node.storage.memory import MemoryStore
from node.storage.store import Store, StoreCorrupt, StoreFailed
from primitives.header import Block, Validator
from primitives.ids import Digest, Epoch, Height
from tests.node.storage.chains import (
    GENESIS,
    GENESIS_HEADER,
    LEAF_NAME,
    NOTHING,
    build_block,
    build_receipts,
    commit,
    init,
)
from vm.receipt import Receipt
from vm.state_root import TreeWrites


def certify(height: int) -> Certificate:
    return Certificate(build_block(height).header, (Signature(b"r" * 32, b"s" * 64),))


def commit_one(chain: ChainStore, transaction: bytes, *, consumed: bool) -> Block:
    block = build_block(chain.get_height() + 1, (b"other", transaction))
    receipts = (
        Receipt(block.batch.header.transaction_ids[0], None, True),
        Receipt(block.batch.header.transaction_ids[1], None, consumed),
    )
    chain.commit_block(block, receipts, {}, NOTHING)
    return block


def test_an_empty_store_has_no_genesis_and_nothing_else(store: Store) -> None:
    chain = ChainStore(store)
    assert chain.get_genesis() is None
    assert chain.get_height() == 0
    assert chain.get_header(Height(0)) is None
    assert chain.get_latest_certificate() is None
    with pytest.raises(StoreCorrupt):
        chain.get_latest_header()


def test_the_genesis_is_height_0_with_its_state(chain: ChainStore) -> None:
    assert chain.get_genesis() == GENESIS
    assert chain.get_height() == 0
    assert chain.get_header(Height(0)) == chain.get_latest_header() == GENESIS_HEADER
    assert chain.get_block(Height(0)) is None
    assert chain.get_receipts(Height(0)) == ()
    assert chain.get(b"height") == b"0"
    assert list(chain.iterate_buckets()) == [(0, b"bucket 0")]


def test_a_second_genesis_is_refused(chain: ChainStore) -> None:
    with pytest.raises(ValueError, match="genesis already"):
        init(chain)


def test_a_store_of_another_layout_is_refused_by_name(store: Store, chain: ChainStore) -> None:
    store.write({keys.FORMAT: b"\x63"}, sync=True)
    with pytest.raises(StoreFailed, match="layout 63"):
        chain.get_genesis()


def test_a_committed_block_is_read_back_exactly(chain: ChainStore) -> None:
    for height in range(1, 4):
        commit(chain, height)
    for height in range(1, 4):
        block = build_block(height)
        assert chain.get_header(Height(height)) == block.header
        assert chain.get_block(Height(height)) == block
        assert chain.get_receipts(Height(height)) == build_receipts(block)
        assert chain.find_transaction(block.batch.header.transaction_ids[7]) == (height, 7)
    assert chain.get_height() == 3
    assert chain.get_latest_header() == build_block(3).header
    assert (chain.get_header(Height(4)), chain.get_block(Height(4))) == (None, None)
    assert chain.get_receipts(Height(4)) == ()
    assert chain.find_transaction(bytes(32)) is None


def test_a_commit_writes_deletes_and_iterates_state_under_its_own_prefix(chain: ChainStore) -> None:
    commit(chain, 1)
    commit(chain, 2)
    assert list(chain.iterate(b"")) == [(b"height", b"2"), (b"only 2", b"x")]
    assert chain.get(b"only 1") is None
    assert chain.get_bucket(0) == b"bucket 2"
    assert chain.get_bucket(65_535) == b""


def test_a_bucket_that_lost_its_last_leaf_reads_as_one_never_written(chain: ChainStore) -> None:
    commit(chain, 1)
    block = build_block(2)
    chain.commit_block(block, build_receipts(block), {}, TreeWrites({0: b""}, {LEAF_NAME: None}))
    assert chain.get_bucket(0) == b""
    assert list(chain.iterate_buckets()) == []


def test_a_bucket_is_written_leaf_by_leaf_and_read_whole_and_in_the_order_of_leaves(
    store: Store, chain: ChainStore
) -> None:
    first, second, third = (Digest(bytes([number]) * 32) for number in (1, 2, 3))
    seven, nine = bytes([0, 7]), bytes([0, 9])
    steps: tuple[tuple[dict[bytes, Digest | None], bytes], ...] = (
        ({seven + b"a": third, seven + b"b": first, nine: third}, first + third),
        ({seven + b"c": second}, first + second + third),
        ({seven + b"b": None}, second + third),
        ({seven + b"c": first}, first + third),
    )
    for height, (leaves, content) in enumerate(steps, 1):
        block = build_block(height)
        writes = TreeWrites({7: content, 9: third}, leaves)
        chain.commit_block(block, build_receipts(block), {}, writes)
        assert chain.get_bucket(7) == ChainStore(store).get_bucket(7) == content
        assert list(chain.iterate_buckets(first=7)) == [(7, content), (9, third)]
    names = [key for key, _ in store.iterate(keys.build_bucket_key(keys.LEAF, 7))]
    assert names == [keys.LEAF + seven + name for name in (b"a", b"c")]


@pytest.mark.parametrize("height", [0, 1, 3])
def test_only_the_next_block_is_taken(chain: ChainStore, height: int) -> None:
    commit(chain, 1)
    with pytest.raises(ValueError, match="does not follow"):
        commit(chain, height)
    assert chain.get_height() == 1


def test_receipts_of_other_transactions_are_refused(chain: ChainStore) -> None:
    block = build_block(1)
    for receipts in ((), build_receipts(block)[:-1], build_receipts(build_block(2))):
        with pytest.raises(ValueError, match="receipts"):
            chain.commit_block(block, receipts, {}, NOTHING)
    assert chain.get_height() == 0


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(True, True, 1), (True, False, 1), (False, False, 1), (False, True, 2)],
)
def test_the_index_keeps_the_first_occurrence_unless_only_the_second_consumed(
    chain: ChainStore, first: bool, second: bool, kept: int
) -> None:
    block = commit_one(chain, b"twice", consumed=first)
    commit_one(chain, b"twice", consumed=second)
    assert chain.find_transaction(block.batch.header.transaction_ids[1]) == (kept, 1)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(True, True, 0), (True, False, 0), (False, False, 0), (False, True, 1)],
)
def test_the_same_rule_holds_inside_one_block(
    chain: ChainStore, first: bool, second: bool, kept: int
) -> None:
    block = build_block(1, (b"twice", b"twice"))
    name = block.batch.header.transaction_ids[0]
    chain.commit_block(block, (Receipt(name, None, first), Receipt(name, None, second)), {}, NOTHING)
    assert chain.find_transaction(name) == (1, kept)


def test_a_snapshot_pins_the_state_of_its_height(chain: ChainStore) -> None:
    commit(chain, 1)
    snapshot = chain.snapshot()
    commit(chain, 2)
    assert snapshot.get(b"height") == b"1"
    assert list(snapshot.iterate(b"only")) == [(b"only 1", b"x")]
    assert snapshot.get_bucket(0) == b"bucket 1"
    assert list(snapshot.iterate_buckets()) == [(0, b"bucket 1")]
    assert chain.get(b"height") == b"2"
    snapshot.close()
    with pytest.raises(StoreFailed):
        snapshot.get(b"height")


def test_certificates_are_found_by_height_and_the_highest_is_the_latest(chain: ChainStore) -> None:
    for height in (1, 3, 2):
        chain.put_certificate(certify(height))
    assert chain.get_certificate(Height(2)) == certify(2)
    assert chain.get_certificate(Height(4)) is None
    assert chain.get_latest_certificate() == certify(3)


def test_of_evidence_the_newest_are_kept(chain: ChainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVIDENCE_MAX == 1000
    monkeypatch.setattr(chain_module, "EVIDENCE_MAX", 5)
    for number in range(12):
        assert chain.put_evidence(b"%d" % number)
    assert list(chain.iterate_evidence()) == [b"7", b"8", b"9", b"10", b"11"]


def test_evidence_without_measure_is_not_kept(chain: ChainStore) -> None:
    assert not chain.put_evidence(bytes(EVIDENCE_BYTES_MAX + 1))
    assert list(chain.iterate_evidence()) == []


def test_an_unreadable_record_is_named_as_damage(store: Store, chain: ChainStore) -> None:
    commit(chain, 1)
    for prefix, read in (
        (keys.HEADER, chain.get_header),
        (keys.RECEIPTS, chain.get_receipts),
        (keys.BATCH, chain.get_block),
    ):
        key = keys.build_number_key(prefix, 1)
        good = store.get(key)
        store.write({key: b"\xff"}, sync=True)
        with pytest.raises(StoreCorrupt, match="height 1"):
            read(Height(1))
        store.write({key: good}, sync=True)
        assert read(Height(1))


class CountingStore(MemoryStore):
    """Counts writes by whether they are synced."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[bool] = []

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        self.synced.append(sync)
        super().write(puts, sync=sync)


def test_a_block_is_one_synced_write_and_certificates_and_evidence_are_not_synced() -> None:
    store = CountingStore()
    chain = ChainStore(store)
    init(chain)
    commit(chain, 1)
    assert store.synced == [True, True]
    chain.put_certificate(certify(1))
    chain.put_evidence(b"x")
    assert store.synced == [True, True, False, False]


def test_handovers_are_read_in_order_up_to_the_first_that_is_missing(chain: ChainStore) -> None:
    assert list(chain.iterate_handovers(Epoch(0))) == []
    handovers = [build_handover(epoch, height=10 * (epoch + 1)) for epoch in range(4)]
    for handover in (handovers[0], handovers[3], handovers[1]):
        chain.put_handover(handover)
    assert list(chain.iterate_handovers(Epoch(0))) == handovers[:2]
    assert list(chain.iterate_handovers(Epoch(1))) == handovers[1:2]
    assert chain.get_handover(Epoch(3)) == handovers[3]
    assert chain.get_handover(Epoch(2)) is None
    chain.put_handover(handovers[2])
    assert list(chain.iterate_handovers(Epoch(0))) == handovers


def test_a_handover_brings_the_certificate_of_its_last_block(chain: ChainStore) -> None:
    handover = build_handover(0, height=3)
    chain.put_handover(handover)
    assert chain.get_certificate(Height(3)) == handover.certificate


def build_handover(epoch: int, height: int) -> Handover:
    certificate = certify(height)
    header = structs.replace(certificate.header, epoch=epoch)
    return Handover(structs.replace(certificate, header=header), (Validator("node4", b"k" * 32, b"c"),))


def test_ids_that_begin_alike_are_never_taken_for_each_other(
    chain: ChainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "INDEXED_BYTES", 1)
    block = build_block(1, tuple(b"%d" % number for number in range(600)))
    chain.commit_block(block, build_receipts(block), {}, NOTHING)
    receipts = Receipts(chain)
    found = {name: receipts.find(Digest(name), Height(1)) for name in block.batch.header.transaction_ids}
    shown = {name: each for name, each in found.items() if each is not None}
    assert 200 < len(shown) <= 256
    assert all(each.receipt.transaction_id == name for name, each in shown.items())
