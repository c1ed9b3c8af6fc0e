"""Text that others wrote: settings read without a traceback, and words fit to stand in one line of an answer."""

import tomllib
from typing import Any

from primitives.encoding import DecodeError

LINE_CHARACTERS_MAX = 200
"""What is shown of a stranger's text: a line or two of a terminal."""


def to_line(text: str, characters_max: int = LINE_CHARACTERS_MAX) -> str:
    """Return a stranger's text as one printable line: it may end up on a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:characters_max])


def hide_user(url: str) -> str:
    """Return an address without what stands before the ``@`` of its host: a refusal must not repeat a password."""
    scheme, slashes, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def decode_toml(content: bytes) -> dict[str, Any]:
    """Return the table in the bytes of a TOML file.

    Raises:
        DecodeError: not UTF-8, not TOML, nested too deeply, or a number with thousands of digits.

    """
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise DecodeError("not UTF-8 text; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DecodeError(f"not TOML: {to_line(str(error))}; correct that line") from None
    except RecursionError:
        raise DecodeError("not TOML of ours: lists or tables are nested too deeply") from None
    except ValueError:  # of int(), which refuses thousands of digits
        raise DecodeError("not TOML of ours: a number has too many digits") from None
