"""The journal: one append-only file that holds every promise of a replica until a certificate makes it moot.

The file begins with a magic word, a version and the genesis hash. A record is its length (4 bytes), its copy number (1), a
checksum (16, BLAKE2b over its offset in the file and all of it) and its content. Records whose loss could make the replica
contradict itself are written twice in a row, as copies 1 and 2; others once, as copy 0. At opening:

- what follows the last valid record, if nothing valid follows it, is a torn tail: it was never synced, so never spoken
  of, and is cut;
- a damaged copy beside a valid one is healed by it;
- anything else is damage in the middle: refused, with the offset and what to do.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.storage.files import FileOperations, SystemFiles
from primitives.hashing import HashDomain, compute_hash
from primitives.ids import Digest

MAGIC = b"gridbft journal\x01"
HEADER_BYTES = len(MAGIC) + 32
LENGTH_BYTES = 4
COPY_BYTES = 1
CHECKSUM_BYTES = 16
PREFIX_BYTES = LENGTH_BYTES + COPY_BYTES + CHECKSUM_BYTES
ONLY, FIRST, SECOND = 0, 1, 2
RECORD_BYTES_MAX = 8 * 1024 * 1024
"""A new-view of 128 validators takes 3 MB; a longer length is damage."""


class JournalError(Exception):
    """The journal cannot be used; one line says why and what to do."""


class JournalLocked(JournalError):  # noqa: N818  # it reads as what happened
    """Another process uses the home."""


class JournalCorrupt(JournalError):  # noqa: N818  # it reads as what happened
    """The journal is damaged in the middle, or of another network."""


class JournalFailed(JournalError):  # noqa: N818  # it reads as what happened
    """The disk refused: nothing after the last sync is durable, and the process must stop."""


@contextmanager
def open_journal(
    path: Path, genesis_hash: Digest, files: FileOperations | None = None
) -> Iterator["Journal"]:
    """Give the journal at ``path``, made when it is new, with its records read and its torn tail cut.

    Raises:
        JournalError: used by another process, damaged, of another network, or the disk refuses.

    """
    files = files or SystemFiles()
    lock = _lock(path.with_suffix(".lock"))
    try:
        journal = Journal(path, genesis_hash, files)
        try:
            journal.load()
            yield journal
        finally:
            journal.close()
    finally:
        os.close(lock)


class Journal:
    """An open journal: append, then sync. After a failure it refuses everything."""

    def __init__(self, path: Path, genesis_hash: Digest, files: FileOperations) -> None:
        self.records: list[bytes] = []
        self.size = 0
        self._path = path
        self._genesis_hash = genesis_hash
        self._files = files
        self._descriptor: int | None = None
        self._waiting = bytearray()
        self._failed = False

    def load(self) -> None:
        """Read what is there; make the file when it is new."""
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            if len(data) < HEADER_BYTES and (MAGIC + self._genesis_hash).startswith(data):
                self._replace(b"")
                return
            self._check_header(data)
            self.records, end = parse_records(data, self._path)
            self._descriptor = self._files.open(self._path, os.O_WRONLY | os.O_APPEND)
            if end < len(data):
                self._files.truncate(self._descriptor, end)
                self._files.fsync(self._descriptor)
            self.size = end
        except OSError as error:
            raise JournalFailed(f"{self._path}: {error.strerror}") from None

    def append(self, record: bytes, *, twice: bool) -> None:
        """Add a record to what the next sync writes."""
        self._waiting += frame_record(record, self.size + len(self._waiting), twice=twice)

    def sync(self) -> None:
        """Write what was appended and make it durable.

        Raises:
            JournalFailed: it is not durable, or an earlier failure was not.

        """
        if self._failed or self._descriptor is None:
            raise JournalFailed(f"{self._path}: an earlier write failed; start the node again")
        data = bytes(self._waiting)
        self._waiting.clear()
        if not data:
            return
        try:
            self._write_all(self._descriptor, data)
            self._files.fsync(self._descriptor)
        except OSError as error:
            self._failed = True
            raise JournalFailed(
                f"{self._path}: {error.strerror}; nothing that was not durable was said"
            ) from None
        self.size += len(data)

    def rewrite(self, records: Iterable[tuple[bytes, bool]]) -> None:
        """Replace the file by one with these (record, twice), at once or not at all.

        Raises:
            JournalFailed: the disk refused.

        """
        if self._failed:
            raise JournalFailed(f"{self._path}: an earlier write failed; start the node again")
        body = bytearray()
        for record, twice in records:
            body += frame_record(record, HEADER_BYTES + len(body), twice=twice)
        try:
            self._replace(bytes(body))
        except OSError as error:
            self._failed = True
            raise JournalFailed(f"{self._path}: {error.strerror}") from None
        self._waiting.clear()

    def close(self) -> None:
        """Close the file; what was not synced is gone."""
        if self._descriptor is not None:
            self._files.close(self._descriptor)
            self._descriptor = None

    def _replace(self, body: bytes) -> None:
        new = self._path.with_suffix(".new")
        descriptor = self._files.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self._write_all(descriptor, MAGIC + self._genesis_hash + body)
            self._files.fsync(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.rename(new, self._path)
        self._files.fsync_directory(self._path.parent)
        self.close()
        self._descriptor = self._files.open(self._path, os.O_WRONLY | os.O_APPEND)
        self.size = HEADER_BYTES + len(body)

    def _write_all(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._files.write(descriptor, bytes(view)) :]

    def _check_header(self, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise JournalCorrupt(f"{self._path} is not a journal of this version; restore it from a backup")
        if data[len(MAGIC) : HEADER_BYTES] != self._genesis_hash:
            raise JournalCorrupt(
                f"{self._path} belongs to another network: use another home for each network"
            )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A valid record as it was found."""

    copy: int
    content: bytes


def frame_record(record: bytes, offset: int, *, twice: bool) -> bytes:
    """Return a record as it stands in the file from ``offset``, in one copy or two."""
    if not twice:
        return _frame_copy(record, offset, ONLY)
    first = _frame_copy(record, offset, FIRST)
    return first + _frame_copy(record, offset + len(first), SECOND)


def parse_records(data: bytes, path: Path) -> tuple[list[bytes], int]:
    """Return the records of a journal's bytes, copies counted once, and where the valid part ends.

    Raises:
        JournalCorrupt: damage that is neither a torn tail nor healed by a copy.

    """
    records: list[bytes] = []
    position = end = HEADER_BYTES
    damaged_at: int | None = None
    last: _Stored | None = None
    while position < len(data):
        stored = _read_copy(data, position)
        if stored is None:
            damaged_at = position if damaged_at is None else damaged_at
            position += 1
            continue
        if damaged_at is not None and not _is_healed(position - damaged_at, last, stored):
            raise JournalCorrupt(
                f"{path} is damaged at byte {damaged_at} and has records after it: this validator must not vote from"
                " it; restore the file from a backup, or replace the validator's key"
            )
        if not (stored.copy == SECOND and last is not None and last.copy == FIRST and damaged_at is None):
            records.append(stored.content)
        damaged_at = None
        last = stored
        position += PREFIX_BYTES + len(stored.content)
        end = position
    return records, end


def _is_healed(gap: int, before: _Stored | None, after: _Stored) -> bool:
    """Tell whether damaged bytes are exactly one lost copy (or a second and a first) of records that are here."""
    lost_second = 0
    if before is not None and before.copy == FIRST:
        lost_second = PREFIX_BYTES + len(before.content)
    lost_first = PREFIX_BYTES + len(after.content) if after.copy == SECOND else 0
    return gap > 0 and gap == lost_second + lost_first


def _frame_copy(record: bytes, offset: int, copy: int) -> bytes:
    head = len(record).to_bytes(LENGTH_BYTES, "big") + bytes((copy,))
    return head + _compute_checksum(offset, head, record) + record


def _compute_checksum(offset: int, head: bytes, record: bytes) -> bytes:
    return compute_hash(HashDomain.JOURNAL, offset.to_bytes(8, "big") + head + record)[:CHECKSUM_BYTES]


def _read_copy(data: bytes, position: int) -> _Stored | None:
    start = position + PREFIX_BYTES
    if start > len(data):
        return None
    head = data[position : position + LENGTH_BYTES + COPY_BYTES]
    length = int.from_bytes(head[:LENGTH_BYTES], "big")
    if length > min(RECORD_BYTES_MAX, len(data) - start) or head[-1] > SECOND:
        return None
    record = data[start : start + length]
    checksum = data[position + len(head) : start]
    return _Stored(head[-1], record) if checksum == _compute_checksum(position, head, record) else None


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalFailed(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalLocked(
            f"{path.parent} is used by another process: one home directory serves one node"
        ) from None
    return descriptor
