"""A validator's home: what is opened, and what is refused by name."""

from pathlib import Path

import pytest

from node.errors import HomeError
from node.home import Constitution, load_constitution, open_storage
from primitives.encoding import encode
from tests.vm.ledger import make_genesis


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "genesis.bin").write_bytes(encode(make_genesis()))
    return tmp_path


def open_once(home: Path) -> Constitution:
    constitution = load_constitution(home)
    with open_storage(home, constitution) as storage:
        assert storage.chain.get_height() == 0
        assert storage.tree.root == storage.chain.get_latest_header().state_root
    return constitution


def test_a_new_home_begins_at_genesis_and_opens_again(home: Path) -> None:
    open_once(home)
    open_once(home)


def test_a_chain_without_its_journal_is_refused_every_time(home: Path) -> None:
    constitution = open_once(home)
    (home / "data" / "journal").unlink()
    for _ in range(2):
        with pytest.raises(HomeError, match="could contradict"), open_storage(home, constitution):
            pass


def test_a_home_without_a_genesis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="copy the network's genesis"):
        load_constitution(tmp_path)


def test_what_is_no_genesis_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.bin").write_bytes(b"not a genesis")
    with pytest.raises(HomeError, match="not a genesis"):
        load_constitution(tmp_path)


def test_a_home_in_use_is_refused(home: Path) -> None:
    constitution = open_once(home)
    with (
        open_storage(home, constitution),
        pytest.raises(HomeError, match="another process"),
        open_storage(home, constitution),
    ):
        pass


def test_the_data_of_another_network_is_refused(home: Path) -> None:
    open_once(home)
    other = make_genesis(names=("utility", "another"))
    (home / "genesis.bin").write_bytes(encode(other))
    with pytest.raises(HomeError, match="another"), open_storage(home, load_constitution(home)):
        pass
