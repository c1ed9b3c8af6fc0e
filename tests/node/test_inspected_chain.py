"""What a stopped home holds, decoded: blocks, transactions and state; each read is bounded, and named when missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import HomeError
from node.home import load_constitution, open_storage
from node.home_lock import hold_home
from node.inspected_chain import NotStoredError, StoredChain
from node.inspection import open_stored_chain
from node.state_records import StateEntry
from node.storage import keys
from node.storage.leveldb import open_leveldb
from primitives.ids import Height
from tests.node.storage.homes import BLOCKS, build_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("inspected") / "node0", reopened_after=(2,)).path


@pytest.fixture
def chain(home: Path) -> Iterator[StoredChain]:
    constitution = load_constitution(home)
    with open_stored_chain(home, constitution) as stored:
        yield StoredChain(stored, constitution.genesis)


def test_a_block_is_told_with_its_signers_and_what_is_in_it(chain: StoredChain) -> None:
    block = chain.find_block(1, 0, 10)
    assert block.problem is None
    assert block.transactions == len(block.page) == 2
    assert {each.call for each in block.page} == {"energy.register_meter"}
    assert all(each.rejection is None and each.account_name == "utility" for each in block.page)
    assert len(block.signers) == block.quorum == 3
    assert isinstance(block.page[0].arguments, dict)
    assert block.page[0].arguments["opening_import_wh"] >= 0
    assert chain.find_block(None, 0, 10) == chain.find_block(BLOCKS, 0, 10)


def test_a_page_of_a_block_is_bounded_and_the_pages_are_the_block(chain: StoredChain) -> None:
    whole = chain.find_block(1, 0, 10).page
    assert chain.find_block(1, 0, 1).page + chain.find_block(1, 1, 1).page == whole
    assert chain.find_block(1, 2, 10).page == ()


def test_genesis_has_no_transactions_and_no_problem(chain: StoredChain) -> None:
    block = chain.find_block(0, 0, 10)
    assert (block.transactions, block.signers, block.problem) == (0, (), None)


def test_every_transaction_of_every_block_is_found_by_its_id(chain: StoredChain) -> None:
    found = 0
    for height in range(1, BLOCKS + 1):
        for each in chain.find_block(height, 0, 100).page:
            assert chain.find_transaction(bytes.fromhex(each.id)) == each
            found += 1
    assert found == 5


def test_what_is_not_there_is_named(chain: StoredChain) -> None:
    with pytest.raises(NotStoredError, match=f"block 99 is not here: the last one is {BLOCKS}"):
        chain.find_block(99, 0, 10)
    with pytest.raises(NotStoredError, match="no block of this chain holds 0000"):
        chain.find_transaction(bytes(32))
    for text in ("nobody", "00" * 16, "zz"):
        with pytest.raises(NotStoredError, match="no account has the name or id"):
            chain.find_account(text)
    with pytest.raises(NotStoredError, match="the state has no key 7061"):
        chain.get_pair(b"pa")


def test_an_account_is_found_by_name_and_by_id_with_what_it_owns(chain: StoredChain) -> None:
    found = chain.find_account("utility")
    assert chain.find_account(found.account) == found
    assert isinstance(found.record, dict)
    assert found.record["role"] == "utility"
    assert found.coins == 5


def test_the_pages_of_the_state_are_the_state_in_its_order(chain: StoredChain) -> None:
    pages: list[StateEntry] = []
    start = b""
    while True:
        page = chain.read_state(b"", start, 3)
        assert len(page.entries) <= 3
        pages += page.entries
        if page.following is None:
            break
        start = bytes.fromhex(page.following)
    assert [each.key for each in pages] == sorted(each.key for each in pages)
    assert len(pages) == sum(count for _, _, count, _ in chain.summarize().prefixes)
    assert not [each for each in pages if each.kind.startswith("un")]
    meters = chain.read_state(b"em", b"", 10)
    assert {each.kind for each in meters.entries} == {"Meter"}
    assert len(meters.entries) == 2
    assert meters.entries == tuple(each for each in pages if each.prefix == "em")


def test_bytes_that_are_no_record_are_shown_and_named(home: Path, tmp_path: Path) -> None:
    copy = build_home(tmp_path / "spoiled", blocks=1).path
    constitution = load_constitution(copy)
    with open_leveldb(copy / "data/leveldb") as store:
        store.write({keys.STATE + b"em" + bytes(16): b"\xc1", keys.STATE + b"??": b"new"}, sync=True)
    with open_stored_chain(copy, constitution) as stored:
        found = StoredChain(stored, constitution.genesis)
        assert found.get_pair(b"em" + bytes(16)).kind == "unreadable Meter"
        assert found.get_pair(b"em" + bytes(16)).value == "c1"
        assert found.get_pair(b"??").kind == "unknown"


def test_a_block_whose_parts_do_not_fit_is_shown_with_its_problem(tmp_path: Path) -> None:
    home = build_home(tmp_path / "spoiled", blocks=2).path
    constitution = load_constitution(home)
    with open_leveldb(home / "data/leveldb") as store:
        other = store.get(keys.build_number_key(keys.BATCH, 2))
        store.write(
            {
                keys.build_number_key(keys.BATCH, 1): other,
                keys.build_number_key(keys.BATCH, 2): None,
            },
            sync=True,
        )
    with open_stored_chain(home, constitution) as stored:
        chain = StoredChain(stored, constitution.genesis)
        assert chain.find_block(1, 0, 10).problem == "its transactions are not those that its header names"
        assert chain.find_block(2, 0, 10).problem == "its transactions are missing"
        receipt = stored.get_receipts(Height(2))[0]
    with (
        pytest.raises(HomeError, match="the index names block 2, place 0, and nothing stands there"),
        open_stored_chain(home, constitution) as stored,
    ):
        StoredChain(stored, constitution.genesis).find_transaction(receipt.transaction_id)


def test_the_chain_is_read_where_the_journal_is_gone_or_damaged(tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0", blocks=1).path
    constitution = load_constitution(home)
    (home / "data/journal").write_bytes(b"not a journal")
    with open_stored_chain(home, constitution) as stored:
        assert stored.get_height() == 1
    (home / "data/journal").unlink()
    with open_stored_chain(home, constitution) as stored:
        assert stored.get_height() == 1


def test_reading_changes_nothing(home: Path) -> None:
    files = {path: path.read_bytes() for path in (home / "data").rglob("*") if path.is_file()}
    constitution = load_constitution(home)
    with open_stored_chain(home, constitution) as stored:
        StoredChain(stored, constitution.genesis).summarize()
    assert {path: path.read_bytes() for path in (home / "data").rglob("*") if path.is_file()} == files


def test_a_running_home_an_empty_one_and_one_of_another_network_are_refused(
    home: Path, tmp_path: Path
) -> None:
    constitution = load_constitution(home)
    with open_storage(home, constitution), pytest.raises(HomeError, match="the validator runs; stop it"):
        open_stored_chain(home, constitution).__enter__()
    with pytest.raises(HomeError, match="there is no chain yet"):
        open_stored_chain(tmp_path, constitution).__enter__()


def test_a_lock_on_a_disk_that_turned_read_only_is_still_a_lock(home: Path) -> None:
    with hold_home(home / "data"), pytest.raises(HomeError, match="runs"), hold_home(home / "data"):
        pass
