"""Spoiling valid bytes in the ways that formats break: bits, ends, splices, lengths, integers, nesting, repetition."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

INPUT_BYTES_MAX = 16 * 1024
"""Beyond it a decoder sees nothing that it does not see below, and every run takes longer."""

HUGE_LENGTHS = (
    b"\xdd\xff\xff\xff\xff",  # MessagePack: an array of 2^32 - 1
    b"\xc6\x7f\xff\xff\xff",  # bytes of 2^31 - 1
    b"\xdb\xff\xff\xff\xff",  # text of 2^32 - 1
    b"\xdf\xff\xff\xff\xff",  # a map of 2^32 - 1
    b"\xdc\xff\xff",
    b"\xc5\xff\xff",
    b"\x01\xff\xff\xff\xff",  # a frame of 2^32 - 1
)
NUMBERS = (
    b"\xcc\x01",  # MessagePack: 1 in two bytes, in three, in five, in nine
    b"\xcd\x00\x01",
    b"\xd2\x00\x00\x00\x01",
    b"\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",  # infinity
    b"\xc0",
    b"99999999999999999999",
    b"-1",
    b"1e999",
    b"nan",
    b"9" * 400,
    b"9" * 5000,
    b"0x" + b"f" * 5000,
    b"\na=" + b"9" * 5000,
)
NESTS = (
    (b"", b"\x91"),
    (b"", b"\x81\x01"),
    (b"", b"["),
    (b"", b'{"a":'),
    (b"\na=", b"["),
    (b"\na=", b"{a="),
    (b"\n[", b"a."),
    (b"", b"[[a]]\n"),
    (b"", b'"'),
)
"""(what comes before, what is repeated)."""

TOKENS = (
    *(b"", b"\x00", b"\n", b'"', b"'''", b",", b"="),
    *(b"\\u0000", b"\xff\xfe", b"\xed\xa0\x80", b"\xf7GBJ", b"1979-05-27T07:32:00Z"),
)

Change = Callable[[bytes], bytes]


def mutate(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Give one of the seeds after one to four changes."""
    return st.builds(
        _apply,
        st.sampled_from(seeds),
        st.lists(_change(seeds), min_size=1, max_size=4),
    )


def _apply(data: bytes, changes: Sequence[Change]) -> bytes:
    for change in changes:
        data = change(data)[:INPUT_BYTES_MAX]
    return data


def _change(seeds: Sequence[bytes]) -> st.SearchStrategy[Change]:
    place = st.floats(0, 1, exclude_max=True)
    return st.one_of(
        st.builds(_flip, place, st.integers(0, 7)),
        st.builds(_truncate, place),
        st.builds(_put, place, st.sampled_from(HUGE_LENGTHS + NUMBERS + TOKENS), st.booleans()),
        st.builds(_put, place, st.binary(min_size=1, max_size=8), st.booleans()),
        st.builds(_splice, place, place, place, st.sampled_from(seeds)),
        st.builds(_repeat, place, place, st.sampled_from((2, 3, 300))),
        st.builds(_nest, place, st.sampled_from(NESTS), st.sampled_from((2, 600, 20_000))),
        st.builds(_widen, place, st.sampled_from((b"\xcc", b"\xcd\x00", b"\xce\x00\x00\x00", b"\xd0"))),
        st.builds(_drop, place, place),
    )


def _at(data: bytes, place: float) -> int:
    return int(place * (len(data) + 1))


def _flip(place: float, bit: int) -> Change:
    def change(data: bytes) -> bytes:
        if not data:
            return data
        position = int(place * len(data))
        return data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]

    return change


def _truncate(place: float) -> Change:
    return lambda data: data[: _at(data, place)]


def _put(place: float, token: bytes, over: bool) -> Change:
    """Write a token into the bytes, or over them."""

    def change(data: bytes) -> bytes:
        position = _at(data, place)
        return data[:position] + token + data[position + (len(token) if over else 0) :]

    return change


def _splice(place: float, start: float, end: float, other: bytes) -> Change:
    def change(data: bytes) -> bytes:
        position, first, last = _at(data, place), *sorted((_at(other, start), _at(other, end)))
        return data[:position] + other[first:last] + data[position:]

    return change


def _repeat(start: float, end: float, times: int) -> Change:
    """Say a part again: keys and lines that are there twice, lists that are too long."""

    def change(data: bytes) -> bytes:
        first, last = sorted((_at(data, start), _at(data, end)))
        return data[:last] + data[first:last] * (times - 1) + data[last:]

    return change


def _nest(place: float, nest: tuple[bytes, bytes], times: int) -> Change:
    before, opening = nest

    def change(data: bytes) -> bytes:
        position = _at(data, place)
        return data[:position] + before + opening * times + data[position:]

    return change


def _widen(place: float, prefix: bytes) -> Change:
    """Give a small integer more bytes than it needs."""

    def change(data: bytes) -> bytes:
        start = _at(data, place)
        for position in (*range(start, len(data)), *range(start)):
            if data[position] < 0x80:  # MessagePack, "positive fixint"
                return data[:position] + prefix + data[position:]
        return data

    return change


def _drop(start: float, end: float) -> Change:
    def change(data: bytes) -> bytes:
        first, last = sorted((_at(data, start), _at(data, end)))
        return data[:first] + data[last:]

    return change
