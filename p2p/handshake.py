"""Who is at the other end: both sides say hello, then sign both hellos and both certificates.

The signature binds the validator's key to this very TLS channel (both certificates), this moment (both nonces), this
chain and this genesis; nothing of it can be replayed on another link.
"""

from collections.abc import Mapping

from p2p.peers import Dialling, PeerAddress
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.hashing import HashDomain, compute_hash
from primitives.ids import DIGEST_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Digest
from primitives.signing import SecretKey, SignatureDomain, is_signature_valid

LINK_VERSION = 1
NONCE_BYTES = 32
HELLO_BYTES_MAX = 512
"""A hello with the longest chain name takes 200 bytes."""
NAME_CHARACTERS_SHOWN = 32
"""What is repeated of a stranger's chain name: as much as an own name has at most."""


class Hello(Struct, frozen=True):
    """The first message of both sides. ``dials`` tells who opened the link, so that the roles cannot be mirrored."""

    version: int
    chain: str
    genesis_hash: bytes
    key: bytes
    nonce: bytes
    dials: bool


class HandshakeError(Exception):
    """The other end is not who it must be, or of another network; one line says which."""


def decode_hello(data: bytes) -> Hello:
    """Return the hello of these bytes.

    Raises:
        HandshakeError: not a hello.

    """
    if len(data) > HELLO_BYTES_MAX:
        raise HandshakeError("the other end's hello is too long")
    try:
        hello = decode(data, Hello)
    except DecodeError as error:
        raise HandshakeError(f"the other end did not say hello: {error}") from None
    if (len(hello.genesis_hash), len(hello.key), len(hello.nonce)) != (
        DIGEST_BYTES,
        PUBLIC_KEY_BYTES,
        NONCE_BYTES,
    ):
        raise HandshakeError("the other end's hello has fields of a wrong length")
    return hello


def check_hello(
    own: Hello,
    other: Hello,
    certificate: bytes,
    known: Mapping[bytes, PeerAddress],
    expected: PeerAddress | None,
    dialling: Dialling = Dialling.SMALLER_KEY,
) -> PeerAddress:
    """Return whom the hello claims to be; ``expected`` is whom this side dialled, None on the listening side.

    In this order: the same link version, chain and genesis; the other role; a known key that is not the own one; the
    member that was dialled; the certificate that is pinned for it; whose part it is to dial did.

    Raises:
        HandshakeError: one of these does not hold.

    """
    if other.version != own.version:
        raise HandshakeError(
            f"the peer speaks link version {other.version}, this node {own.version}; upgrade the older one"
        )
    if other.genesis_hash != own.genesis_hash or other.chain != own.chain:
        raise HandshakeError(
            f"the peer runs another genesis: {other.chain[:NAME_CHARACTERS_SHOWN]}"
            f" {other.genesis_hash.hex()[:16]}, this node {own.chain} {own.genesis_hash.hex()[:16]}"
        )
    if other.dials == own.dials or other.key == own.key or other.nonce == own.nonce:
        raise HandshakeError("the other end mirrors this node's hello")
    peer = known.get(other.key)
    if peer is None:
        raise HandshakeError(f"the key {other.key.hex()[:16]} is not a member's")
    if expected is not None and peer.key != expected.key:
        raise HandshakeError(
            f"{peer.name} answers at the address of {expected.name}; correct its host and port in config.toml"
        )
    if peer.tls_certificate != certificate:
        raise HandshakeError(f"the certificate is not the one pinned for {peer.name}")
    if other.dials and dialling.is_own(own.key, other.key):
        raise HandshakeError(f"{peer.name} has the larger key and must wait to be dialled")
    return peer


def sign_hello(
    key: SecretKey, genesis_hash: Digest, own: Hello, other: Hello, certificates: tuple[bytes, bytes]
) -> bytes:
    """Return this side's proof; ``certificates`` are (own, other's)."""
    return key.sign(SignatureDomain.HELLO, genesis_hash, _bind(own, other, certificates))


def check_proof(
    proof: bytes, genesis_hash: Digest, own: Hello, other: Hello, certificates: tuple[bytes, bytes]
) -> None:
    """Check the other side's proof; ``certificates`` are (own, other's).

    Raises:
        HandshakeError: it is not the claimed key's signature over this very handshake.

    """
    payload = _bind(other, own, (certificates[1], certificates[0]))
    if len(proof) != SIGNATURE_BYTES or not is_signature_valid(
        other.key, proof, SignatureDomain.HELLO, genesis_hash, payload
    ):
        raise HandshakeError("the other end does not hold the key it claims")


def _bind(signer: Hello, hearer: Hello, certificates: tuple[bytes, bytes]) -> bytes:
    return (
        encode(signer)
        + encode(hearer)
        + b"".join(compute_hash(HashDomain.CERTIFICATE, certificate) for certificate in certificates)
    )
