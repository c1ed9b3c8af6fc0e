"""The store on disk: LevelDB, tuned for nodes with little memory and cards that wear.

The only module that names plyvel. The numbers below were measured with blocks of 1,000 transactions on 200 MB: 13 MB of
anonymous memory for the whole process with write buffers of 4 MB, 7 µs to look up an id that is not there. LevelDB maps
its tables: what it shows beyond that is page cache, which the system takes back when it needs it.
"""

import errno
import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NoReturn, Protocol

import plyvel

from node.storage.store import (
    SNAPSHOTS_MAX,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLocked,
    compute_range,
)

WRITE_BUFFER_BYTES = 8 * 1024 * 1024
"""Two of these are in memory at worst. 4 MB would save 8 MB, and write and merge more: 8 µs for each transaction."""

WRITE_BUFFER_BYTES_LEAST = WRITE_BUFFER_BYTES // 2
"""Validators write the same bytes: with buffers of one size all of them make a table in the same moment, and no quorum
syncs a vote meanwhile. Each takes a size between the two by chance: the 99th percentile at 1,000 tx/s was then 141 ms
instead of 224, at 300,000 transactions."""

COMPRESSION = None
"""Hashes, signatures and readings do not get smaller: Snappy took 43 µs of each transaction and won no space."""

BLOCK_CACHE_BYTES = 2 * 1024 * 1024
"""Uncompressed blocks that were read; the page cache holds the tables anyway. The default of 8 MB won nothing."""

TABLE_BYTES_MAX = 1024 * 1024
"""The smallest LevelDB takes: with the 64 tables of MAX_OPEN_FILES it bounds what is mapped to about 64 MB."""

MAX_OPEN_FILES = 74
"""The smallest LevelDB takes: 64 tables and 10 others, out of the 1,024 descriptors of a process."""

BLOOM_BITS_PER_KEY = 10
"""Almost every new transaction is looked up and absent: 1 % of the tables are read in vain, for 1.25 bytes a key."""

_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_TABLE_SUFFIXES = (".ldb", ".sst", ".log")


class _Reads(Protocol):
    """What plyvel's database and its snapshots have in common."""

    def get(self, key: bytes, *, verify_checksums: bool) -> bytes | None: ...

    def iterator(
        self,
        *,
        start: bytes | None,
        stop: bytes | None,
        include_stop: bool,
        reverse: bool,
        verify_checksums: bool,
    ) -> "_Pairs": ...

    def close(self) -> None: ...


class _Pairs(Protocol):
    def __next__(self) -> tuple[bytes, bytes]: ...

    def close(self) -> None: ...


class _Batch(Protocol):
    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def write(self) -> None: ...


class _Database(_Reads, Protocol):
    def write_batch(self, *, sync: bool) -> _Batch: ...

    def snapshot(self) -> _Reads: ...

    def compact_range(self, *, start: bytes, stop: bytes) -> None: ...


class LevelDbSnapshot:
    """A LevelDbStore as it was at one moment."""

    def __init__(self, store: "LevelDbStore", reads: _Reads) -> None:
        self._store = store
        self._reads = reads

    def get(self, key: bytes) -> bytes | None:
        return _get(self._store.path, self._reads, key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._store.path, self._reads, prefix, start, reverse=reverse)

    def close(self) -> None:
        self._store.forget(self)
        self._reads.close()


class LevelDbStore:
    """A Store in one directory; ``open_leveldb`` makes it."""

    def __init__(self, path: Path, database: _Database) -> None:
        self.path = path
        self._database = database
        self._snapshots: set[LevelDbSnapshot] = set()
        self._lock = threading.Lock()
        self._failure: str | None = None

    def get(self, key: bytes) -> bytes | None:
        return _get(self.path, self._database, key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self.path, self._database, prefix, start, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        if self._failure is not None:
            raise StoreFailed(f"{self.path}: no further write after: {self._failure}")
        with _named_failures(self.path):
            batch = self._database.write_batch(sync=sync)
            for key, value in puts.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
        try:
            with _named_failures(self.path):
                batch.write()
        except StoreError as error:
            # LevelDB may have appended a part of it; what would follow could not be read back.
            self._failure = str(error)
            raise

    def snapshot(self) -> LevelDbSnapshot:
        with self._lock:
            if len(self._snapshots) >= SNAPSHOTS_MAX:
                raise StoreFailed(f"{SNAPSHOTS_MAX} snapshots are open; close those that are no longer read")
            with _named_failures(self.path):
                snapshot = LevelDbSnapshot(self, self._database.snapshot())
            self._snapshots.add(snapshot)
            return snapshot

    def forget(self, snapshot: LevelDbSnapshot) -> None:
        """Take note that a snapshot is closed."""
        with self._lock:
            self._snapshots.discard(snapshot)

    def compact(self, first: bytes, last: bytes) -> None:
        with _named_failures(self.path):
            self._database.compact_range(start=first, stop=last)

    def estimate_size(self) -> int:
        size = 0
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # a compaction removed it meanwhile
                    size += entry.stat().st_size
        return size

    def close(self) -> None:
        """Close the snapshots, then the database, as LevelDB requires."""
        for snapshot in tuple(self._snapshots):
            snapshot.close()
        self._database.close()


@contextmanager
def open_leveldb(path: Path, write_buffer_bytes: int | None = None) -> Iterator[LevelDbStore]:
    """Open the store in ``path``, made when absent, until the context ends.

    ``write_buffer_bytes`` is chosen by chance unless it is given.

    Raises:
        StoreLocked: another process, or this one, has it open.
        StoreFull: no space to open it.
        StoreCorrupt: its files are damaged or incomplete.
        StoreFailed: the directory cannot be made, read or written.

    """
    _prepare(path)
    with _named_failures(path):
        database: _Database = plyvel.DB(
            str(path),
            create_if_missing=True,
            paranoid_checks=True,  # else a damaged log is skipped in silence, and a block with it
            write_buffer_size=write_buffer_bytes or choose_write_buffer(),
            compression=COMPRESSION,
            lru_cache_size=BLOCK_CACHE_BYTES,
            max_file_size=TABLE_BYTES_MAX,
            max_open_files=MAX_OPEN_FILES,
            bloom_filter_bits=BLOOM_BITS_PER_KEY,
        )
    store = LevelDbStore(path, database)
    try:
        yield store
    finally:
        store.close()


def choose_write_buffer() -> int:
    """Return a size for the write buffer, another one at each opening."""
    return random.randint(WRITE_BUFFER_BYTES_LEAST, WRITE_BUFFER_BYTES)  # noqa: S311  # nothing is secret about it


def _prepare(path: Path) -> None:
    """Make the directory, and refuse one whose tables have lost their index: LevelDB would delete them."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        _raise_named(path, error.strerror or str(error), error)
    if "CURRENT" not in names and any(name.endswith(_TABLE_SUFFIXES) for name in names):
        raise StoreCorrupt(f"{path}: the file CURRENT is missing; {_REPAIR}")


_REPAIR = "move the directory away, keep the journal, and start: the node fetches the chain from its peers"


def _get(path: Path, reads: _Reads, key: bytes) -> bytes | None:
    try:
        return reads.get(key, verify_checksums=True)
    except (plyvel.Error, RuntimeError) as error:
        _raise_failure(path, error)


def _iterate(
    path: Path, reads: _Reads, prefix: bytes, start: bytes | None, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    low, high, is_high_included = compute_range(prefix, start, reverse=reverse)
    with _named_failures(path):
        pairs = reads.iterator(
            # In reverse, plyvel 1.5.1 yields nothing when the only key of the range is its lower bound.
            start=None if reverse else low,
            stop=high,
            include_stop=is_high_included,
            reverse=reverse,
            verify_checksums=True,
        )
    return _follow(path, pairs, low or b"")


def _follow(path: Path, pairs: _Pairs, low: bytes) -> Iterator[tuple[bytes, bytes]]:
    try:
        while True:
            with _named_failures(path):
                pair = next(pairs, None)
            if pair is None or pair[0] < low:
                return
            yield pair
    finally:
        pairs.close()


class _NamedFailures(AbstractContextManager[None]):
    """Turns what plyvel raises into the store's errors. A class, as a generator costs more than a read."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, plyvel.Error | RuntimeError):
            _raise_failure(self._path, error)


_named_failures = _NamedFailures


def _raise_failure(path: Path, error: Exception) -> NoReturn:
    """Raise the store's error for one of plyvel's; RuntimeError is its word for a closed database or snapshot."""
    if isinstance(error, RuntimeError):
        raise StoreFailed(f"{path}: {error}; open it again") from error
    if isinstance(error, plyvel.CorruptionError):
        raise StoreCorrupt(f"{path}: {_describe(error)}; {_REPAIR}") from error
    if _is_table_short(_describe(error)):
        raise StoreCorrupt(f"{path}: {_describe(error)}, a table is too short; {_REPAIR}") from error
    _raise_named(path, _describe(error), error)


def _is_table_short(text: str) -> bool:
    """Tell whether LevelDB wanted to read beyond the end of a table, which it maps: the file lost its end."""
    return f".ldb: {os.strerror(errno.EINVAL)}" in text


def _raise_named(path: Path, text: str, cause: BaseException) -> NoReturn:
    if "already held by process" in text or f"LOCK: {os.strerror(errno.EAGAIN)}" in text:
        raise StoreLocked(
            f"{path}: in use by another process; stop the node that runs on this home, or name another home"
        ) from cause
    if any(reason in text for reason in _FULL):
        raise StoreFull(f"{path}: {text}; free disk space or raise the quota, then start again") from cause
    raise StoreFailed(f"{path}: {text}; correct what the system says, then start again") from cause


def _describe(error: BaseException) -> str:
    """Return one line of what plyvel raised, whose argument is bytes."""
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return " ".join(text.split())[:300]
