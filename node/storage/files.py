"""The file operations of the journal behind a small port, so that each of them can be made to fail or be the last."""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class FileOperations(Protocol):
    """What the journal does to files; every method raises OSError."""

    def lock(self, path: Path) -> int:
        """Return a descriptor that holds the exclusive lock of ``path``, made when absent, until it is closed.

        Raises:
            BlockingIOError: somebody else holds it.

        """
        ...

    def read(self, path: Path, limit: int) -> bytes | None:
        """Return the content of a file, at most ``limit`` bytes of it; None when there is no such file."""
        ...

    def open(self, path: Path, flags: int) -> int:
        """Return a descriptor; a new file is its owner's only."""
        ...

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of ``data``, at least one byte; return how many."""
        ...

    def fsync(self, descriptor: int) -> None:
        """Return when the file's content and length are on the medium."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Let ``target`` be what ``source`` was, at once."""
        ...

    def fsync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the medium."""
        ...

    def close(self, descriptor: int) -> None:
        """Let go of a descriptor."""
        ...


class SystemFiles:
    """The operating system's."""

    def lock(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # flock, not lockf: it holds between two openings in one process as well
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def read(self, path: Path, limit: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                return file.read(limit)
        except FileNotFoundError:
            return None

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags, 0o600)

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def fsync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
