"""A start takes a chain only whole, linked and of its own journal; the long check names the first wrong thing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.effects import JournalRecord, KnownCertificate, OwnMessage, SignedHeader
from consensus.messages import ViewChange
from node.home import Constitution, Storage, fill_storage, load_constitution, open_storage
from node.storage import keys
from node.storage.integrity import check_everything, compare_with_journal, open_tree
from node.storage.journal import JournalCorrupt, open_journal
from node.storage.memory import MemoryStore
from node.storage.store import StoreCorrupt
from primitives.ids import Digest, Height
from tests.consensus.builders import certificate, header_chain, say
from tests.node.storage.homes import BLOCKS, Content, build_home
from tests.node.storage.simulated_files import SimulatedFiles

JOURNAL = Path("data/journal")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("home") / "node").path


@pytest.fixture(scope="module")
def constitution(home: Path) -> Constitution:
    return load_constitution(home)


@pytest.fixture(scope="module")
def content(home: Path, constitution: Constitution) -> Content:
    with open_storage(home, constitution) as storage:
        return dict(storage.chain._store.iterate(b""))


@pytest.fixture
def storage(home: Path, constitution: Constitution, content: Content) -> Iterator[Storage]:
    """The sample's journal beside a copy of its chain in memory, for the test to spoil."""
    files = SimulatedFiles()
    files.put(JOURNAL, (home / JOURNAL).read_bytes())
    store = MemoryStore()
    store.write(dict(content), sync=True)
    with open_journal(JOURNAL, constitution.genesis_hash, files) as journal:
        yield fill_storage(journal, store, constitution)


def spoil(storage: Storage, key: bytes, value: bytes | None) -> None:
    storage.chain._store.write({key: value}, sync=True)


def at(prefix: bytes, height: int) -> bytes:
    return keys.build_number_key(prefix, height)


def test_a_whole_chain_opens_and_passes_the_long_check(storage: Storage) -> None:
    assert storage.tree.root == storage.chain.get_latest_header().state_root
    assert storage.signed_height == storage.chain.get_height() == BLOCKS
    assert len(storage.records) == BLOCKS
    check_everything(storage.chain)


@pytest.mark.parametrize("missing", range(BLOCKS))
def test_a_missing_block_below_the_last_is_refused_by_its_height(storage: Storage, missing: int) -> None:
    spoil(storage, at(keys.HEADER, missing), None)
    for check in (open_tree, check_everything):
        with pytest.raises(StoreCorrupt, match=f"block {missing} is missing"):
            check(storage.chain)


def test_a_missing_last_block_is_refused(storage: Storage) -> None:
    spoil(storage, at(keys.HEADER, BLOCKS), None)
    with pytest.raises(StoreCorrupt, match="no header of its last block"):
        open_tree(storage.chain)


def test_a_block_of_another_parent_is_refused(storage: Storage, content: Content) -> None:
    spoil(storage, at(keys.HEADER, 2), content[at(keys.HEADER, 3)])
    with pytest.raises(StoreCorrupt, match="block 3 does not follow"):
        open_tree(storage.chain)
    with pytest.raises(StoreCorrupt, match="block 2 does not follow"):
        check_everything(storage.chain)


@pytest.mark.parametrize(
    ("prefix", "what"), [(keys.BATCH, "transactions"), (keys.RECEIPTS, "receipts")], ids=["batch", "receipts"]
)
@pytest.mark.parametrize("height", [2, BLOCKS])
def test_a_block_with_anothers_content_is_refused_by_its_height(
    storage: Storage, content: Content, prefix: bytes, what: str, height: int
) -> None:
    for wrong in (content[at(prefix, 1)], None):
        spoil(storage, at(prefix, height), wrong)
        with pytest.raises(StoreCorrupt, match=f"block {height} has not the {what}"):
            check_everything(storage.chain)
        if height == BLOCKS:
            with pytest.raises(StoreCorrupt, match=f"block {height} has not the {what}"):
                open_tree(storage.chain)


def test_a_transaction_that_the_index_forgot_is_named(storage: Storage) -> None:
    (receipt,) = storage.chain.get_receipts(Height(2))
    spoil(storage, keys.build_index_key(receipt.transaction_id), None)
    with pytest.raises(StoreCorrupt, match=f"transaction {receipt.transaction_id.hex()} of block 2"):
        check_everything(storage.chain)


def test_a_certificate_of_another_block_is_refused(storage: Storage, content: Content) -> None:
    spoil(storage, at(keys.CERTIFICATE, 3), content[at(keys.CERTIFICATE, 2)])
    with pytest.raises(StoreCorrupt, match="the certificate of height 3"):
        check_everything(storage.chain)
    spoil(storage, at(keys.CERTIFICATE, BLOCKS), content[at(keys.CERTIFICATE, 2)])
    spoil(storage, at(keys.HEADER, 2), content[at(keys.HEADER, 1)])
    with pytest.raises(StoreCorrupt):
        open_tree(storage.chain)


def test_a_newest_certificate_above_the_chain_is_refused(storage: Storage) -> None:
    above = certificate(header_chain(BLOCKS + 1)[-1])
    storage.chain.put_certificate(above)
    with pytest.raises(StoreCorrupt, match=f"of height {BLOCKS + 1}, is of no stored block"):
        open_tree(storage.chain)


def test_every_state_value_is_held_to_its_leaf(storage: Storage, content: Content) -> None:
    state_keys = [key for key in content if key.startswith(keys.STATE)]
    assert len(state_keys) > 10
    for key in state_keys:
        spoil(storage, key, content[key] + b"x")
        with pytest.raises(StoreCorrupt, match=f"state key {key[1:].hex()} has not the value"):
            check_everything(storage.chain)
        spoil(storage, key, None)
        with pytest.raises(StoreCorrupt, match="its buckets name"):
            check_everything(storage.chain)
        spoil(storage, key, content[key])
    check_everything(storage.chain)


def test_a_value_that_no_leaf_names_is_refused(storage: Storage) -> None:
    spoil(storage, keys.STATE + b"stranger", b"1")
    with pytest.raises(StoreCorrupt, match="has not the value"):
        check_everything(storage.chain)


def test_a_bucket_of_another_state_is_refused_at_the_start(storage: Storage, content: Content) -> None:
    bucket = next(key for key in content if key.startswith(keys.LEAF))
    spoil(storage, bucket, None)
    with pytest.raises(StoreCorrupt, match="its state is not the one"):
        open_tree(storage.chain)


def test_a_chain_that_lost_blocks_is_told_by_what_the_journal_signed(storage: Storage) -> None:
    longer = [*storage.records, SignedHeader(BLOCKS + 2, bytes(32)), SignedHeader(BLOCKS + 1, bytes(32))]
    assert compare_with_journal(storage.chain, longer) == BLOCKS + 2


def test_a_certificate_that_others_quoted_says_nothing_of_the_own_chain(storage: Storage) -> None:
    ahead = certificate(header_chain(BLOCKS + 3)[-1])
    assert compare_with_journal(storage.chain, [KnownCertificate(ahead)]) == BLOCKS


def contradicting_records() -> list[JournalRecord]:
    other = certificate(header_chain(3)[-1])
    view_change = say(0, ViewChange(0, 1, other, ()))
    return [SignedHeader(2, bytes(32)), KnownCertificate(other), OwnMessage(view_change)]


@pytest.mark.parametrize("record", contradicting_records(), ids=lambda record: type(record).__name__)
def test_a_chain_of_another_history_than_the_journals_is_refused(
    storage: Storage, record: JournalRecord
) -> None:
    with pytest.raises(StoreCorrupt, match=r"not the chain of data/journal: its block [23] is"):
        compare_with_journal(storage.chain, [*storage.records, record])


def open_with(content: Content, journal: bytes, constitution: Constitution) -> Storage:
    files, store = SimulatedFiles(), MemoryStore()
    files.put(JOURNAL, journal)
    store.write(dict(content), sync=True)
    with open_journal(JOURNAL, constitution.genesis_hash, files) as opened:
        return fill_storage(opened, store, constitution)


def test_a_journal_older_than_the_chain_is_refused(
    tmp_path: Path, home: Path, constitution: Constitution, content: Content
) -> None:
    older = build_home(tmp_path / "older", blocks=2).path
    journals = [(path / JOURNAL).read_bytes() for path in (older, home)]
    with pytest.raises(
        JournalCorrupt, match="older than data/leveldb: file 1 with 2 records, where file 1 had 4"
    ):
        open_with(content, journals[0], constitution)
    assert open_with(content, journals[1], constitution).signed_height == BLOCKS


def test_a_rewritten_journal_is_not_taken_for_an_older_one(
    home: Path, constitution: Constitution, content: Content
) -> None:
    files = SimulatedFiles()
    files.put(JOURNAL, (home / JOURNAL).read_bytes())
    with open_journal(JOURNAL, constitution.genesis_hash, files) as journal:
        journal.rewrite([(journal.records[-1], True)])
    opened = open_with(content, files.get(JOURNAL), constitution)
    assert opened.records == (SignedHeader(BLOCKS, bytes(opened.chain.get_latest_header().compute_digest())),)


def test_a_record_of_another_version_is_refused_by_name(constitution: Constitution) -> None:
    files = SimulatedFiles()
    with open_journal(JOURNAL, constitution.genesis_hash, files) as journal:
        journal.append(b"a later version's", twice=True)
        journal.sync()
    with pytest.raises(JournalCorrupt, match="not one of this version"):
        open_with({}, files.get(JOURNAL), constitution)


def test_an_empty_store_beside_a_journal_begins_at_genesis_and_knows_what_it_lost(
    home: Path, constitution: Constitution
) -> None:
    opened = open_with({}, (home / JOURNAL).read_bytes(), constitution)
    assert (opened.chain.get_height(), opened.signed_height) == (0, BLOCKS)
    assert opened.records[0] != SignedHeader(1, Digest(bytes(32)))
