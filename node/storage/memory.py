"""A store in memory, for the simulator and for notebooks: it behaves as LevelDB does and keeps nothing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

from node.storage.store import SNAPSHOTS_MAX, StoreFailed, compute_range


class _Content:
    """Keys in order, with their values. It is never changed while a snapshot shares it."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: list[bytes], values: dict[bytes, bytes]) -> None:
        self.keys = keys
        self.values = values

    def iterate(self, prefix: bytes, start: bytes | None, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        low, high, is_high_included = compute_range(prefix, start, reverse=reverse)
        first = 0 if low is None else bisect_left(self.keys, low)
        find_end = bisect_right if is_high_included else bisect_left
        end = len(self.keys) if high is None else find_end(self.keys, high)
        pairs = [(key, self.values[key]) for key in self.keys[first:end]]
        return iter(pairs[::-1] if reverse else pairs)


class MemorySnapshot:
    """A MemoryStore as it was at one moment."""

    def __init__(self, store: "MemoryStore", content: _Content) -> None:
        self._store = store
        self._content: _Content | None = content

    def get(self, key: bytes) -> bytes | None:
        return self._get_content().values.get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._get_content().iterate(prefix, start, reverse=reverse)

    def close(self) -> None:
        if self._content is not None:
            self._content = None
            self._store.forget(self)

    def _get_content(self) -> _Content:
        if self._content is None:
            raise StoreFailed("the snapshot is closed; take another one")
        return self._content


class MemoryStore:
    """A Store whose content ends with the process. Snapshots share the content until the next write copies it."""

    def __init__(self) -> None:
        self._content = _Content([], {})
        self._is_shared = False
        self._snapshots: set[MemorySnapshot] = set()

    def get(self, key: bytes) -> bytes | None:
        return self._content.values.get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._content.iterate(prefix, start, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        del sync  # there is no medium
        keys, values = self._content.keys, self._content.values
        if self._is_shared:
            values = dict(values)
        is_any_removed = False
        added = []
        for key, value in puts.items():
            if value is None:
                is_any_removed |= values.pop(key, None) is not None
                continue
            if key not in values:
                added.append(key)
            values[key] = bytes(value)
        if is_any_removed:
            keys = [key for key in keys if key in values]
        if added:
            keys = sorted([*keys, *added])  # two sorted runs and a few: close to linear
        self._content = _Content(keys, values)
        self._is_shared = False

    def snapshot(self) -> MemorySnapshot:
        if len(self._snapshots) >= SNAPSHOTS_MAX:
            raise StoreFailed(f"{SNAPSHOTS_MAX} snapshots are open; close those that are no longer read")
        snapshot = MemorySnapshot(self, self._content)
        self._snapshots.add(snapshot)
        self._is_shared = True
        return snapshot

    def forget(self, snapshot: MemorySnapshot) -> None:
        """Take note that a snapshot was closed."""
        self._snapshots.discard(snapshot)

    def compact(self, first: bytes, last: bytes) -> None:
        del first, last  # removed keys take no space

    def estimate_size(self) -> int:
        return sum(len(key) + len(value) for key, value in self._content.values.items())
