"""Canonical MessagePack: one value has exactly one encoding, and any other byte string is refused.

Structs are encoded as arrays (field order is the schema). ``decode`` re-encodes what it read and compares,
because msgspec alone accepts over-long integers and lengths (MessagePack specification, "int format family").
"""

from typing import TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


class Struct(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of every record that is hashed, signed, stored or sent: immutable, encoded as an array."""


class DecodeError(ValueError):
    """The bytes are not the canonical encoding of the expected type; the message says why in one line."""


def encode(value: object) -> bytes:
    """Return the canonical encoding of a value built from Structs, ints, bytes, str, bool, None, tuples.

    Raises:
        OverflowError: an integer does not fit 64 bits (a bug of the caller: ranges are checked where values arise).

    """
    return _encoder.encode(value)


def decode(data: bytes, expected: type[T]) -> T:
    """Return the value whose canonical encoding is ``data``.

    Raises:
        DecodeError: malformed, of another type, out of range, or not canonical.

    """
    decoder = _decoders.get(expected)
    if decoder is None:
        decoder = _decoders[expected] = msgspec.msgpack.Decoder(expected)
    try:
        value = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(_one_line(error)) from None
    if _encoder.encode(value) != data:
        message = "not canonical: the same value has another encoding"
        raise DecodeError(message)
    return value  # type: ignore[return-value]  # the decoder was built for `expected`


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def decode_trusted(data: bytes, expected: type[T]) -> T:
    """Return the value of bytes that this process (or its own store) encoded; canonical form is not checked again."""
    decoder = _decoders.get(expected)
    if decoder is None:
        decoder = _decoders[expected] = msgspec.msgpack.Decoder(expected)
    return decoder.decode(data)  # type: ignore[return-value]  # the decoder was built for `expected`
