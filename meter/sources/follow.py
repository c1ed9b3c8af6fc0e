"""Lines of a file that others append to: followed across rotation and truncation, each line once.

What is known of the file is its open descriptor, how far it was read, and the bytes before that place: a file that
has other bytes there was truncated and written anew, though it may be longer than before.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

from meter.collect.observation import Dropped, DropReason, LinkState
from primitives.text import to_line

CHUNK_BYTES = 64 * 1024
LOOK_S = 1.0
"""A line is seen a second after it was written; slots are minutes."""
TAIL_BYTES = 64
"""More than a row of registers: two files that agree in it hold the same newest row."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What follows stands at the beginning of a file."""


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line without its end."""

    text: bytes


Step = Begun | Line | Dropped | LinkState


class LineFollower:
    """One file that is read as it grows; ``look`` yields what is new."""

    def __init__(self, path: Path, line_bytes_max: int) -> None:
        """Take the place and the longest line; nothing is opened yet."""
        self._path = path
        self._most = line_bytes_max
        self._descriptor: int | None = None
        self._position = 0
        self._tail = b""
        self._partial = bytearray()
        self._is_long = False

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def look(self) -> Iterator[Step]:
        """Yield all that was written since the last look.

        Raises:
            OSError: there is no such file, it is none that can be read twice, or it cannot be read.

        """
        if self._descriptor is None:
            yield from self._open()
        yield from self._read()
        if self._is_replaced():
            yield from self._read()  # what came between the last read and the rotation
            yield from self.finish()
            self.close()
            yield from self._open()
            yield from self._read()

    def finish(self) -> Iterator[Step]:
        """Yield the last line where it has no end; what comes later is another line."""
        if self._partial and not self._is_long:
            yield Line(bytes(self._partial))
        self._partial.clear()
        self._is_long = False

    def _open(self) -> Iterator[Step]:
        """Open what is there now, without waiting for it: opening a pipe would stand still until somebody writes."""
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file: it cannot be read from its beginning again")
        self._rewind()
        yield LinkState()
        yield Begun()

    def _rewind(self) -> None:
        self._position, self._tail = 0, b""
        self._partial.clear()
        self._is_long = False

    def _read(self) -> Iterator[Step]:
        if self._descriptor is None:
            return
        if self._is_truncated(self._descriptor):
            self._rewind()
            yield Begun()
        while data := os.pread(self._descriptor, CHUNK_BYTES, self._position):
            self._position += len(data)
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            yield from self._feed(data)

    def _is_truncated(self, descriptor: int) -> bool:
        before = os.pread(descriptor, len(self._tail), self._position - len(self._tail))
        return before != self._tail

    def _is_replaced(self) -> bool:
        """Tell whether another file stands at the path; none at all means that the next one is still to come."""
        if self._descriptor is None:
            return False
        try:
            found = os.stat(self._path)  # noqa: PTH116  # compared with an open descriptor
        except FileNotFoundError:
            return False
        own = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino)

    def _feed(self, data: bytes) -> Iterator[Step]:
        begin = 0
        while begin < len(data):
            end = data.find(b"\n", begin)
            part = data[begin:] if end < 0 else data[begin:end]
            begin = len(data) if end < 0 else end + 1
            if not self._is_long:
                self._partial += part[: self._most + 1]
                if len(self._partial) > self._most:
                    self._partial.clear()
                    self._is_long = True
                    yield Dropped(DropReason.LINE_TOO_LONG)
            if end >= 0:
                if not self._is_long:
                    yield Line(bytes(self._partial).rstrip(b"\r"))
                self._partial.clear()
                self._is_long = False


async def follow_lines(path: Path, line_bytes_max: int, *, is_followed: bool) -> AsyncGenerator[Step, None]:
    """Yield the lines of a file, and for ever those that are appended when it ``is_followed``.

    Raises:
        OSError: a file that is not followed cannot be read.

    """
    follower = LineFollower(path, line_bytes_max)
    problem = ""
    try:
        while True:
            try:
                for step in follower.look():
                    problem = ""
                    yield step
            except OSError as error:
                if not is_followed:
                    raise
                follower.close()
                if problem != (problem := to_line(error.strerror or str(error))):
                    yield LinkState(problem)
            if not is_followed:
                for step in follower.finish():
                    yield step
                return
            await asyncio.sleep(LOOK_S)
    finally:
        follower.close()
