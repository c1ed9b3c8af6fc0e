"""The store on disk: refusals by name, damage, a full disk, and a process killed at any moment."""

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from node.storage.chain import ChainStore
from node.storage.leveldb import (
    WRITE_BUFFER_BYTES,
    WRITE_BUFFER_BYTES_LEAST,
    choose_write_buffer,
    open_leveldb,
)
from node.storage.store import StoreCorrupt, StoreError, StoreFailed, StoreLocked
from tests.node.storage.chains import build_block, build_receipts

ROOT = Path(__file__).parents[3]

OPEN_AND_SAY = """
import sys
from pathlib import Path
from node.storage.leveldb import open_leveldb
from node.storage.store import StoreError
try:
    with open_leveldb(Path(sys.argv[1])):
        print("opened")
except StoreError as error:
    print(type(error).__name__, error)
"""

FILL_AND_SAY = """
import sys
from pathlib import Path
from node.storage.leveldb import open_leveldb
from node.storage.store import StoreError
with open_leveldb(Path(sys.argv[1])) as store:
    number = 0
    try:
        while True:
            store.write({b"%08d" % number: bytes(1000)}, sync=True)
            number += 1
    except StoreError as error:
        print(type(error).__name__, error)
    try:
        store.write({b"after": b"1"}, sync=True)
    except StoreError as error:
        print(type(error).__name__, error)
    print(number)
"""


def run_python(code: str, path: Path, file_bytes_max: int | None = None) -> str:
    def limit() -> None:
        if file_bytes_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))

    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,  # the test has no other thread
        timeout=60,
    )
    return result.stdout


def fill(path: Path, numbers: range = range(3000)) -> None:
    rng = random.Random(1)
    with open_leveldb(path) as store:
        for number in numbers:
            store.write({b"%08d" % number: rng.randbytes(2000)}, sync=False)


def fill_tables(path: Path) -> None:
    fill(path)
    with open_leveldb(path):
        pass  # whatever was in the log is in a table now


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def test_another_process_on_the_same_directory_is_refused_by_name(tmp_path: Path) -> None:
    with open_leveldb(tmp_path / "store"):
        said = run_python(OPEN_AND_SAY, tmp_path / "store")
    assert said.startswith("StoreLocked")
    assert "in use by another process" in said
    assert run_python(OPEN_AND_SAY, tmp_path / "store") == "opened\n"


def test_write_buffers_are_of_many_sizes_within_their_bounds() -> None:
    sizes = {choose_write_buffer() for _ in range(100)}
    assert len(sizes) > 50
    assert WRITE_BUFFER_BYTES_LEAST <= min(sizes) <= max(sizes) <= WRITE_BUFFER_BYTES


def test_a_second_opening_in_the_same_process_is_refused_by_name(tmp_path: Path) -> None:
    with open_leveldb(tmp_path), pytest.raises(StoreLocked), open_leveldb(tmp_path):
        pass


def test_the_directory_is_made_with_its_parents_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "home" / "data" / "store"
    with open_leveldb(path):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed), open_leveldb(tmp_path / "file"):
        pass


def test_a_closed_store_refuses_by_name(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        store.write({b"a": b"1"}, sync=True)
        snapshot = store.snapshot()
        pairs = store.iterate(b"")
    for use in (
        lambda: store.get(b"a"),
        lambda: snapshot.get(b"a"),
        lambda: next(pairs),
        lambda: store.write({b"a": b"2"}, sync=True),
        store.snapshot,
    ):
        with pytest.raises(StoreFailed):
            use()


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_written_after(tmp_path: Path) -> None:
    first, second, count = run_python(FILL_AND_SAY, tmp_path / "store", 300_000).splitlines()
    assert first.startswith("StoreFull")
    assert "free disk space" in first
    assert second.startswith("StoreFailed")
    with open_leveldb(tmp_path / "store") as store:
        assert [key for key, _ in store.iterate(b"")] == [b"%08d" % number for number in range(int(count))]


def test_a_flipped_bit_in_a_table_is_named_as_damage_and_not_read(tmp_path: Path) -> None:
    fill_tables(tmp_path)
    for table in tmp_path.glob("*.ldb"):
        flip(table, table.stat().st_size // 2)
    with open_leveldb(tmp_path) as store:
        with pytest.raises(StoreCorrupt, match="checksum mismatch") as caught:
            list(store.iterate(b""))
        assert "move the directory away, keep the journal" in str(caught.value)
        with pytest.raises(StoreCorrupt):
            _ = [store.get(b"%08d" % number) for number in range(3000)]


def test_a_flipped_bit_in_the_log_is_refused_at_opening(tmp_path: Path) -> None:
    fill(tmp_path, range(50))
    (log,) = tmp_path.glob("*.log")
    flip(log, log.stat().st_size // 2)
    with pytest.raises(StoreCorrupt), open_leveldb(tmp_path):
        pass


def test_a_lost_table_is_refused_at_opening(tmp_path: Path) -> None:
    fill_tables(tmp_path)
    next(tmp_path.glob("*.ldb")).unlink()
    with pytest.raises(StoreCorrupt), open_leveldb(tmp_path):
        pass


def test_a_lost_index_of_the_tables_is_refused_and_no_table_is_deleted(tmp_path: Path) -> None:
    fill_tables(tmp_path)
    tables = set(tmp_path.glob("*.ldb"))
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(StoreCorrupt, match="CURRENT"), open_leveldb(tmp_path):
        pass
    assert tables
    assert set(tmp_path.glob("*.ldb")) == tables


def test_a_log_cut_at_any_byte_holds_a_prefix_of_the_writes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source, range(5))
    (log,) = source.glob("*.log")
    data = log.read_bytes()
    for size in [*range(0, len(data), 97), len(data)]:
        copy = tmp_path / f"cut{size}"
        copy.mkdir()
        for file in source.iterdir():
            (copy / file.name).write_bytes(data[:size] if file == log else file.read_bytes())
        with open_leveldb(copy) as store:
            found = [key for key, _ in store.iterate(b"")]
        assert found == [b"%08d" % number for number in range(len(found))]
        assert size < len(data) or len(found) == 5


def test_a_process_killed_at_any_moment_leaves_whole_blocks_and_all_it_spoke_of(tmp_path: Path) -> None:
    rng = random.Random(7)
    path = tmp_path / "store"
    said = 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.node.storage.committing_process", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(rng.randint(1, 60)):
            said = int(process.stdout.readline())
        process.kill()
        said = max(
            [said, *(int(line) for line in process.stdout.read().splitlines(keepends=True) if "\n" in line)]
        )
        process.wait(timeout=30)
        check_blocks(path, said)


def check_blocks(path: Path, at_least: int) -> None:
    with open_leveldb(path) as store:
        chain = ChainStore(store)
        height = chain.get_height()
        assert height >= at_least
        for number in range(1, height + 1):
            block = build_block(number)
            assert chain.get_block(block.header.height) == block  # type: ignore[arg-type]
            assert chain.get_receipts(block.header.height) == build_receipts(block)  # type: ignore[arg-type]
            for index, name in enumerate(block.batch.header.transaction_ids):
                assert chain.find_transaction(name) == (number, index)
        after = build_block(height + 1)
        assert chain.get_block(after.header.height) is None  # type: ignore[arg-type]
        assert chain.find_transaction(after.batch.header.transaction_ids[0]) is None
        assert chain.get(b"height") == b"%d" % height
        assert list(chain.iterate(b"only")) == [(b"only %d" % height, b"x")]
        assert chain.get_bucket(0) == b"bucket %d" % height


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    fill(tmp_path, range(50))
    (tmp_path / "CURRENT").write_text("nonsense\n")
    with pytest.raises(StoreError) as caught, open_leveldb(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
