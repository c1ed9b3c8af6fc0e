"""A disk that names its operations and breaks at one of them: before it, in the middle, after it, or by an error."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.simulation.disk import Disk, PowerCutError, VirtualFiles, VirtualStore


class Moment(StrEnum):
    """What happens at an operation."""

    BEFORE = "before"
    """The power goes, and nothing of the operation is done."""
    DURING = "during"
    """The power goes, and the medium holds any part of it: whole sectors of a write, a rename done or not."""
    AFTER = "after"
    """The power goes when it is done and before anybody hears of it."""
    EVERYWHERE = "everywhere"
    """The power of all machines goes in the middle of it."""
    ERROR = "error"
    """It fails with an input/output error, and so does everything after it until the next start."""
    FULL = "full"
    """The disk is full from here on until the next start; only what grows fails."""


POWER_CUTS = frozenset((Moment.BEFORE, Moment.DURING, Moment.AFTER, Moment.EVERYWHERE))

GROWING = frozenset(("write", "open", "store_write"))


@dataclass(frozen=True, slots=True)
class Point:
    """The operation of a phase, counted from 0, what happens there, and which of many fates a torn medium meets."""

    number: int
    moment: Moment
    fate: int = 0

    def __str__(self) -> str:
        return f"{self.moment} operation {self.number}, fate {self.fate}"


class CrashDisk(Disk):
    """A simulated disk with a log of what was done to it since ``arm``."""

    def __init__(self) -> None:
        super().__init__()
        self.files = NamedFiles(self)
        self.store = NamedStore(self)
        self.log: list[str] = []
        self.point: Point | None = None
        self.is_hit = False

    def arm(self, point: Point | None) -> None:
        """Begin a new log; break at ``point``, counted from here."""
        self.log = []
        self.point = point
        self.is_hit = False

    def mend(self) -> None:
        """End an error or a full disk, as an operator does before the next start."""
        self.fail_in = None
        self.is_full = False

    def install_store(self, values: Mapping[bytes, bytes]) -> None:
        with self.operation("install"):
            super().install_store(values)
            self.store = NamedStore(self)
            self.store.load(values)

    def lose_power(self, random: Random) -> int:
        # A fate of the point's own: it does not depend on what else the run drew before.
        return super().lose_power(random if self.point is None else Random(str(self.point)))

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Do one operation, or break at it."""
        number = len(self.log)
        self.log.append(name)
        if self.point is None or self.point.number != number or self.is_hit:
            yield
            return
        self.is_hit = True
        match self.point.moment:
            case Moment.BEFORE:
                raise PowerCutError
            case Moment.DURING | Moment.EVERYWHERE:
                self.cut_in = 0
            case Moment.ERROR:
                self.fail_in = 0
            case Moment.FULL:
                self.is_full = True
            case Moment.AFTER:
                pass
        yield
        if self.point.moment is Moment.AFTER:
            raise PowerCutError


class NamedFiles(VirtualFiles):
    """The journal's files of a CrashDisk."""

    def __init__(self, disk: CrashDisk) -> None:
        super().__init__(disk)
        self._named = disk

    def open(self, path: Path, flags: int) -> int:
        if not flags & os.O_CREAT:
            return super().open(path, flags)
        with self._named.operation("open"):
            return super().open(path, flags)

    def write(self, descriptor: int, data: bytes) -> int:
        with self._named.operation("write"):
            return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        with self._named.operation("fsync"):
            super().fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        with self._named.operation("truncate"):
            super().truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        with self._named.operation("rename"):
            super().rename(source, target)

    def fsync_directory(self, path: Path) -> None:
        with self._named.operation("fsync_directory"):
            super().fsync_directory(path)


class NamedStore(VirtualStore):
    """The store of a CrashDisk."""

    def __init__(self, disk: CrashDisk) -> None:
        super().__init__(disk)
        self._named = disk

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        with self._named.operation("store_write"):
            super().write(puts, sync=sync)
