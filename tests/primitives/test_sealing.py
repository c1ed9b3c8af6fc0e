"""A sealed secret opens with its passphrase only, unaltered only, and at a bounded cost."""

import pytest
from msgspec import structs
from nacl import bindings
from nacl.pwhash import argon2id

from primitives.encoding import encode
from primitives.sealing import (
    ARGON2_MEMORY_BYTES,
    ARGON2_MEMORY_BYTES_MAX,
    ARGON2_OPERATIONS,
    ARGON2_OPERATIONS_MAX,
    KEY_BYTES,
    NONCE_BYTES,
    SALT_BYTES,
    SEAL_VERSION,
    SealedSecret,
    SealError,
    open_sealed,
    read_label,
    seal,
)

PASSPHRASE = b"correct horse"
SALT = bytes(range(SALT_BYTES))
NONCE = bytes(range(NONCE_BYTES))
LABEL = "meter CL01"
SECRET = b"thirty-two bytes of a secret key"


def seal_cheaply(
    operations: int = argon2id.OPSLIMIT_MIN, memory: int = argon2id.MEMLIMIT_MIN
) -> SealedSecret:
    """A sealed secret of the same format at the lowest cost, so that a test can open it hundreds of times."""
    header = SealedSecret(SEAL_VERSION, LABEL, SALT, NONCE, operations, memory, b"")
    key = argon2id.kdf(
        KEY_BYTES, PASSPHRASE, SALT, opslimit=argon2id.OPSLIMIT_MIN, memlimit=argon2id.MEMLIMIT_MIN
    )
    ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(SECRET, encode(header), NONCE, key)
    return structs.replace(header, ciphertext=ciphertext)


def test_the_secret_comes_back_with_its_passphrase() -> None:
    sealed = seal(PASSPHRASE, LABEL, SECRET, SALT, NONCE)
    assert open_sealed(PASSPHRASE, sealed) == SECRET
    assert read_label(sealed) == LABEL
    assert SECRET not in sealed
    with pytest.raises(SealError, match="passphrase is wrong or the key file was altered"):
        open_sealed(b"correct horsf", sealed)
    with pytest.raises(SealError):
        open_sealed(b"", sealed)


def test_the_cost_is_that_of_the_constants() -> None:
    sealed = seal(PASSPHRASE, LABEL, SECRET, SALT, NONCE)
    header = SealedSecret(SEAL_VERSION, LABEL, SALT, NONCE, ARGON2_OPERATIONS, ARGON2_MEMORY_BYTES, b"")
    key = argon2id.kdf(KEY_BYTES, PASSPHRASE, SALT, opslimit=ARGON2_OPERATIONS, memlimit=ARGON2_MEMORY_BYTES)
    ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(SECRET, encode(header), NONCE, key)
    assert sealed == encode(structs.replace(header, ciphertext=ciphertext))


def test_each_flipped_byte_is_refused() -> None:
    sealed = encode(seal_cheaply())
    assert open_sealed(PASSPHRASE, sealed) == SECRET
    for place in range(len(sealed)):
        for mask in (0x01, 0x80):
            altered = bytearray(sealed)
            altered[place] ^= mask
            with pytest.raises(SealError):
                open_sealed(PASSPHRASE, bytes(altered))


def test_each_truncation_and_any_tail_is_refused() -> None:
    sealed = encode(seal_cheaply())
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            open_sealed(PASSPHRASE, sealed[:length])
    with pytest.raises(SealError, match="not a gridbft key file"):
        read_label(sealed + b"\0")


def test_another_label_over_the_same_secret_is_refused() -> None:
    sealed = seal_cheaply()
    moved = structs.replace(sealed, label="meter CL02")
    with pytest.raises(SealError):
        open_sealed(PASSPHRASE, encode(moved))


@pytest.mark.parametrize(
    ("operations", "memory"),
    [
        (ARGON2_OPERATIONS_MAX + 1, argon2id.MEMLIMIT_MIN),
        (2**63, argon2id.MEMLIMIT_MIN),
        (0, argon2id.MEMLIMIT_MIN),
        (-1, argon2id.MEMLIMIT_MIN),
        (argon2id.OPSLIMIT_MIN, ARGON2_MEMORY_BYTES_MAX + 1),
        (argon2id.OPSLIMIT_MIN, 2**63),
        (argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN - 1),
    ],
)
def test_a_cost_out_of_bounds_is_refused_before_anything_is_computed(operations: int, memory: int) -> None:
    with pytest.raises(SealError, match="version and cost"):
        read_label(encode(seal_cheaply(operations, memory)))


def test_another_version_is_refused() -> None:
    later = structs.replace(seal_cheaply(), version=SEAL_VERSION + 1)
    with pytest.raises(SealError, match="version"):
        open_sealed(PASSPHRASE, encode(later))


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_secret_shorter_than_its_tag_is_refused(length: int) -> None:
    """Found by fuzzing: libsodium's binding would subtract the tag from the length."""
    short = structs.replace(seal_cheaply(), ciphertext=bytes(length))
    with pytest.raises(SealError, match="version and cost"):
        open_sealed(PASSPHRASE, encode(short))
