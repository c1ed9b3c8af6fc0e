"""Secrets at rest: Argon2id for the passphrase, XChaCha20-Poly1305 for the content (RFC 9106; libsodium)."""

from msgspec import structs
from nacl import bindings, exceptions
from nacl.pwhash import argon2id

from primitives.encoding import DecodeError, Struct, decode, encode

SEAL_VERSION = 1
SALT_BYTES = argon2id.SALTBYTES
NONCE_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
KEY_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
TAG_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES
ARGON2_OPERATIONS = 4
ARGON2_MEMORY_BYTES = 32 * 1024 * 1024
"""Half a second on a Pi 4 and within a validator's memory budget; RFC 9106 asks for at least this order."""
ARGON2_OPERATIONS_MAX = 16
ARGON2_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""A hostile key file cannot make the reader allocate without bound."""


class SealError(Exception):
    """A sealed secret cannot be opened; the message says why in one line."""


class SealedSecret(Struct, frozen=True):
    """The file format of a key; ``label`` is public. Everything before the ciphertext is authenticated with it."""

    version: int
    label: str
    salt: bytes
    nonce: bytes
    operations: int
    memory_bytes: int
    ciphertext: bytes


def seal(passphrase: bytes, label: str, secret: bytes, salt: bytes, nonce: bytes) -> bytes:
    """Return the sealed form of ``secret``; ``salt`` and ``nonce`` must be fresh random bytes."""
    header = SealedSecret(SEAL_VERSION, label, salt, nonce, ARGON2_OPERATIONS, ARGON2_MEMORY_BYTES, b"")
    ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        secret, encode(header), nonce, _derive_key(passphrase, header)
    )
    return encode(structs.replace(header, ciphertext=ciphertext))


def read_label(data: bytes) -> str:
    """Return the public label of a sealed secret without opening it.

    Raises:
        SealError: not a sealed secret.

    """
    return _decode(data).label


def open_sealed(passphrase: bytes, data: bytes) -> bytes:
    """Return the secret.

    Raises:
        SealError: not a sealed secret, altered, or another passphrase.

    """
    sealed = _decode(data)
    header = structs.replace(sealed, ciphertext=b"")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed.ciphertext, encode(header), sealed.nonce, _derive_key(passphrase, header)
        )
    except exceptions.RuntimeError:
        message = f"there is not enough memory to open a key that needs {sealed.memory_bytes >> 20} MB for it"
        raise SealError(message) from None
    except exceptions.CryptoError:
        message = "the passphrase is wrong or the key file was altered"
        raise SealError(message) from None


def _derive_key(passphrase: bytes, header: SealedSecret) -> bytes:
    return argon2id.kdf(
        KEY_BYTES, passphrase, header.salt, opslimit=header.operations, memlimit=header.memory_bytes
    )


def _decode(data: bytes) -> SealedSecret:
    try:
        sealed = decode(data, SealedSecret)
    except DecodeError as error:
        message = f"not a gridbft key file: {error}"
        raise SealError(message) from None
    if (
        sealed.version != SEAL_VERSION
        or len(sealed.salt) != SALT_BYTES
        or len(sealed.nonce) != NONCE_BYTES
        or len(sealed.ciphertext) < TAG_BYTES
        or not argon2id.OPSLIMIT_MIN <= sealed.operations <= ARGON2_OPERATIONS_MAX
        or not argon2id.MEMLIMIT_MIN <= sealed.memory_bytes <= ARGON2_MEMORY_BYTES_MAX
    ):
        message = "not a gridbft key file of a version and cost that this program opens"
        raise SealError(message)
    return sealed
