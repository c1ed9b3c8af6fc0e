"""The cache of the store never says anything but what the store would: while it forgets, and while others write."""

import threading
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.cache import BUCKET_BYTES, ENTRY_BYTES, BucketCache, ReadCache, Unknown
from vm.state_root import BUCKETS

KEY = st.sampled_from([b"a", b"b", b"c", b"d"])
STEP = st.one_of(
    st.tuples(st.just("read"), KEY, st.none()),
    st.tuples(st.just("write"), KEY, st.one_of(st.none(), st.binary(max_size=3))),
    st.tuples(st.just("begin"), KEY, st.none()),
    st.tuples(st.just("finish"), KEY, st.none()),
)


class Reader:
    """A thread that asks the cache, then the store, then tells the cache, with anything in between."""

    def __init__(self, cache: ReadCache, store: Mapping[bytes, bytes | None], key: bytes) -> None:
        self.key = key
        self.began = cache.begin_read()
        self.value = store.get(key)

    def finish(self, cache: ReadCache) -> None:
        cache.keep(self.key, self.value, self.began)


@given(st.integers(1, 6), st.lists(STEP, max_size=60))
@settings(deadline=None)
def test_a_cache_knows_what_the_store_has_or_nothing_however_reads_and_writes_interleave(
    entries: int, steps: list[tuple[str, bytes, bytes | None]]
) -> None:
    cache = ReadCache(2 * entries * (ENTRY_BYTES + 4))
    store: dict[bytes, bytes | None] = {}
    readers: list[Reader] = []
    for step, key, value in steps:
        if step == "read":
            known = cache.get(key)
            assert known is Unknown.UNKNOWN or known == store.get(key)
            if known is Unknown.UNKNOWN:
                Reader(cache, store, key).finish(cache)
                assert cache.get(key) == store.get(key)
        elif step == "write":
            cache.begin_write()
            readers.append(Reader(cache, store, key))  # it reads while the write is under way
            store[key] = value
            readers.append(Reader(cache, store, key))
            cache.finish_write({key: value})
        elif step == "begin":
            readers.append(Reader(cache, store, key))
        elif readers:
            readers.pop(0).finish(cache)
    for key in (b"a", b"b", b"c", b"d"):
        known = cache.get(key)
        assert known is Unknown.UNKNOWN or known == store.get(key)


def test_a_cache_stays_within_its_bytes_and_forgets_what_was_not_asked_for() -> None:
    cache = ReadCache(200 * (ENTRY_BYTES + 10))
    for number in range(1000):
        cache.begin_write()
        cache.finish_write({number.to_bytes(2, "big"): bytes(8)})
        cache.get(b"\x00\x00")
    known = [number for number in range(1000) if cache.get(number.to_bytes(2, "big")) is not Unknown.UNKNOWN]
    assert 0 in known
    assert 999 in known
    assert 100 <= len(known) <= 201


def test_a_write_that_failed_leaves_what_was_known_and_adds_nothing() -> None:
    cache = ReadCache()
    cache.keep(b"a", b"1", cache.begin_read())
    cache.begin_write()
    cache.keep(b"b", b"2", cache.begin_read())
    assert cache.get(b"a") == b"1"
    assert cache.get(b"b") is Unknown.UNKNOWN


def test_threads_that_read_while_one_writes_never_see_what_was_replaced() -> None:
    cache, store = ReadCache(4 * (ENTRY_BYTES + 12)), {b"k": (0).to_bytes(8, "big")}
    stale: list[tuple[int, int]] = []
    written = [0]
    is_done = threading.Event()

    def read() -> None:
        while not is_done.is_set():
            least = written[0]
            known = cache.get(b"k")
            if known is Unknown.UNKNOWN:
                began = cache.begin_read()
                known = store[b"k"]
                cache.keep(b"k", known, began)
            assert isinstance(known, bytes)
            if int.from_bytes(known, "big") < least:
                stale.append((int.from_bytes(known, "big"), least))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 3000):
        value = number.to_bytes(8, "big")
        cache.begin_write()
        store[b"k"] = value
        cache.finish_write({b"k": value, number.to_bytes(4, "big"): value})
        written[0] = number
    is_done.set()
    for reader in readers:
        reader.join()
    assert stale == []


@given(
    st.integers(0, 200), st.lists(st.tuples(st.integers(0, BUCKETS - 1), st.binary(max_size=64)), max_size=60)
)
def test_a_bucket_cache_knows_what_was_kept_last_or_nothing_and_stays_within_its_bound(
    bytes_max: int, kept: list[tuple[int, bytes]]
) -> None:
    cache = BucketCache(bytes_max)
    latest: dict[int, bytes] = {}
    for index, content in kept:
        cache.keep(index, content)
        latest[index] = content
        known = {each: cache.get(each) for each in latest}
        assert all(value in (None, latest[each]) for each, value in known.items())
        assert sum(len(value) + BUCKET_BYTES for value in known.values() if value is not None) <= bytes_max


def test_a_bucket_cache_within_its_bound_forgets_nothing() -> None:
    cache = BucketCache(100 * (32 + BUCKET_BYTES))
    for index in range(100):
        cache.keep(7 * index, bytes([index]) * 32)
    assert all(cache.get(7 * index) == bytes([index]) * 32 for index in range(100))
