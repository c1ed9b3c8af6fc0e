"""A validator's disk in memory: the journal's files and the store, with what of them is on the medium.

Every changing operation may fail, or be the last one before the power goes. What was synced survives a power cut; of
what was not, any part may: sectors of a file's tail in any order, with zeros between them; a prefix of the store's
unsynced writes.
"""

import errno
import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from node.storage.memory import MemorySnapshot, MemoryStore
from node.storage.store import (
    SNAPSHOTS_MAX,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreSnapshot,
    compute_range,
)

SECTOR_BYTES = 512

SYNCS_REMEMBERED = 3
"""A turn may sync its group, and rewrite the journal without what has become moot, before the turn's votes leave."""

JOURNAL = Path("data/journal")


class PowerCutError(BaseException):
    """The machine is off; nobody on it handles that."""


class Disk:
    """One machine's disk; ``lose_power`` decides what is left of what was never synced."""

    def __init__(self) -> None:
        self.files = VirtualFiles(self)
        self.store = VirtualStore(self)
        self.operations = 0
        """Changing operations so far."""
        self.cut_in: int | None = None
        """The power goes at the operation after so many more."""
        self.fail_in: int | None = None
        """The operation after so many more fails with an input/output error, and all that follow until restart."""
        self.is_full = False
        self.sync_ms = 1
        """How long a sync takes."""
        self.failed = 0
        self.refused_full = 0

    def step(self, *, grows: bool) -> int:
        """Count an operation; return 0, or the error number with which it fails.

        Raises:
            PowerCutError: it was the last one.

        """
        self.operations += 1
        if self.cut_in is not None:
            if self.cut_in <= 0:
                self.cut_in = None
                raise PowerCutError
            self.cut_in -= 1
        if self.fail_in is not None:
            if self.fail_in <= 0:
                self.failed += 1
                return errno.EIO
            self.fail_in -= 1
        if self.is_full and grows:
            self.refused_full += 1
            return errno.ENOSPC
        return 0

    def lose_power(self, random: Random) -> int:
        """Keep what was synced, and of the rest what the medium happened to take; return what was lost or torn."""
        self.cut_in = self.fail_in = None
        return self.files.lose_power(random) + self.store.lose_power(random)

    def open(self) -> None:
        """Begin a new process on this disk: LevelDB makes durable what it reads at opening."""
        self.store.open()

    def install_store(self, values: Mapping[bytes, bytes]) -> None:
        """Let a whole store of these values take the place of the old one, at once and durably."""
        self.store = VirtualStore(self)
        self.store.load(values)

    def replace_store(self) -> None:
        """Move the store away, as an operator does with a damaged one; the journal stays."""
        self.store = VirtualStore(self)


class _Inode:
    """A file's bytes: what is read, and how much of that is on the medium, with what a cut may bring back."""

    __slots__ = ("cut_off", "data", "synced")

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0
        self.cut_off = b""


class VirtualFiles:
    """``FileOperations`` over names and inodes."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._open: dict[int, _Inode | Path] = {}
        self._locks: set[Path] = set()
        self._next = 3
        self.recently_synced: deque[bytes] = deque(maxlen=SYNCS_REMEMBERED)
        """What the last syncs of files brought to the medium."""

    def get(self, path: Path) -> bytes | None:
        """Return what a reader sees, or None."""
        inode = self._names.get(path)
        return None if inode is None else bytes(inode.data)

    def get_durable(self, path: Path) -> bytes:
        """Return what survives any power cut."""
        inode = self._durable_names.get(path)
        return b"" if inode is None else bytes(inode.data[: inode.synced])

    def flip(self, path: Path, offset: int, bit: int) -> None:
        """Let a bit of the medium change by itself."""
        self._names[path].data[offset] ^= 1 << bit

    def remove(self, path: Path) -> None:
        """Delete a file, durably."""
        self._names.pop(path, None)
        self._durable_names.pop(path, None)

    def clone_from(self, other: "VirtualFiles") -> None:
        """Take over what another disk holds durably, as from a backup."""
        for path, inode in other._durable_names.items():  # of the same class
            copy = _Inode()
            copy.data, copy.synced = bytearray(inode.data[: inode.synced]), inode.synced
            self._names[path] = self._durable_names[path] = copy

    def lose_power(self, random: Random) -> int:
        """Tear what was not synced."""
        self._open.clear()
        self._locks.clear()
        lost = 0
        if self._names != self._durable_names:
            self._names = dict(self._names if random.random() < 0.5 else self._durable_names)
        for inode in self._names.values():
            lost += self._tear(inode, random)
        self._durable_names = dict(self._names)
        return lost

    def _tear(self, inode: _Inode, random: Random) -> int:
        if inode.cut_off:
            if random.random() < 0.5:
                del inode.data[inode.synced :]
                inode.data += inode.cut_off
            inode.cut_off = b""
        tail = len(inode.data) - inode.synced
        if tail == 0:
            return 0
        fate = random.randrange(5)
        if fate == 0:
            del inode.data[inode.synced :]
        elif fate == 1:
            del inode.data[inode.synced + random.randrange(tail) :]
        elif fate == 2:  # the length reached the medium, the last sectors did not
            start = inode.synced + random.randrange(tail) // SECTOR_BYTES * SECTOR_BYTES
            inode.data[start:] = bytes(len(inode.data) - start)
        elif fate == 3:  # sectors reach the medium in any order
            for start in range(inode.synced, len(inode.data), SECTOR_BYTES):
                if random.random() < 0.5:
                    end = min(start + SECTOR_BYTES, len(inode.data))
                    inode.data[start:end] = bytes(end - start)
        inode.synced = len(inode.data)
        return 1

    def lock(self, path: Path) -> int:
        if path in self._locks:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._locks.add(path)
        return self._add(path)

    def read(self, path: Path, limit: int) -> bytes | None:
        inode = self._names.get(path)
        return None if inode is None else bytes(inode.data[:limit])

    def open(self, path: Path, flags: int) -> int:
        if flags & os.O_CREAT:
            self._step(grows=True)
        if flags & os.O_TRUNC or (flags & os.O_CREAT and path not in self._names):
            self._names[path] = _Inode()
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._add(inode)

    def write(self, descriptor: int, data: bytes) -> int:
        inode = self._get(descriptor)
        try:
            code = self._disk.step(grows=True)
        except PowerCutError:
            inode.data += data
            raise
        if code:
            inode.data += data[: len(data) // 2]
            raise OSError(code, os.strerror(code))
        inode.data += data
        return len(data)

    def fsync(self, descriptor: int) -> None:
        self._step()
        inode = self._get(descriptor)
        self.recently_synced.append(bytes(inode.data[inode.synced :]))
        inode.synced = len(inode.data)
        inode.cut_off = b""

    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        inode = self._get(descriptor)
        inode.cut_off = bytes(inode.data[size : inode.synced])
        inode.synced = min(inode.synced, size)
        del inode.data[size:]

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        self._names[target] = self._names.pop(source)

    def fsync_directory(self, path: Path) -> None:
        del path
        self._step()
        self._durable_names = dict(self._names)

    def close(self, descriptor: int) -> None:
        held = self._open.pop(descriptor, None)
        if isinstance(held, Path):
            self._locks.discard(held)

    def _add(self, held: "_Inode | Path") -> int:
        self._next += 1
        self._open[self._next] = held
        return self._next

    def _get(self, descriptor: int) -> _Inode:
        inode = self._open[descriptor]
        assert isinstance(inode, _Inode)
        return inode

    def _step(self, *, grows: bool = False) -> None:
        code = self._disk.step(grows=grows)
        if code:
            raise OSError(code, os.strerror(code))


class VirtualSnapshot(MemorySnapshot):
    """A copy of the values of one moment."""

    def __init__(self, values: Mapping[bytes, bytes], others: "set[VirtualSnapshot]") -> None:
        copy = MemoryStore()
        copy.write(values, sync=True)
        super().__init__(copy, copy.snapshot()._get_content())  # nobody else shares the copy
        self._others = others

    def close(self) -> None:
        super().close()
        self._others.discard(self)


class VirtualStore:
    """A ``Store`` with LevelDB's promises: a write is whole or absent, unsynced ones are lost from the end."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._values: dict[bytes, bytes] = {}
        self._sorted: list[bytes] | None = None
        self._undo: list[dict[bytes, bytes | None]] = []
        self._failure: str | None = None
        self._damaged: set[bytes] = set()
        self._snapshots: set[VirtualSnapshot] = set()

    def open(self) -> None:
        """Make what was written and not synced durable, and forget the failure of an earlier process."""
        self._undo.clear()
        self._failure = None

    def get(self, key: bytes) -> bytes | None:
        if self._damaged and key in self._damaged:
            raise StoreCorrupt("a block of the store does not have its checksum")
        return self._values.get(key)

    def get_durable(self, key: bytes) -> bytes | None:
        """Return the value that survives any power cut."""
        for before in self._undo:
            if key in before:
                return before[key]
        return self._values.get(key)

    def damage(self, key: bytes) -> None:
        """Let a value not have its checksum any more."""
        self._damaged.add(key)

    def load(self, values: Mapping[bytes, bytes]) -> None:
        """Hold these values, all of them durable."""
        self._values = dict(values)
        self._sorted = None

    def clone_from(self, other: "VirtualStore") -> None:
        """Take over what another disk holds durably, as from a backup."""
        self._values = {key: value for key in other._values if (value := other.get_durable(key)) is not None}
        self._sorted = None

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._sorted is None:
            self._sorted = sorted(self._values)
        keys = self._sorted
        low, high, is_high_included = compute_range(prefix, start, reverse=reverse)
        first = 0 if low is None else bisect_left(keys, low)
        find_end = bisect_right if is_high_included else bisect_left
        end = len(keys) if high is None else find_end(keys, high)
        pairs = [(key, self._values[key]) for key in keys[first:end]]
        return iter(pairs[::-1] if reverse else pairs)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        if self._failure is not None:
            raise StoreFailed(f"no further write after: {self._failure}")
        try:
            code = self._disk.step(grows=True)
        except PowerCutError:
            self._apply(puts)  # it may have reached the medium: the power cut decides
            raise
        if code:
            self._failure = os.strerror(code)
            raise (StoreFull if code == errno.ENOSPC else StoreFailed)(f"store: {self._failure}")
        self._apply(puts)
        if sync:
            self._undo.clear()

    def snapshot(self) -> StoreSnapshot:
        if len(self._snapshots) >= SNAPSHOTS_MAX:
            raise StoreFailed(f"{SNAPSHOTS_MAX} snapshots are open; close those that are no longer read")
        snapshot = VirtualSnapshot(self._values, self._snapshots)
        self._snapshots.add(snapshot)
        return snapshot

    def compact(self, first: bytes, last: bytes) -> None:
        del first, last  # removed keys take no space

    def estimate_size(self) -> int:
        return sum(len(key) + len(value) for key, value in self._values.items())

    def lose_power(self, random: Random) -> int:
        """Undo a part of the unsynced writes, the last ones first."""
        self._failure = None
        lost = random.randint(0, len(self._undo))
        for _ in range(lost):
            for key, value in self._undo.pop().items():
                if value is None:
                    del self._values[key]
                else:
                    self._values[key] = value
        self._undo.clear()
        self._sorted = None
        return lost

    def _apply(self, puts: Mapping[bytes, bytes | None]) -> None:
        values = self._values
        before: dict[bytes, bytes | None] = {}
        for key, value in puts.items():
            old = values.get(key)
            if old is None:
                if value is None:
                    continue
                self._sorted = None
            before[key] = old
            if value is None:
                del values[key]
                self._sorted = None
            else:
                values[key] = value
        self._undo.append(before)
