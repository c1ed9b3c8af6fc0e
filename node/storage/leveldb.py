"""LevelDB behind the port: the only module that names plyvel."""

import errno
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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

WRITE_BUFFER_BYTES = 4 * 1024 * 1024
"""A block of 1,000 transactions writes about 1 MB; larger buffers cost the same again in anonymous memory."""

BLOCK_CACHE_BYTES = 4 * 1024 * 1024
"""Hot state of a community; the kernel caches the files anyway."""

OPEN_FILES_MAX = 128
"""Tables of 2 MB: 256 MB stay open; each costs its index in memory."""


@contextmanager
def open_leveldb(path: Path) -> Iterator["LevelDbStore"]:
    """Give the store in ``path``, made when it is new, and close it at the end.

    Raises:
        StoreError: used by another process, damaged, or the disk refuses.

    """
    try:
        database = plyvel.DB(
            str(path),
            create_if_missing=True,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER_BYTES,
            lru_cache_size=BLOCK_CACHE_BYTES,
            max_open_files=OPEN_FILES_MAX,
        )
    except (plyvel.Error, OSError) as error:
        raise _translate(error, path) from None
    store = LevelDbStore(database, path)
    try:
        yield store
    finally:
        store.close()


class LevelDbSnapshot:
    """The database as it was at one moment."""

    def __init__(self, store: "LevelDbStore", snapshot: "plyvel.Snapshot") -> None:
        self._store = store
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        return self._store.read(lambda: self._snapshot.get(key))

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._store.walk(self._snapshot, prefix, start, reverse=reverse)

    def close(self) -> None:
        self._store.forget(self)
        self._snapshot.close()


class LevelDbStore:
    """An open database. The first failed write is the last one: the next opening decides what the disk holds."""

    def __init__(self, database: "plyvel.DB", path: Path) -> None:
        self._database = database
        self._path = path
        self._failed: str | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._snapshots: set[LevelDbSnapshot] = set()

    def get(self, key: bytes) -> bytes | None:
        return self.read(lambda: self._database.get(key))

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.walk(self._database, prefix, start, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        if self._closed or self._failed is not None:
            raise StoreFailed(self._failed or f"{self._path} is closed")
        try:
            with self._database.write_batch(transaction=True, sync=sync) as batch:
                for key, value in puts.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        except (plyvel.Error, OSError) as error:
            self._failed = (
                f"{self._path}: an earlier write failed ({error}); restart the node when the disk is well"
            )
            raise _translate(error, self._path) from None

    def snapshot(self) -> LevelDbSnapshot:
        with self._lock:
            if self._closed or len(self._snapshots) >= SNAPSHOTS_MAX:
                raise StoreFailed(f"{self._path}: closed, or {SNAPSHOTS_MAX} snapshots are open")
            snapshot = LevelDbSnapshot(self, self._database.snapshot())
            self._snapshots.add(snapshot)
            return snapshot

    def estimate_size(self) -> int:
        return sum(file.stat().st_size for file in self._path.iterdir() if file.is_file())

    def close(self) -> None:
        """Close what is open, snapshots first."""
        for snapshot in list(self._snapshots):
            snapshot.close()
        self._closed = True
        self._database.close()

    def forget(self, snapshot: LevelDbSnapshot) -> None:
        """Count a snapshot out."""
        with self._lock:
            self._snapshots.discard(snapshot)

    def read(self, get: Callable[[], bytes | None]) -> bytes | None:
        """Return what ``get`` reads, with failures named."""
        try:
            return get()
        except (plyvel.Error, OSError, RuntimeError) as error:
            raise _translate(error, self._path) from None

    def walk(
        self, reader: "plyvel.DB | plyvel.Snapshot", prefix: bytes, start: bytes | None, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield a range of ``reader``."""
        low, high, is_high_included = compute_range(prefix, start, reverse=reverse)
        try:
            with reader.iterator(
                start=low, stop=high, include_stop=is_high_included, reverse=reverse, fill_cache=False
            ) as pairs:
                yield from pairs
        except (plyvel.Error, OSError, RuntimeError) as error:
            raise _translate(error, self._path) from None


def _translate(error: Exception, path: Path) -> StoreError:
    text = " ".join(str(error).split())
    if "lock" in text.lower():
        return StoreLocked(f"{path} is used by another process: one home directory serves one node")
    full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if full or "No space left" in text or "File too large" in text or "quota" in text:
        return StoreFull(f"{path}: the disk is full; free some space and start the node again")
    if isinstance(error, plyvel.CorruptionError):
        return StoreCorrupt(
            f"{path} is damaged ({text}); move it away, keep the journal, and start again: the node fetches the chain"
        )
    return StoreFailed(f"{path}: {text}")
