"""The port to a key-value store: what the chain needs of a database, and the names of its failures.

Keys are bytes in byte order; a write is atomic. Every method may be called from any thread.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol


class StoreError(Exception):
    """The store cannot go on; one line says why and what to do. Each cause has its own class below."""


class StoreLocked(StoreError):  # noqa: N818  # it reads as what happened
    """Another process has the same directory open."""


class StoreFull(StoreError):  # noqa: N818  # it reads as what happened
    """The disk, the quota or the file size limit is used up; nothing of the refused write was kept."""


class StoreCorrupt(StoreError):  # noqa: N818  # it reads as what happened
    """What is on disk is not what was written."""


class StoreFailed(StoreError):  # noqa: N818  # it reads as what happened
    """The system refused an operation, an earlier write failed, or the store was used after it was closed."""


class StoreReader(Protocol):
    """Reads of one moment (a snapshot) or of now (a store)."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        ...

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of the keys with ``prefix`` in byte order, as they are when this is called.

        ``start`` is a whole key, included: forward the first one that may come, in reverse the last one.
        """
        ...


class StoreSnapshot(StoreReader, Protocol):
    """The store as it was at one moment; it keeps old values on disk until it is closed."""

    def close(self) -> None:
        """Give the moment up; reading afterwards raises StoreFailed. Closing twice is harmless."""
        ...


class Store(StoreReader, Protocol):
    """A durable, ordered mapping from bytes to bytes."""

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        """Apply all of ``puts`` or nothing; None deletes. With ``sync`` it is on the medium when this returns.

        Raises:
            StoreError: not written. The store accepts no further write: what the medium holds is decided by
                the next opening.

        """
        ...

    def snapshot(self) -> StoreSnapshot:
        """Return the store as it is now.

        Raises:
            StoreFailed: SNAPSHOTS_MAX are open.

        """
        ...

    def compact(self, first: bytes, last: bytes) -> None:
        """Give back the space that removed keys from ``first`` to ``last`` still take; may take long."""
        ...

    def estimate_size(self) -> int:
        """Return about how many bytes the store takes on its medium."""
        ...


SNAPSHOTS_MAX = 1024
"""Two for each of the 512 connections that the API accepts by default; more were forgotten."""


def compute_prefix_end(prefix: bytes) -> bytes | None:
    """Return the smallest key above all keys with ``prefix``, or None when there is no such key."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None


def compute_range(
    prefix: bytes, start: bytes | None, *, reverse: bool
) -> tuple[bytes | None, bytes | None, bool]:
    """Return (lowest key, included; highest key; whether that is included) of an iteration; None is no bound."""
    low: bytes | None = prefix or None
    high = compute_prefix_end(prefix)
    if start is None:
        return low, high, False
    if not reverse:
        return max(prefix, start), high, False
    if high is None or start < high:
        return low, start, True
    return low, high, False
