"""Text of strangers is read without a traceback and shown on one line."""

import pytest

from primitives.encoding import DecodeError
from primitives.text import decode_toml, to_line


def test_a_table_is_read() -> None:
    assert decode_toml(b'name = "x"\n[a]\nb = [1, 2]\n') == {"name": "x", "a": {"b": [1, 2]}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "not UTF-8 text"),
        (b"a = ", "not TOML: "),
        (b"a=" + b"[" * 20_000, "nested too deeply"),
        (b"a=" + b"{a=" * 20_000, "nested too deeply"),
        (b"a=" + b"9" * 5_000, "too many digits"),
        (b"a = 1\na = 2", "not TOML: "),
        (b"a = 2026-13-45", "not TOML: "),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as refused:
        decode_toml(content)
    assert str(refused.value).isprintable()


def test_a_line_is_printable_and_bounded() -> None:
    assert to_line("a\nb\x1b[2J\u202e" + "x" * 300, 10) == "a?b?[2J?xx"
