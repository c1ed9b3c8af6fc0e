"""One value, one encoding: what is signed, hashed and stored can be read in one way only."""

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.encoding import DecodeError, Struct, decode, encode


class Inner(Struct, frozen=True):
    name: str
    digest: bytes | None


class Record(Struct, frozen=True):
    number: int
    flag: bool
    parts: tuple[Inner, ...]
    note: str = ""


class First(Struct, frozen=True, tag=1):
    number: int


class Second(Struct, frozen=True, tag=2):
    number: int


class Either(Struct, frozen=True):
    choice: First | Second


NUMBERS = st.integers(-(2**63), 2**64 - 1)
INNERS = st.builds(Inner, st.text(max_size=40), st.none() | st.binary(max_size=300))
RECORDS = st.builds(
    Record, NUMBERS, st.booleans(), st.lists(INNERS, max_size=20).map(tuple), st.text(max_size=300)
)


def to_plain(record: Record) -> list[object]:
    return [record.number, record.flag, [[inner.name, inner.digest] for inner in record.parts], record.note]


@given(RECORDS)
def test_what_was_encoded_is_decoded(record: Record) -> None:
    assert decode(encode(record), Record) == record


@given(RECORDS)
def test_the_reference_decoder_reads_the_same_value(record: Record) -> None:
    assert msgpack.unpackb(encode(record), strict_map_key=True) == to_plain(record)


@given(RECORDS)
def test_the_reference_encoder_writes_the_same_bytes(record: Record) -> None:
    assert msgpack.packb(to_plain(record), use_bin_type=True) == encode(record)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_by_name_or_are_the_one_encoding(data: bytes) -> None:
    problem = ""
    try:
        assert encode(decode(data, Record)) == data
    except DecodeError as error:
        problem = str(error)
    assert "\n" not in problem


@given(RECORDS, st.binary(min_size=1, max_size=3))
def test_trailing_bytes_are_refused(record: Record, tail: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(encode(record) + tail, Record)


@given(RECORDS, st.data())
def test_a_truncated_encoding_is_refused(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    with pytest.raises(DecodeError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], Record)


def over_long(body: bytes) -> bytes:
    """A First with its number written as ``body``."""
    return b"\x92\x01" + body


@pytest.mark.parametrize(
    "body",
    [bytes([kind]) + (5).to_bytes(1 << (kind & 3)) for kind in range(0xCC, 0xD4)],
)
def test_an_over_long_integer_is_refused(body: bytes) -> None:
    assert decode(over_long(b"\x05"), First) == First(5)
    with pytest.raises(DecodeError, match="not canonical"):
        decode(over_long(body), First)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdc\x00\x02\x01\x05",  # the array's length in two bytes
        b"\xdd\x00\x00\x00\x02\x01\x05",  # in four
        b"\x93\x01\x05\x05",  # one element more
        b"\x91\x01",  # one less
        b"\x82\x01\x05",  # a map
        b"\x92\x02\x05",  # another tag
        b"\x92\x01\xcb\x40\x14\x00\x00\x00\x00\x00\x00",  # 5.0
        b"\x92\x01\xc3",  # true
        b"",
    ],
)
def test_another_shape_of_the_same_record_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, First)


def test_a_string_or_bytes_with_an_over_long_length_is_refused() -> None:
    assert decode(b"\x92\xa1a\xc4\x01b", Inner) == Inner("a", b"b")
    for data in (b"\x92\xd9\x01a\xc4\x01b", b"\x92\xa1a\xc5\x00\x01b", b"\x92\xa1a\xc6\x00\x00\x00\x01b"):
        with pytest.raises(DecodeError, match="not canonical"):
            decode(data, Inner)


def test_text_and_bytes_are_not_taken_for_each_other() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x92\xc4\x01a\xc4\x01b", Inner)
    with pytest.raises(DecodeError):
        decode(b"\x92\xa1a\xa1b", Inner)


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x92\xa1\xff\xc0", Inner)


def test_a_default_is_written_out_and_never_left_away() -> None:
    record = Record(1, flag=True, parts=())
    assert decode(encode(record), Record) == record
    with pytest.raises(DecodeError):
        decode(msgpack.packb([1, True, []]), Record)


def test_the_alternatives_of_a_union_are_told_apart_by_their_tag() -> None:
    assert decode(encode(Either(First(1))), Either) == Either(First(1))
    assert encode(Either(First(1))) != encode(Either(Second(1)))
    with pytest.raises(DecodeError):
        decode(msgpack.packb([[3, 1]]), Either)


def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x91" * 100_000, Record)


def test_an_integer_beyond_64_bits_is_a_bug_of_the_caller() -> None:
    with pytest.raises(OverflowError):
        encode(First(2**64))


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        First(1).number = 2  # type: ignore[misc]  # that is the point
