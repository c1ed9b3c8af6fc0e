"""The file operations of the journal behind a small port, so that each of them can be made to fail or be the last."""

import os
from pathlib import Path
from typing import Protocol


class FileOperations(Protocol):
    """What the journal does to files; every method raises OSError."""

    def open(self, path: Path, flags: int) -> int: ...

    def write(self, descriptor: int, data: bytes) -> int: ...

    def fsync(self, descriptor: int) -> None: ...

    def truncate(self, descriptor: int, size: int) -> None: ...

    def rename(self, source: Path, target: Path) -> None: ...

    def fsync_directory(self, path: Path) -> None: ...

    def close(self, descriptor: int) -> None: ...


class SystemFiles:
    """The operating system's."""

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
