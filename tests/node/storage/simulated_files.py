"""A disk in memory for the journal: any operation can fail, or be the last before the power goes."""

import errno
import os
from pathlib import Path


class PowerCut(BaseException):
    """The machine is off; nobody handles it."""


class _Inode:
    def __init__(self) -> None:
        self.written = b""
        self.durable = b""


class SimulatedFiles:
    """FileOperations over inodes and names, each with what is durable of it.

    ``fail_at`` and ``cut_at`` count operations from 0. A failing operation leaves half of its effect; the power goes
    before an operation, and ``restart`` decides what of the unsynced effects reached the medium.
    """

    def __init__(
        self, *, fail_at: int | None = None, cut_at: int | None = None, code: int = errno.EIO
    ) -> None:
        self.fail_at = fail_at
        self.cut_at = cut_at
        self.code = code
        self.operations: list[str] = []
        self.locks: set[Path] = set()
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._open: dict[int, _Inode | Path] = {}

    def put(self, path: Path, data: bytes) -> None:
        """Put a durable file there."""
        inode = _Inode()
        inode.written = inode.durable = data
        self._names[path] = self._durable_names[path] = inode

    def get(self, path: Path) -> bytes:
        """Return what a reader sees."""
        return self._names[path].written

    def restart(self, *, kept: float, is_renamed: bool) -> "SimulatedFiles":
        """Return the disk after a power cut: with ``kept`` of each unsynced write, and with or without new names."""
        after = SimulatedFiles()
        for path, inode in (self._names if is_renamed else self._durable_names).items():
            added = inode.written[len(inode.durable) :]
            is_appended = inode.written.startswith(inode.durable)
            data = inode.durable + added[: int(len(added) * kept)] if is_appended else inode.written
            after.put(path, data)
        return after

    def lock(self, path: Path) -> int:
        self._step("lock")
        if path in self.locks:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.locks.add(path)
        return self._add(path)

    def read(self, path: Path, limit: int) -> bytes | None:
        self._step("read")
        return self._names[path].written[:limit] if path in self._names else None

    def open(self, path: Path, flags: int) -> int:
        self._step("open")
        if flags & os.O_CREAT and path not in self._names:
            self._names[path] = _Inode()
        inode = self._names[path]
        if flags & os.O_TRUNC:
            self._names[path] = inode = _Inode()
        return self._add(inode)

    def write(self, descriptor: int, data: bytes) -> int:
        inode = self._get(descriptor)
        if self._is_failing("write"):
            inode.written += data[: len(data) // 2]
            raise OSError(self.code, os.strerror(self.code))
        half = (len(data) + 1) // 2  # a short write is allowed, so it happens here always
        inode.written += data[:half]
        return half

    def fsync(self, descriptor: int) -> None:
        self._step("fsync")
        inode = self._get(descriptor)
        inode.durable = inode.written

    def truncate(self, descriptor: int, size: int) -> None:
        self._step("truncate")
        inode = self._get(descriptor)
        inode.written = inode.written[:size]

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        self._names[target] = self._names.pop(source)

    def fsync_directory(self, path: Path) -> None:
        self._step("fsync_directory")
        self._durable_names = dict(self._names)

    def close(self, descriptor: int) -> None:
        held = self._open.pop(descriptor)
        if isinstance(held, Path):
            self.locks.discard(held)

    def _add(self, held: "_Inode | Path") -> int:
        descriptor = max(self._open, default=2) + 1
        self._open[descriptor] = held
        return descriptor

    def _get(self, descriptor: int) -> _Inode:
        inode = self._open[descriptor]
        assert isinstance(inode, _Inode)
        return inode

    def _is_failing(self, name: str) -> bool:
        number = len(self.operations)
        self.operations.append(name)
        if self.cut_at is not None and number >= self.cut_at:
            raise PowerCut
        return number == self.fail_at

    def _step(self, name: str) -> None:
        if self._is_failing(name):
            raise OSError(self.code, os.strerror(self.code))
