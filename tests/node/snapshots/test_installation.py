"""A finished snapshot becomes the store at the next opening, at once or not at all, wherever the power goes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.codec import NONCE_BYTES
from consensus.replica import Replica
from node.errors import HomeError
from node.home import build_replica, load_constitution, open_storage
from node.memberships import read_memberships
from node.pruning import Pruner
from node.snapshots.installation import (
    CURRENT_NAME,
    FETCHING_NAME,
    OFFERED_NAME,
    REPLACED_NAME,
    SystemDirectories,
    install_offered,
    offer_fetched,
    open_fetching,
)
from node.storage.leveldb import open_leveldb
from primitives.encoding import encode
from primitives.ids import Height
from tests.node.snapshots.source import Receiver, Source
from tests.vm.ledger import make_genesis, make_key

NAMES = {CURRENT_NAME, FETCHING_NAME, OFFERED_NAME, REPLACED_NAME}


class PowerCut(BaseException):
    """The machine is off."""


class FailingDirectories(SystemDirectories):
    """The power goes before the ``cut_at``-th operation, or in the middle of it when it deletes."""

    def __init__(self, cut_at: int) -> None:
        self.left = cut_at

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def fsync_directory(self, path: Path) -> None:
        self._step()
        super().fsync_directory(path)

    def remove_tree(self, path: Path) -> None:
        if self.left == 0:
            for file in sorted(path.iterdir())[::2]:
                file.unlink()
        self._step()
        super().remove_tree(path)

    def _step(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1


@pytest.fixture(scope="module")
def source() -> Source:
    source = Source()
    source.register(5)
    source.register(5, "more")
    return source


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "genesis.bin").write_bytes(encode(make_genesis()))
    with open_storage(tmp_path, load_constitution(tmp_path)):
        pass
    return tmp_path


def fetch(home: Path, source: Source) -> None:
    with open_fetching(home / "data") as store:
        assert Receiver(source, store=store).run(source.answer) is None


def get_names(home: Path) -> set[str]:
    return {path.name for path in (home / "data").iterdir()} & NAMES


def open_height(home: Path) -> int:
    """Open the home as a node does, and look at its height; the opening checks state and blocks."""
    with open_storage(home, load_constitution(home)) as storage:
        return storage.chain.get_height()


def test_a_whole_snapshot_becomes_the_store_and_nothing_is_left_beside_it(home: Path, source: Source) -> None:
    journal = (home / "data" / "journal").read_bytes()
    fetch(home, source)
    offer_fetched(home / "data")
    assert get_names(home) == {CURRENT_NAME, OFFERED_NAME}
    assert open_height(home) == source.height
    assert get_names(home) == {CURRENT_NAME}
    assert (home / "data" / "journal").read_bytes() == journal
    assert open_height(home) == source.height


def test_an_unfinished_download_is_deleted_at_the_start(home: Path, source: Source) -> None:
    fetch(home, source)
    assert open_height(home) == 0
    assert get_names(home) == {CURRENT_NAME}


def test_a_snapshot_that_is_not_ahead_of_the_store_is_deleted(home: Path, source: Source) -> None:
    for _ in range(2):
        fetch(home, source)
        offer_fetched(home / "data")
        assert open_height(home) == source.height
        assert get_names(home) == {CURRENT_NAME}


def test_a_snapshot_becomes_the_store_where_the_store_was_moved_away(home: Path, source: Source) -> None:
    fetch(home, source)
    offer_fetched(home / "data")
    shutil.rmtree(home / "data" / CURRENT_NAME)
    assert open_height(home) == source.height


def list_cuts(home: Path) -> Iterator[tuple[int, Path]]:
    """Yield a home for each operation before which the power goes, until there is no further one."""
    for cut_at in range(100):
        copy = home.with_name(f"{home.name}-cut-{cut_at}")
        shutil.copytree(home, copy)
        try:
            install_offered(copy / "data", FailingDirectories(cut_at))
        except PowerCut:
            yield cut_at, copy
        else:
            return
    raise AssertionError


def test_wherever_the_power_goes_the_next_start_has_the_snapshot(home: Path, source: Source) -> None:
    fetch(home, source)
    offer_fetched(home / "data")
    cuts = 0
    for _, copy in list_cuts(home):
        assert open_height(copy) == source.height
        assert get_names(copy) == {CURRENT_NAME}
        cuts += 1
    assert cuts == 5  # two renames, each with its directory, and one deletion


def test_wherever_the_power_goes_a_useless_snapshot_is_gone_and_the_store_stays(
    home: Path, source: Source
) -> None:
    fetch(home, source)
    offer_fetched(home / "data")
    assert open_height(home) == source.height
    fetch(home, source)
    offer_fetched(home / "data")
    cuts = 0
    for _, copy in list_cuts(home):
        assert open_height(copy) == source.height
        assert get_names(copy) == {CURRENT_NAME}
        cuts += 1
    assert cuts == 3


def test_wherever_the_power_goes_while_it_is_offered_there_is_a_store(home: Path, source: Source) -> None:
    fetch(home, source)
    heights = set()
    for cut_at in range(2):
        copy = home.with_name(f"{home.name}-offer-{cut_at}")
        shutil.copytree(home, copy)
        with pytest.raises(PowerCut):
            offer_fetched(copy / "data", FailingDirectories(cut_at))
        heights.add(open_height(copy))
        assert get_names(copy) == {CURRENT_NAME}
    assert heights == {0, source.height}


def test_a_damaged_offer_is_refused_by_name(home: Path) -> None:
    (home / "data" / OFFERED_NAME).mkdir()
    (home / "data" / OFFERED_NAME / "000005.ldb").write_bytes(b"half a table")
    with pytest.raises(HomeError, match=r"leveldb.next: the file CURRENT is missing"):
        open_height(home)


def test_an_empty_offer_is_not_ahead_of_anything(home: Path) -> None:
    with open_leveldb(home / "data" / OFFERED_NAME):
        pass
    assert open_height(home) == 0
    assert get_names(home) == {CURRENT_NAME}


def install(home: Path, source: Source) -> Replica:
    """Install a snapshot of another node; return the replica that resumes from it and the home's own journal."""
    fetch(home, source)
    offer_fetched(home / "data")
    constitution = load_constitution(home)
    with open_storage(home, constitution) as storage:
        return build_replica(constitution, storage, make_key("validator 1"), bytes(NONCE_BYTES))


def test_the_replica_resumes_in_the_epoch_of_the_snapshot_with_its_members(home: Path) -> None:
    source = Source()
    source.add_validator("v4")
    source.register(1)
    source.add_validator("v5")
    source.register(1, "later")
    state = install(home, source).view
    assert state.epoch == 2
    assert state.membership.hash == source.membership.hash
    assert state.executed == source.header
    assert state.stable is not None
    assert state.stable.header == source.header


def test_a_snapshot_of_an_epochs_last_block_begins_the_next_epoch(home: Path) -> None:
    source = Source()
    source.add_validator("v4")
    state = install(home, source).view
    assert state.epoch == 1
    assert len(state.membership.validators) == 5
    assert state.membership.start_height == state.executed.height == source.height


def test_a_pruned_store_still_knows_where_its_epoch_began(home: Path, tmp_path: Path) -> None:
    source = Source()
    source.add_validator("v4")
    began = source.height
    for number in range(4):
        source.register(1, f"home-{number}")
    Pruner(source.chain, 1).step(Height(source.height))
    assert source.chain.get_header(Height(began)) is None
    membership, following = read_memberships(source.chain, source.genesis)
    assert (membership.epoch, membership.start_height, following) == (1, began, None)
    assert install(home, source).view.membership == membership
