"""Ed25519 through libsodium only: one verification rule on every replica.

libsodium refuses small-order keys and non-canonical S; OpenSSL's rule differs, so two libraries could let
replicas disagree about one signature. Every signed message is ``domain || genesis hash || payload``.
"""

from enum import Enum

from nacl import bindings, exceptions

from primitives.ids import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Digest


class SignatureDomain(bytes, Enum):
    """What a signature is about; prefixes are free of each other because all have 24 bytes."""

    TRANSACTION = b"gridbft/transaction\x00\x00\x00\x00\x00"
    CONSENSUS = b"gridbft/consensus\x00\x00\x00\x00\x00\x00\x00"
    HEADER = b"gridbft/header\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    HELLO = b"gridbft/hello\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


class SecretKey:
    """An Ed25519 signing key; never printed, never encoded."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        """Derive the key pair from its 32-byte seed (RFC 8032)."""
        self.public: bytes
        self._secret: bytes
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    def __repr__(self) -> str:
        return f"SecretKey(public={self.public.hex()})"

    def sign(self, domain: SignatureDomain, genesis_hash: Digest, payload: bytes) -> bytes:
        """Return the 64-byte signature over ``domain || genesis_hash || payload``."""
        return bindings.crypto_sign(domain.value + genesis_hash + payload, self._secret)[:SIGNATURE_BYTES]


def is_signature_valid(
    public_key: bytes, signature: bytes, domain: SignatureDomain, genesis_hash: Digest, payload: bytes
) -> bool:
    """Tell whether ``signature`` is ``public_key``'s over ``domain || genesis_hash || payload``.

    Releases the interpreter lock while libsodium works, so threads verify in parallel.
    """
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + domain.value + genesis_hash + payload, public_key)
    except exceptions.BadSignatureError:
        return False
    return True


def is_public_key_sound(public_key: bytes) -> bool:
    """Tell whether a key may be registered: canonical, on the prime-order subgroup, not of small order."""
    return len(public_key) == PUBLIC_KEY_BYTES and bool(
        bindings.crypto_core_ed25519_is_valid_point(public_key)
    )
