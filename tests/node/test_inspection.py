"""Inspecting a home checks everything that is on its disk, names the first damage, and changes nothing."""

import resource
import tempfile
from pathlib import Path

import pytest

from node.errors import DiskError, HomeError
from node.home import load_constitution, open_storage
from node.inspection import Inspection, inspect_home
from node.storage import keys
from tests.node.storage.homes import BLOCKS, build_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return build_home(tmp_path / "node0", reopened_after=(2,)).path


def read_all(home: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file with its content and when it was written."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_whole_home_is_described_and_not_changed(home: Path) -> None:
    before = read_all(home)
    found = inspect_home(home, load_constitution(home))
    assert found.height == found.certified == found.signed == found.journal_records == BLOCKS
    assert found == Inspection(found.lowest, found.height, found.certified, found.signed, BLOCKS)
    assert read_all(home) == before


def test_what_no_start_notices_is_named(home: Path) -> None:
    constitution = load_constitution(home)
    with open_storage(home, constitution) as storage:
        key, value = next(iter(storage.chain.iterate(b"")))
        storage.chain._store.write({keys.STATE + key: value + b"x"}, sync=True)
    with open_storage(home, constitution):
        pass  # a start does not read every value
    before = read_all(home)
    with pytest.raises(HomeError, match=f"state key {key.hex()} has not the value"):
        inspect_home(home, constitution)
    assert read_all(home) == before


def test_a_flipped_bit_of_an_old_table_is_named(home: Path) -> None:
    (table,) = (home / "data/leveldb").glob("*.ldb")
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(HomeError, match="checksum mismatch"):
        inspect_home(home, load_constitution(home))


def test_a_damaged_journal_is_named_and_not_healed(home: Path) -> None:
    path = home / "data/journal"
    path.write_bytes(path.read_bytes()[:8192])
    before = read_all(home)
    with pytest.raises(HomeError, match="older than"):
        inspect_home(home, load_constitution(home))
    assert read_all(home) == before


def test_blocks_that_the_store_lost_are_told(home: Path) -> None:
    (log,) = (home / "data/leveldb").glob("*.log")
    log.write_bytes(b"")
    found = inspect_home(home, load_constitution(home))
    assert (found.height, found.signed) == (2, BLOCKS)


def test_a_running_validator_is_not_inspected(home: Path) -> None:
    constitution = load_constitution(home)
    with open_storage(home, constitution), pytest.raises(HomeError, match="the validator runs; stop it"):
        inspect_home(home, constitution)


def test_where_the_copy_finds_no_room_that_place_is_named_and_not_the_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room := tmp_path / "small").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    constitution = load_constitution(home)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))  # no file of more than a byte may be written
    try:
        with pytest.raises(
            DiskError, match=f"^{room}/.*make room for it there, or name another directory in TMPDIR$"
        ):
            inspect_home(home, constitution)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(room.iterdir())


def test_a_home_that_never_ran_has_nothing_to_inspect(home: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(HomeError, match="nothing to inspect"):
        inspect_home(empty, load_constitution(home))
    assert list(empty.iterdir()) == []
