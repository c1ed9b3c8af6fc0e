"""A signature holds for one key, one domain, one network and one message."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from primitives.ids import Digest
from primitives.signing import SecretKey, SignatureDomain, is_public_key_sound, is_signature_valid

KEY = SecretKey(bytes(range(32)))
OTHER = SecretKey(bytes(range(1, 33)))
GENESIS = Digest(b"\x07" * 32)
DOMAIN = SignatureDomain.TRANSACTION
PAYLOAD = b"a reading of 1002521 Wh"
SIGNATURE = KEY.sign(DOMAIN, GENESIS, PAYLOAD)

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

# The points of order 1, 2, 4 and 8, in every encoding that OpenSSL would take (y and y + p, both signs).
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


@given(st.binary(max_size=500))
def test_a_signature_of_the_key_is_valid(payload: bytes) -> None:
    signature = KEY.sign(DOMAIN, GENESIS, payload)
    assert is_signature_valid(KEY.public, signature, DOMAIN, GENESIS, payload)


def test_it_is_the_ed25519_of_rfc_8032_over_domain_genesis_and_payload() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert private.sign(DOMAIN.value + GENESIS + PAYLOAD) == SIGNATURE
    assert private.public_key().public_bytes_raw() == KEY.public


def test_another_key_domain_genesis_or_payload_is_refused() -> None:
    assert not is_signature_valid(OTHER.public, SIGNATURE, DOMAIN, GENESIS, PAYLOAD)
    assert not is_signature_valid(KEY.public, SIGNATURE, DOMAIN, Digest(b"\x08" * 32), PAYLOAD)
    assert not is_signature_valid(KEY.public, SIGNATURE, DOMAIN, GENESIS, PAYLOAD + b"\0")
    for domain in SignatureDomain:
        assert is_signature_valid(KEY.public, SIGNATURE, domain, GENESIS, PAYLOAD) == (domain is DOMAIN)


def test_any_flipped_bit_of_the_signature_is_refused() -> None:
    for bit in range(512):
        assert not is_signature_valid(KEY.public, flip(SIGNATURE, bit), DOMAIN, GENESIS, PAYLOAD)


def test_any_flipped_bit_of_the_key_is_refused() -> None:
    for bit in range(256):
        assert not is_signature_valid(flip(KEY.public, bit), SIGNATURE, DOMAIN, GENESIS, PAYLOAD)


def test_any_flipped_bit_of_the_payload_is_refused() -> None:
    for bit in range(len(PAYLOAD) * 8):
        assert not is_signature_valid(KEY.public, SIGNATURE, DOMAIN, GENESIS, flip(PAYLOAD, bit))


def test_a_malleated_signature_is_refused() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little")
    malleated = [scalar + multiple * GROUP_ORDER for multiple in range(1, 16)]
    encodable = [number for number in malleated if number < 2**256]
    assert len(encodable) >= 14
    for number in encodable:
        signature = SIGNATURE[:32] + number.to_bytes(32, "little")
        assert not is_signature_valid(KEY.public, signature, DOMAIN, GENESIS, PAYLOAD)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_key_of_small_order_is_unsound_and_signs_nothing(point: str) -> None:
    public_key = bytes.fromhex(point)
    assert not is_public_key_sound(public_key)
    # With such a key, R of small order and S = 0 would pass the cofactored equation for many messages.
    for nonce_point in SMALL_ORDER:
        forged = bytes.fromhex(nonce_point) + bytes(32)
        assert not is_signature_valid(public_key, forged, DOMAIN, GENESIS, PAYLOAD)


def test_a_key_that_is_no_point_is_unsound() -> None:
    no_points = [number.to_bytes(32, "little") for number in range(2, 40)]
    unsound = [point for point in no_points if not is_public_key_sound(point)]
    assert unsound  # about half of all strings are no point, and most points lie outside the subgroup
    assert not is_public_key_sound(b"\xff" * 32)


def test_a_point_outside_the_prime_order_subgroup_is_unsound() -> None:
    from nacl import bindings  # noqa: PLC0415  # only this test adds points

    twisted = bindings.crypto_core_ed25519_add(KEY.public, bytes.fromhex(SMALL_ORDER[4]))
    assert is_public_key_sound(KEY.public)
    assert not is_public_key_sound(twisted)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused_without_an_error(length: int) -> None:
    assert not is_public_key_sound(bytes(length))
    assert not is_signature_valid(bytes(length), SIGNATURE, DOMAIN, GENESIS, PAYLOAD)


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_is_refused_without_an_error(length: int) -> None:
    assert not is_signature_valid(KEY.public, bytes(length), DOMAIN, GENESIS, PAYLOAD)


def test_no_domain_is_the_beginning_of_another() -> None:
    assert len({len(domain.value) for domain in SignatureDomain}) == 1
    assert len({domain.value for domain in SignatureDomain}) == len(SignatureDomain)


def test_a_secret_key_never_shows_itself() -> None:
    assert bytes(range(32)).hex() not in repr(KEY)
    assert KEY.public.hex() in repr(KEY)
