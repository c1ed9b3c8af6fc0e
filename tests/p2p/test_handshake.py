"""The handshake: one thing is spoiled at a time, and named."""

import secrets
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.handshake import (
    HELLO_BYTES_MAX,
    NONCE_BYTES,
    HandshakeError,
    Hello,
    check_hello,
    check_proof,
    decode_hello,
    sign_hello,
)
from p2p.peers import PeerAddress
from primitives.encoding import encode
from primitives.ids import Digest
from tests.p2p.members import GENESIS_HASH, Member, build_hello, make_members

GENESIS = Digest(GENESIS_HASH)


@dataclass(frozen=True)
class Pair:
    """A dialling and a listening member, in the middle of a handshake."""

    dialer: Member
    listener: Member
    dialer_hello: Hello
    listener_hello: Hello

    @property
    def known(self) -> dict[bytes, PeerAddress]:
        return {member.key.public: member.build_address() for member in make_members(4)}

    def listen(self, hello: Hello, certificate: bytes | None = None) -> PeerAddress:
        """What the listener makes of the dialer's hello."""
        return check_hello(
            self.listener_hello, hello, certificate or self.dialer.certificate, self.known, None
        )

    def dial(self, hello: Hello, expected: Member) -> PeerAddress:
        """What the dialer makes of the listener's hello."""
        certificate = self.listener.certificate
        return check_hello(self.dialer_hello, hello, certificate, self.known, expected.build_address())

    def prove(self) -> bytes:
        """What the dialer proves to the listener."""
        certificates = (self.dialer.certificate, self.listener.certificate)
        return sign_hello(self.dialer.key, GENESIS, self.dialer_hello, self.listener_hello, certificates)

    def check(self, proof: bytes) -> None:
        certificates = (self.listener.certificate, self.dialer.certificate)
        check_proof(proof, GENESIS, self.listener_hello, self.dialer_hello, certificates)


@pytest.fixture
def pair() -> Pair:
    dialer, listener = make_members(4)[1:3]
    return Pair(dialer, listener, build_hello(dialer), build_hello(listener, dials=False))


def test_an_honest_hello_and_its_proof_are_accepted(pair: Pair) -> None:
    assert pair.listen(pair.dialer_hello).name == pair.dialer.name
    assert pair.dial(pair.listener_hello, pair.listener).name == pair.listener.name
    pair.check(pair.prove())


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", 2, "speaks link version 2, this node 1; upgrade the older one"),
        (
            "chain",
            "rainy-street",
            "runs another genesis: rainy-street 1111111111111111, this node sunny-street",
        ),
        (
            "genesis_hash",
            b"\x22" * 32,
            "runs another genesis: sunny-street 2222222222222222, this node sunny",
        ),
        ("key", b"\x33" * 32, "the key 3333333333333333 is not a member's"),
        ("dials", False, "mirrors"),
    ],
)
def test_a_hello_with_one_thing_wrong_is_refused_by_name(
    pair: Pair, field: str, value: object, reason: str
) -> None:
    with pytest.raises(HandshakeError, match=reason):
        pair.listen(msgspec.structs.replace(pair.dialer_hello, **{field: value}))


def test_the_own_hello_sent_back_is_refused(pair: Pair) -> None:
    with pytest.raises(HandshakeError, match="mirrors"):
        pair.listen(msgspec.structs.replace(pair.listener_hello, dials=True))
    with pytest.raises(HandshakeError, match="mirrors"):
        pair.listen(msgspec.structs.replace(pair.dialer_hello, nonce=pair.listener_hello.nonce))


def test_the_key_of_a_member_with_the_certificate_of_another_is_refused(pair: Pair) -> None:
    with pytest.raises(HandshakeError, match="the certificate is not the one pinned for house-1"):
        pair.listen(pair.dialer_hello, make_members(4)[3].certificate)


def test_a_member_with_the_larger_key_must_wait_to_be_dialled(pair: Pair) -> None:
    last = make_members(4)[3]
    with pytest.raises(HandshakeError, match="house-3 has the larger key and must wait"):
        pair.listen(build_hello(last), last.certificate)


def test_another_member_at_the_dialled_address_is_refused(pair: Pair) -> None:
    with pytest.raises(HandshakeError, match="house-2 answers at the address of house-3; correct its host"):
        pair.dial(pair.listener_hello, make_members(4)[3])


@pytest.mark.parametrize("side", ["dialer_hello", "listener_hello"])
def test_a_proof_of_another_handshake_is_refused(pair: Pair, side: str) -> None:
    proof = pair.prove()
    spoiled = msgspec.structs.replace(getattr(pair, side), nonce=secrets.token_bytes(NONCE_BYTES))
    hellos = {"dialer_hello": pair.dialer_hello, "listener_hello": pair.listener_hello, side: spoiled}
    with pytest.raises(HandshakeError, match="does not hold the key"):
        Pair(pair.dialer, pair.listener, **hellos).check(proof)


@pytest.mark.parametrize("side", [0, 1])
def test_a_proof_for_another_tls_channel_is_refused(pair: Pair, side: int) -> None:
    proof = pair.prove()
    certificates = [pair.listener.certificate, pair.dialer.certificate]
    certificates[side] = make_members(4)[0].certificate
    with pytest.raises(HandshakeError, match="does not hold the key"):
        check_proof(
            proof, GENESIS, pair.listener_hello, pair.dialer_hello, (certificates[0], certificates[1])
        )


def test_a_proof_by_another_key_or_mirrored_or_cut_is_refused(pair: Pair) -> None:
    certificates = (pair.dialer.certificate, pair.listener.certificate)
    hellos = (pair.dialer_hello, pair.listener_hello)
    mirrored = (pair.listener_hello, pair.dialer_hello)
    for proof in (
        sign_hello(pair.listener.key, GENESIS, *hellos, certificates),
        sign_hello(pair.listener.key, GENESIS, *mirrored, (certificates[1], certificates[0])),
        sign_hello(pair.dialer.key, Digest(b"\x22" * 32), *hellos, certificates),
        pair.prove()[:-1],
        b"",
    ):
        with pytest.raises(HandshakeError, match="does not hold the key"):
            pair.check(proof)


def test_a_hello_comes_back_as_it_was(pair: Pair) -> None:
    assert decode_hello(encode(pair.dialer_hello)) == pair.dialer_hello


@given(st.binary(max_size=HELLO_BYTES_MAX + 10))
def test_arbitrary_bytes_are_a_hello_or_refused_by_name(data: bytes) -> None:
    try:
        hello = decode_hello(data)
    except HandshakeError:
        return
    assert encode(hello) == data


@pytest.mark.parametrize("field", ["genesis_hash", "key", "nonce"])
def test_a_hello_with_a_field_of_a_wrong_length_is_refused(pair: Pair, field: str) -> None:
    with pytest.raises(HandshakeError, match="wrong length"):
        decode_hello(encode(msgspec.structs.replace(pair.dialer_hello, **{field: b"x" * 31})))


def test_a_hello_that_is_too_long_is_refused(pair: Pair) -> None:
    with pytest.raises(HandshakeError, match="too long"):
        decode_hello(encode(msgspec.structs.replace(pair.dialer_hello, chain="x" * HELLO_BYTES_MAX)))
