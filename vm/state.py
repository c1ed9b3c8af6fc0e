"""State as the ledger sees it: a mapping from bytes to bytes, and an overlay that collects one block's writes."""

import heapq
from collections.abc import Iterator
from typing import Protocol, TypeVar

from primitives.encoding import Struct, decode_trusted, encode

Record = TypeVar("Record", bound=Struct)


class StateReader(Protocol):
    """Where values are read; the store implements it, and so does a snapshot of it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        ...

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all keys with ``prefix`` in byte order."""
        ...


def read_record(state: StateReader, key: bytes, expected: type[Record]) -> Record | None:
    """Return the record stored under ``key``, or None."""
    data = state.get(key)
    return None if data is None else decode_trusted(data, expected)


class Overlay:
    """A block's view of the state: records written so far over the parent's state, undone call by call.

    Records are kept as objects and encoded once, when the block is finished.
    """

    def __init__(self, base: StateReader) -> None:
        """Start without writes."""
        self._base = base
        self._stored: dict[bytes, bytes | None] = {}
        self._records: dict[bytes, Struct | None] = {}
        self._written: dict[bytes, None] = {}
        self._undo: list[tuple[bytes, Struct | None, bool]] = []

    def read(self, key: bytes, expected: type[Record]) -> Record | None:
        """Return the record under ``key`` as this block sees it."""
        known = self._records.get(key, _UNREAD)
        if known is not _UNREAD:
            return known  # type: ignore[return-value]  # one key always holds one type
        stored = self._load(key)
        record = None if stored is None else decode_trusted(stored, expected)
        self._records[key] = record
        return record

    def write(self, key: bytes, record: Struct | None) -> None:
        """Write a record, or remove it with None."""
        self._undo.append((key, self._records.get(key, _UNREAD), key in self._written))
        self._records[key] = record
        self._written[key] = None

    def iterate(self, prefix: bytes, expected: type[Record]) -> Iterator[tuple[bytes, Record]]:
        """Yield (key, record) of all keys with ``prefix`` in byte order, the writes before the call included."""
        stored = (key for key, value in self._base.iterate(prefix) if self._keep(key, value))
        written = sorted(key for key in self._written if key.startswith(prefix))
        previous = None
        for key in heapq.merge(stored, written):
            record = None if key == previous else self.read(key, expected)
            previous = key
            if record is not None:
                yield key, record

    def mark(self) -> None:
        """Forget how to undo: what was written so far stays."""
        self._undo.clear()

    def rollback(self) -> None:
        """Undo every write since the last mark."""
        for key, record, was_written in reversed(self._undo):
            if record is _UNREAD:
                del self._records[key]
            else:
                self._records[key] = record
            if not was_written:
                del self._written[key]
        self._undo.clear()

    def collect_changes(self) -> dict[bytes, tuple[bytes | None, bytes | None]]:
        """Return (stored, new) values of the keys that the block changes, sorted by key; None is absent."""
        changes: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        for key in sorted(self._written):
            record = self._records[key]
            new = None if record is None else encode(record)
            old = self._load(key)
            if old != new:
                changes[key] = (old, new)
        return changes

    def _load(self, key: bytes) -> bytes | None:
        """Return what the base has under ``key``; it is asked once."""
        if key not in self._stored:
            self._stored[key] = self._base.get(key)
        return self._stored[key]

    def _keep(self, key: bytes, value: bytes) -> bool:
        self._stored.setdefault(key, value)
        return True


class _Unread(Struct, frozen=True):
    """Stands for a record that nobody has read yet."""


_UNREAD = _Unread()
