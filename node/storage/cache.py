"""The values of a store that were read or written lately, so that a block finds what the one before it touched.

Two generations: what is asked for moves to the young one; when that is full it becomes the old one, and the old one is
forgotten. The writer says when a write begins and what it changed; a value that a reader fetched while a write was
under way is not kept, so that no thread can bring back what another has just replaced.
"""

import threading
from collections.abc import Mapping
from enum import Enum

from vm.state_root import BUCKETS

BYTES_MAX = 8 * 1024 * 1024
"""Both generations together: the accounts, meters and newest registers of 10,000 homes."""

BUCKETS_BYTES_MAX = 16 * 1024 * 1024
"""All buckets of a state of 400,000 keys; beyond it those stay that are not in the hand's way."""

BUCKET_BYTES = 33
"""What a bytes object takes beside its content."""

ENTRY_BYTES = 160
"""What an entry takes beside key and value: two bytes objects and its place in a dictionary."""


class Unknown(Enum):
    """Says that the cache does not know; a value of None means that the store has none."""

    UNKNOWN = 0


class ReadCache:
    """Remembers values by key; may be read from any thread, one thread writes at a time."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._generation_max = bytes_max // 2
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._size = 0
        self._writes = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | Unknown | None:
        """Return the value of ``key``, None when the store has none, or that it is not known here."""
        value = self._young.get(key, Unknown.UNKNOWN)
        if value is not Unknown.UNKNOWN:
            return value
        value = self._old.get(key, Unknown.UNKNOWN)
        if value is not Unknown.UNKNOWN:
            with self._lock:
                if key in self._old:  # a write may have replaced it meanwhile
                    self._keep(key, self._old.pop(key))
        return value

    def begin_read(self) -> int:
        """Return what ``keep`` must be told after the store was read."""
        return self._writes

    def keep(self, key: bytes, value: bytes | None, began: int) -> None:
        """Remember what the store had, unless a write began or ended since ``began``, or was under way then."""
        with self._lock:
            if began == self._writes and not began % 2:
                self._keep(key, value)

    def begin_write(self) -> None:
        """Take note that the store is about to change."""
        with self._lock:
            self._writes += 1

    def finish_write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Remember what a write that succeeded has changed; one that failed is never finished, nor is any after it."""
        with self._lock:
            for key, value in changes.items():
                self._old.pop(key, None)
                self._keep(key, value)
            self._writes += 1

    def _keep(self, key: bytes, value: bytes | None) -> None:
        self._size += len(key) + (0 if value is None else len(value)) + ENTRY_BYTES
        self._young[key] = value
        if self._size > self._generation_max:
            self._old, self._young, self._size = self._young, {}, 0


class BucketCache:
    """The buckets of the newest state tree, by index; for the one thread that executes blocks and writes them.

    A block's readings fill one region at random, and the next instant another: no order of use says which bucket comes
    next. Beyond the bound a hand goes round and forgets what it comes to.
    """

    def __init__(self, bytes_max: int = BUCKETS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._contents: list[bytes | None] = [None] * BUCKETS
        self._size = 0
        self._hand = 0

    def get(self, index: int) -> bytes | None:
        """Return a bucket's content, empty when the store has none; None when it is not known here."""
        return self._contents[index]

    def keep(self, index: int, content: bytes) -> None:
        """Remember what the store has."""
        self._forget(index)
        self._contents[index] = content
        self._size += len(content) + BUCKET_BYTES
        while self._size > self._bytes_max:
            self._forget(self._hand)
            self._hand = (self._hand + 1) % BUCKETS

    def _forget(self, index: int) -> None:
        known = self._contents[index]
        if known is not None:
            self._contents[index] = None
            self._size -= len(known) + BUCKET_BYTES
