"""A bundle says one thing only, and whatever else is in such a file is refused by name."""

from pathlib import Path

import pytest
from msgspec import structs

from cli.bundle import BUNDLE_BYTES_MAX, BUNDLE_MARK, Bundle, decode_bundle, encode_bundle, read_bundle
from cli.certificates import make_tls_identity
from cli.failure import CliError, ExitCode
from primitives.header import Validator
from primitives.signing import SecretKey
from tests.node.community import build_genesis
from vm.contracts.validators import Endpoint
from vm.genesis import Genesis

GENESIS = build_genesis()
PATH = Path("node4/validator.bundle")
VALIDATOR = Validator("node4", SecretKey(b"\x05" * 32).public, make_tls_identity("node4").certificate)
BUNDLE = Bundle(VALIDATOR, Endpoint("node4.example", 7104))


def refuse(data: bytes, genesis: Genesis = GENESIS) -> str:
    with pytest.raises(CliError) as refusal:
        decode_bundle(data, PATH, genesis)
    assert refusal.value.code is ExitCode.USAGE
    return str(refusal.value)


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "validator.bundle"
    path.write_bytes(encode_bundle(GENESIS, BUNDLE))
    assert read_bundle(path, GENESIS) == BUNDLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93",
        BUNDLE_MARK[:-1],
        b"-----BEGIN CERTIFICATE-----",
        b"x" * BUNDLE_BYTES_MAX,
        BUNDLE_MARK * 200,
    ],
)
def test_another_file_is_no_bundle(data: bytes) -> None:
    assert "no validator bundle" in refuse(data)


def test_a_bundle_cut_anywhere_is_damaged() -> None:
    data = encode_bundle(GENESIS, BUNDLE)
    for length in range(len(BUNDLE_MARK), len(data)):
        assert "a damaged validator bundle" in refuse(data[:length])
    assert "a damaged validator bundle" in refuse(data + b"\x00")


def test_a_bundle_of_another_network_is_refused_by_its_name() -> None:
    other = structs.replace(GENESIS, name="other-street")
    assert "for another network than other-street" in refuse(encode_bundle(GENESIS, BUNDLE), other)


@pytest.mark.parametrize(
    ("validator", "endpoint", "reason"),
    [
        ({"name": "a b"}, {}, "the name 'a b'"),
        ({"name": ".node4"}, {}, "the name '.node4'"),
        ({"public_key": bytes(32)}, {}, "its key is no sound Ed25519 key"),
        ({"public_key": b"short"}, {}, "its key is no sound Ed25519 key"),
        ({"tls_certificate": b"none"}, {}, "its TLS certificate is none"),
        ({"tls_certificate": VALIDATOR.tls_certificate + bytes(1024)}, {}, "its TLS certificate is none"),
        ({}, {"host": ""}, "the host ''"),
        ({}, {"host": "a/b"}, "the host 'a/b'"),
        ({}, {"port": 0}, "the port 0"),
        ({}, {"port": 65536}, "the port 65536"),
    ],
)
def test_a_bundle_that_no_validator_can_have_is_refused_with_the_reason(
    validator: dict[str, object], endpoint: dict[str, object], reason: str
) -> None:
    spoiled = Bundle(structs.replace(VALIDATOR, **validator), structs.replace(BUNDLE.endpoint, **endpoint))
    assert reason in refuse(encode_bundle(GENESIS, spoiled))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"nowhere\.bundle: No such file"):
        read_bundle(tmp_path / "nowhere.bundle", GENESIS)
