"""State as the ledger sees it: a mapping from bytes to bytes, and an overlay that collects one block's writes."""

from collections.abc import Iterator
from typing import Protocol


class StateReader(Protocol):
    """Where values are read; the store implements it, and so does any overlay."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        ...

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all keys with ``prefix`` in byte order."""
        ...
