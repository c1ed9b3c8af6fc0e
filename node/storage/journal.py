"""The journal: one append-only file that holds every promise of a replica until a certificate makes it moot.

It is also the sign-state: a vote leaves only after ``sync`` returned. ``journal_frames`` says how the file is laid out
and what is believed of it after a crash. At opening a torn tail is cut and a damaged copy is replaced by its intact
twin; anything else is refused, because a validator that forgot a promise may break it.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.storage.files import FileOperations, SystemFiles
from node.storage.journal_frames import (
    RECORD_BYTES_MAX,
    SALT_BYTES,
    VERSION,
    Damage,
    FileHeader,
    build_group,
    build_header,
    read_header,
    scan,
)
from primitives.ids import Digest

JOURNAL_BYTES_MAX = 256 * 1024 * 1024
"""The host rewrites it at a few MB; a larger one would not fit the memory of a small node at its next start."""

PENDING_RECORDS_MAX = 10_000
"""One step appends a batch and a few votes for each open sequence; more waits only when nobody syncs."""


@dataclass(frozen=True, slots=True, order=True)
class JournalMark:
    """How far a journal had come: which file of its home, and how many records of it were durable.

    Whoever remembers one knows later whether a journal is an older copy, or lost what had been durable.
    """

    generation: int
    records: int

    def encode(self) -> bytes:
        """Return the 16 bytes that a store keeps of it."""
        return self.generation.to_bytes(8, "big") + self.records.to_bytes(8, "big")


class JournalError(Exception):
    """The journal cannot be used; one line says why and what to do."""


class JournalLocked(JournalError):  # noqa: N818  # it reads as what happened
    """Another process uses the home."""


class JournalCorrupt(JournalError):  # noqa: N818  # it reads as what happened
    """The journal is damaged beyond a torn tail."""


class JournalOfOtherVersion(JournalCorrupt):  # it reads as what happened
    """The journal was written by another program; that one can read it."""


class JournalOfOtherChain(JournalError):  # noqa: N818  # it reads as what happened
    """The journal holds promises given on another network."""


class JournalFailed(JournalError):  # noqa: N818  # it reads as what happened
    """The disk refused: nothing after the last sync is durable, and the process must stop."""


@contextmanager
def open_journal(
    path: Path, genesis_hash: Digest, files: FileOperations | None = None
) -> Iterator["Journal"]:
    """Give the journal at ``path``, made when it is new, with its records read, healed and its torn tail cut.

    Raises:
        JournalLocked: in use.
        JournalCorrupt: damaged beyond a torn tail.
        JournalOfOtherVersion: of a version that this program does not know.
        JournalOfOtherChain: bound to another genesis.
        JournalFailed: the disk refuses.

    """
    files = files or SystemFiles()
    lock = _lock(files, path.with_suffix(".lock"))
    try:
        journal = Journal(path, genesis_hash, files)
        try:
            journal.load()
            yield journal
        finally:
            journal.close()
    finally:
        files.close(lock)


def begin_journal(
    path: Path,
    genesis_hash: Digest,
    records: Iterable[bytes],
    *,
    generation: int,
    replaced: Path | None = None,
    files: FileOperations | None = None,
) -> None:
    """Make a journal that begins with ``records``, each written twice; one that is there becomes ``replaced`` first.

    A crash in between leaves no journal, and a chain without one is refused until this is done again.

    Raises:
        JournalLocked: in use.
        JournalFailed: the disk refuses.
        ValueError: there is a journal and no name for it: a bug of the caller.

    """
    files = files or SystemFiles()
    lock = _lock(files, path.with_suffix(".lock"))
    try:
        Journal(path, genesis_hash, files).begin(records, generation=generation, replaced=replaced)
    finally:
        files.close(lock)


class Journal:
    """An open journal: append, then sync. After a failure it refuses everything until it is opened again.

    ``append`` may run in one thread while ``sync`` runs in another; ``rewrite`` runs alone.
    """

    def __init__(self, path: Path, genesis_hash: Digest, files: FileOperations) -> None:
        self.records: list[bytes] = []
        """What was found at opening, in order; whoever has replayed it may clear it."""
        self.size = 0
        """Bytes of the file."""
        self.is_new = False
        """Whether ``load`` found no file: this replica cannot tell what it has signed before."""
        self.mark = JournalMark(0, 0)
        """How far it is durable; any thread may read it."""
        self._path = path
        self._files = files
        self._header = FileHeader(VERSION, genesis_hash, 0, b"")
        self._descriptor: int | None = None
        self._next_number = 0
        self._pending: deque[tuple[bytes, bool]] = deque()
        self._failure: str | None = "it was not loaded"

    def load(self) -> None:
        """Read what is there; make the file when it is new.

        Raises:
            JournalError: as ``open_journal``.

        """
        try:
            data = self._files.read(self._path, JOURNAL_BYTES_MAX + 1)
            if data is None:
                self.is_new = True
                self._replace([], generation=1)
            else:
                self._adopt(data)
        except OSError as error:
            raise self._build_failure(error) from None
        self._failure = None

    def begin(self, records: Iterable[bytes], *, generation: int, replaced: Path | None) -> None:
        """Make the file with these records, each written twice; one that is there becomes ``replaced`` first.

        Raises:
            JournalFailed: the disk refuses.
            ValueError: there is a file and no name for it: a bug of the caller.

        """
        try:
            if self._files.read(self._path, 1) is not None:
                if replaced is None:
                    raise ValueError(f"{self._path} is there")
                self._files.rename(self._path, replaced)
                self._files.fsync_directory(self._path.parent)
            self._replace([(record, True) for record in records], generation=generation)
        except OSError as error:
            raise self._build_failure(error) from None
        finally:
            self.close()

    def append(self, record: bytes, *, twice: bool) -> None:
        """Add a record to what the next sync makes durable; ``twice`` for those whose loss could break a promise.

        Raises:
            ValueError: the record is too long, or nobody syncs: a bug of the caller.

        """
        if len(record) > RECORD_BYTES_MAX:
            raise ValueError(f"a journal record has at most {RECORD_BYTES_MAX} bytes, this one {len(record)}")
        if len(self._pending) >= PENDING_RECORDS_MAX:
            raise ValueError(f"{PENDING_RECORDS_MAX} journal records wait for a sync")
        self._pending.append((bytes(record), twice))

    def sync(self) -> None:
        """Write what was appended and make it durable.

        Raises:
            JournalFailed: it is not durable, now or since an earlier failure; the process must stop.

        """
        descriptor = self._get_usable()
        records = []
        while self._pending:
            records.append(self._pending.popleft())
        if not records:
            return
        group = build_group(self._header, self.size, self._next_number, records)
        if self.size + len(group) > JOURNAL_BYTES_MAX:
            self._failure = f"it would grow beyond {JOURNAL_BYTES_MAX} bytes and was never rewritten"
            raise self._build_refusal()
        self._failure = "a write was interrupted"
        try:
            self._write_all(descriptor, group)
            self._files.fsync(descriptor)
        except OSError as error:
            # What the medium holds is unknown now, and a second fsync may report success for lost pages.
            raise self._build_failure(error) from None
        self._failure = None
        self.size += len(group)
        self._next_number += len(records)
        self.mark = JournalMark(self._header.generation, self._next_number)

    def rewrite(self, records: Iterable[tuple[bytes, bool]]) -> None:
        """Replace the file by one with these (record, twice), at once or not at all.

        Raises:
            JournalFailed: the disk refused; the process must stop.
            ValueError: appended records were not synced: they would be lost, a bug of the caller.

        """
        self._get_usable()
        if self._pending:
            raise ValueError("sync the journal before it is rewritten")
        kept = list(records)
        self._failure = "a write was interrupted"
        try:
            self._replace(kept, generation=self._header.generation + 1)
        except OSError as error:
            raise self._build_failure(error) from None
        self._failure = None

    def close(self) -> None:
        """Close the file; what was not synced is gone, and was never spoken of."""
        self._failure = self._failure or "it is closed"
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._files.close(descriptor)

    def _adopt(self, data: bytes) -> None:
        """Take over an existing file: check, then cut, heal or leave it."""
        if len(data) > JOURNAL_BYTES_MAX:
            raise JournalCorrupt(f"{self._path}: longer than {JOURNAL_BYTES_MAX} bytes; {_ADVICE}")
        try:
            header = read_header(data)
            if header.version != VERSION:
                raise JournalOfOtherVersion(
                    f"{self._path}: written as version {header.version}, this program knows {VERSION};"
                    " start the program that wrote it"
                )
            if header.genesis_hash != self._header.genesis_hash:
                raise JournalOfOtherChain(
                    f"{self._path}: belongs to the network with genesis {header.genesis_hash.hex()[:16]};"
                    " use another home for each network"
                )
            found = scan(data, header)
        except Damage as damage:
            raise JournalCorrupt(f"{self._path}: {damage}; {_ADVICE}") from None
        self._header = header
        if found.is_degraded:
            self._replace(found.records, generation=header.generation)  # the same records, so the same mark
        else:
            self._descriptor = self._files.open(self._path, os.O_WRONLY | os.O_APPEND)
            self.size, self._next_number = len(data), len(found.records)
            if found.is_torn:
                self._files.truncate(self._descriptor, found.end)
                self.size = found.end
            # A process that was killed, or whose sync failed, may have left bytes that are in memory only: what is
            # read here is restored as promises, and said again, so it must be on the medium first.
            self._files.fsync(self._descriptor)
            self._files.fsync_directory(self._path.parent)
        self.records = [record for record, _ in found.records]
        self.mark = JournalMark(self._header.generation, self._next_number)

    def _replace(self, records: Sequence[tuple[bytes, bool]], *, generation: int) -> None:
        """Write a new file beside the old one and let it take its place; a crash leaves one of them whole."""
        header = FileHeader(VERSION, self._header.genesis_hash, generation, os.urandom(SALT_BYTES))
        data = build_header(header)
        if records:
            data += build_group(header, len(data), 0, records)
        new = self._path.with_suffix(".new")
        descriptor = self._files.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
        try:
            self._write_all(descriptor, data)
            self._files.fsync(descriptor)
            self._files.rename(new, self._path)
            self._files.fsync_directory(self._path.parent)
        except BaseException:
            self._files.close(descriptor)
            raise
        if self._descriptor is not None:
            self._files.close(self._descriptor)
        self._descriptor, self._header = descriptor, header
        self.size, self._next_number = len(data), len(records)
        self.mark = JournalMark(generation, len(records))

    def _write_all(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._files.write(descriptor, bytes(view)) :]

    def _get_usable(self) -> int:
        if self._failure is not None or self._descriptor is None:
            raise self._build_refusal()
        return self._descriptor

    def _build_refusal(self) -> JournalFailed:
        return JournalFailed(f"{self._path}: {self._failure}; start the node again, nothing is lost")

    def _build_failure(self, error: OSError) -> JournalFailed:
        self._failure = f"a write failed: {error.strerror or error}"
        return JournalFailed(
            f"{self._path}: {error.strerror or error}; mend the disk or free space, then start again:"
            " nothing was said that is not durable"
        )


_ADVICE = (
    "this validator must not vote from it, and neither from an older copy, nor from none: run `gridbft recover`, which"
    " keeps the file and lets it vote again when all that it may have signed is past"
)


def _lock(files: FileOperations, path: Path) -> int:
    try:
        return files.lock(path)
    except BlockingIOError:
        raise JournalLocked(
            f"{path.parent}: used by another process; one home directory serves one node"
        ) from None
    except OSError as error:
        raise JournalFailed(
            f"{path}: {error.strerror or error}; the node's user must be able to write there"
        ) from None
