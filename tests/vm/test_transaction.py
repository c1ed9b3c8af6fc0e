"""A transaction is one string of bytes and no other; who signed it for which chain is a stateless question."""

import msgpack  # type: ignore[import-untyped]  # the reference encoder
import pytest

from primitives.encoding import DecodeError, encode
from primitives.ids import Digest, Height, Nonce
from primitives.limits import TRANSACTION_BYTES_MAX
from tests.vm.ledger import START_S, make_genesis, make_wallet
from vm.contracts.energy.calls import SubmitReading
from vm.transaction import (
    NONCE_MAX,
    Call,
    SealedTransaction,
    decode_transaction,
    is_transaction_signed,
    sign_transaction,
)

GENESIS_HASH = make_genesis().compute_hash()
OTHER_HASH = Digest(bytes(32))
READING = encode(SubmitReading(START_S, 5_000_123, 1_000, "G", 812))


def sign(
    *, name: str = "home", genesis_hash: Digest = GENESIS_HASH, nonce: int = 7, arguments: bytes = READING
) -> SealedTransaction:
    wallet = make_wallet(name)
    call = Call("energy", "submit_reading", arguments)
    return sign_transaction(wallet.key, genesis_hash, wallet.account, Nonce(nonce), Height(99), call)


def fields_of(sealed: SealedTransaction) -> list[object]:
    fields = msgpack.unpackb(sealed.raw)
    assert isinstance(fields, list)
    return fields


def spoil(position: int, value: object) -> bytes:
    fields = fields_of(sign())
    fields[position] = value
    return bytes(msgpack.packb(fields))


def test_a_signed_reading_has_about_200_bytes() -> None:
    assert 160 <= len(sign().raw) <= 220


def test_decoding_gives_what_was_signed_and_its_exact_bytes() -> None:
    sealed = sign()
    again = decode_transaction(sealed.raw)
    assert (again.transaction, again.raw, again.id) == (sealed.transaction, sealed.raw, sealed.id)
    assert encode(again.transaction) == sealed.raw


def test_a_signed_transaction_is_signed_for_its_chain_only() -> None:
    sealed = sign()
    assert is_transaction_signed(sealed, GENESIS_HASH)
    assert not is_transaction_signed(sealed, OTHER_HASH)
    same_prefix = Digest(GENESIS_HASH[:8] + bytes(24))
    assert not is_transaction_signed(sealed, same_prefix)


def test_every_altered_bit_is_malformed_or_wrongly_signed() -> None:
    sealed = sign()
    for position in range(len(sealed.raw)):
        for bit in range(8):
            raw = bytearray(sealed.raw)
            raw[position] ^= 1 << bit
            try:
                altered = decode_transaction(bytes(raw))
            except DecodeError:
                continue
            assert altered.id != sealed.id
            assert not is_transaction_signed(altered, GENESIS_HASH), (position, bit)


def test_another_key_than_the_signers_is_not_accepted() -> None:
    raw = spoil(3, make_wallet("thief").key.public)
    assert not is_transaction_signed(decode_transaction(raw), GENESIS_HASH)


def test_the_id_is_that_of_the_exact_bytes() -> None:
    sealed = sign()
    other = decode_transaction(sealed.raw[:-1] + bytes([sealed.raw[-1] ^ 1]))
    assert other.transaction.call == sealed.transaction.call
    assert other.id != sealed.id
    assert sign(nonce=8).id != sealed.id


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, 2),
        (0, 0),
        (1, bytes(7)),
        (1, bytes(9)),
        (2, bytes(15)),
        (2, bytes(17)),
        (3, bytes(31)),
        (3, bytes(33)),
        (4, 0),
        (4, -1),
        (4, NONCE_MAX + 1),
        (4, 1.0),
        (4, True),
        (4, "7"),
        (5, -1),
        (5, NONCE_MAX + 1),
        (6, ["energy", "submit_reading"]),
        (6, ["e" * 17, "submit_reading", b""]),
        (6, ["energy", "s" * 17, b""]),
        (6, ["ä" * 9, "submit_reading", b""]),
        (6, ["energy", "submit_reading", "text"]),
        (6, None),
        (7, bytes(63)),
        (7, bytes(65)),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(position: int, value: object) -> None:
    with pytest.raises(DecodeError):
        decode_transaction(spoil(position, value))


@pytest.mark.parametrize(("position", "value"), [(4, 1), (4, NONCE_MAX), (5, 0), (5, NONCE_MAX)])
def test_a_field_at_its_bound_is_taken(position: int, value: object) -> None:
    decode_transaction(spoil(position, value))


def test_the_largest_transaction_is_taken_and_one_byte_more_is_not() -> None:
    overhead = len(sign(arguments=bytes(3000)).raw) - 3000
    room = TRANSACTION_BYTES_MAX - overhead
    assert len(sign(arguments=bytes(room)).raw) == TRANSACTION_BYTES_MAX
    fields = fields_of(sign(arguments=bytes(room)))
    fields[6] = ["energy", "submit_reading", bytes(room + 1)]
    with pytest.raises(DecodeError, match="at most 4096 bytes"):
        decode_transaction(bytes(msgpack.packb(fields)))


def test_too_many_or_too_few_fields_are_refused() -> None:
    fields = fields_of(sign())
    for count in (fields[:-1], [*fields, 0]):
        with pytest.raises(DecodeError):
            decode_transaction(bytes(msgpack.packb(count)))


def test_the_same_value_in_another_encoding_is_refused() -> None:
    raw = sign().raw
    assert raw[0] == 0x98
    assert raw[1] == 1
    for other in (b"\xdc\x00\x08" + raw[1:], raw[:1] + b"\xcc\x01" + raw[2:], raw + b"\x00", raw[:-1]):
        with pytest.raises(DecodeError):
            decode_transaction(other)


@pytest.mark.parametrize(
    "raw", [b"", b"\x90", b"\xc1", b"\xff" * 200, b"\x91" * 4000, b"\xdf\xff\xff\xff\xff"]
)
def test_what_is_no_transaction_is_refused_and_never_a_crash(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_transaction(raw)
