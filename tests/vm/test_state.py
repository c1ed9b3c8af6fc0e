"""A block's view of the state: what it wrote it reads, what was refused it forgets, and nothing reaches the base."""

from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.encoding import Struct, encode
from tests.vm.ledger import MemoryState
from vm.state import Overlay, read_record


class Number(Struct, frozen=True):
    """A record to read and write."""

    value: int


KEYS = [b"a", b"a\x00", b"ab", b"ac", b"b", b""]
KEY = st.sampled_from(KEYS)
STEP = st.one_of(
    st.tuples(st.just("write"), KEY, st.one_of(st.none(), st.integers(0, 9))),
    st.tuples(st.just("read"), KEY, st.none()),
    st.tuples(st.just("iterate"), st.sampled_from([b"", b"a", b"b", b"z"]), st.none()),
    st.tuples(st.sampled_from(["mark", "rollback"]), st.just(b""), st.none()),
)


def make_state(values: dict[bytes, int]) -> MemoryState:
    state = MemoryState()
    state.values = {key: encode(Number(value)) for key, value in values.items()}
    return state


@given(st.dictionaries(KEY, st.integers(0, 9)), st.lists(STEP, max_size=40))
@settings(deadline=None)
def test_an_overlay_behaves_like_a_dictionary_with_undo(
    base: dict[bytes, int], steps: list[tuple[str, bytes, int | None]]
) -> None:
    state = make_state(base)
    overlay = Overlay(state)
    model, marked = dict(base), dict(base)
    for step, key, value in steps:
        if step == "write":
            overlay.write(key, None if value is None else Number(value))
            model.pop(key, None)
            if value is not None:
                model[key] = value
        elif step == "read":
            found = overlay.read(key, Number)
            assert (None if found is None else found.value) == model.get(key)
        elif step == "iterate":
            found_all = [(key, record.value) for key, record in overlay.iterate(key, Number)]
            assert found_all == sorted((k, v) for k, v in model.items() if k.startswith(key))
        elif step == "mark":
            overlay.mark()
            marked = dict(model)
        else:
            overlay.rollback()
            model = dict(marked)
    changes = overlay.collect_changes()
    assert list(changes) == sorted(changes)
    assert all(old == state.values.get(key) and old != new for key, (old, new) in changes.items())
    writes = {key: new for key, (_, new) in changes.items()}
    merged = {**state.values, **writes}
    assert {key: value for key, value in merged.items() if value is not None} == {
        key: encode(Number(value)) for key, value in model.items()
    }
    assert state.values == {key: encode(Number(value)) for key, value in base.items()}


def test_an_iteration_sees_what_was_written_before_it_began() -> None:
    overlay = Overlay(make_state({b"a1": 1, b"a2": 2, b"a3": 3}))
    overlay.write(b"a2", None)
    overlay.write(b"a4", Number(4))
    assert [key for key, _ in overlay.iterate(b"a", Number)] == [b"a1", b"a3", b"a4"]


def test_records_may_be_removed_while_they_are_iterated() -> None:
    overlay = Overlay(make_state({b"a1": 1, b"a2": 2, b"a3": 3}))
    for key, _ in overlay.iterate(b"a", Number):
        overlay.write(key, None)
    assert {key: new for key, (_, new) in overlay.collect_changes().items()} == {
        b"a1": None,
        b"a2": None,
        b"a3": None,
    }


def test_a_write_of_what_was_never_read_is_undone_to_what_is_stored() -> None:
    overlay = Overlay(make_state({b"a": 1}))
    overlay.write(b"a", Number(2))
    overlay.rollback()
    assert overlay.read(b"a", Number) == Number(1)
    assert overlay.collect_changes() == {}


def test_a_stored_record_is_read_as_its_type() -> None:
    state = make_state({b"a": 1})
    assert read_record(state, b"a", Number) == Number(1)
    assert read_record(state, b"b", Number) is None
