"""What any store promises, asked of both."""

import itertools

import pytest

from node.storage.store import SNAPSHOTS_MAX, Store, StoreFailed

KEYS = (
    b"",
    b"a",
    b"a\x00",
    b"a\xff",
    b"a\xff\xff",
    b"b",
    b"b1",
    b"b2",
    b"\xff",
    b"\xff\xff",
    b"\xff\xff\x01",
)
PREFIXES = (b"", b"a", b"a\xff", b"b", b"c", b"\xff", b"\xff\xff")
STARTS = (None, *KEYS, b"a\x01", b"zz")


@pytest.fixture
def filled(store: Store) -> Store:
    store.write({key: b"value of " + key for key in KEYS}, sync=True)
    return store


def test_what_was_written_is_read_and_what_was_deleted_is_not(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"2"}, sync=True)
    store.write({b"a": None, b"b": b"3", b"absent": None, b"empty": b""}, sync=False)
    assert [store.get(key) for key in (b"a", b"b", b"absent", b"empty")] == [None, b"3", None, b""]


@pytest.mark.parametrize("reverse", [False, True])
def test_an_iteration_gives_exactly_the_keys_of_its_range_in_byte_order(filled: Store, reverse: bool) -> None:
    for prefix, start in itertools.product(PREFIXES, STARTS):
        expected = sorted(
            (key for key in KEYS if key.startswith(prefix) and is_after(key, start, reverse=reverse)),
            reverse=reverse,
        )
        found = list(filled.iterate(prefix, start=start, reverse=reverse))
        assert found == [(key, b"value of " + key) for key in expected], (prefix, start)


def is_after(key: bytes, start: bytes | None, *, reverse: bool) -> bool:
    return start is None or (key <= start if reverse else key >= start)


def test_an_iteration_shows_the_moment_of_its_call(filled: Store) -> None:
    pairs = filled.iterate(b"b")
    filled.write({b"b1": b"other", b"b11": b"new", b"b2": None}, sync=False)
    assert [key for key, _ in pairs] == [b"b", b"b1", b"b2"]


def test_an_iteration_that_is_left_early_does_no_harm(filled: Store) -> None:
    assert next(filled.iterate(b""))[0] == b""
    filled.write({b"z": b"1"}, sync=False)
    assert filled.get(b"z") == b"1"


def test_a_snapshot_keeps_its_moment_whatever_is_written_later(filled: Store) -> None:
    snapshot = filled.snapshot()
    later = None
    for number in range(3):
        filled.write({b"a": b"%d" % number, b"b": None, b"new": b"1"}, sync=False)
        later = later or filled.snapshot()
    assert snapshot.get(b"a") == b"value of a"
    assert snapshot.get(b"new") is None
    assert [key for key, _ in snapshot.iterate(b"")] == sorted(KEYS)
    assert [key for key, _ in snapshot.iterate(b"b", start=b"b1", reverse=True)] == [b"b1", b"b"]
    assert later is not None
    assert (later.get(b"a"), later.get(b"b")) == (b"0", None)
    assert filled.get(b"a") == b"2"
    snapshot.close()
    later.close()


def test_a_closed_snapshot_refuses_by_name_and_closes_twice(filled: Store) -> None:
    snapshot = filled.snapshot()
    snapshot.close()
    snapshot.close()
    with pytest.raises(StoreFailed):
        snapshot.get(b"a")
    with pytest.raises(StoreFailed):
        list(snapshot.iterate(b"a"))


def test_snapshots_are_bounded_and_a_closed_one_makes_room(store: Store) -> None:
    snapshots = [store.snapshot() for _ in range(SNAPSHOTS_MAX)]
    with pytest.raises(StoreFailed, match="snapshots are open"):
        store.snapshot()
    snapshots.pop().close()
    store.snapshot().close()
    for snapshot in snapshots:
        snapshot.close()


def test_the_size_grows_with_what_is_written(store: Store) -> None:
    before = store.estimate_size()
    store.write({b"key": b"x" * 100_000}, sync=True)
    assert store.estimate_size() >= before + 100_000
