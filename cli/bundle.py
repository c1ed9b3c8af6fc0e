"""The bundle: what a new validator, or one with a new key, gives to the others. Nothing in it is secret."""

from dataclasses import dataclass
from pathlib import Path

from cli.failure import CliError, build_usage_error
from p2p.tls import is_certificate_sound
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.header import Validator
from primitives.signing import is_public_key_sound
from vm.contracts.validators import CERTIFICATE_BYTES_MAX, HOST_BYTES_MAX, PORT_MAX, Endpoint
from vm.genesis import Genesis, is_name_sound

BUNDLE_MARK = b"gridbft validator bundle 1\n"
BUNDLE_BYTES_MAX = 4096
"""A certificate of the largest size, a host's name and 150 bytes more."""


class _Content(Struct, frozen=True):
    genesis_hash: bytes
    validator: Validator
    endpoint: Endpoint


@dataclass(frozen=True)
class Bundle:
    """A validator with the address at which the others reach it."""

    validator: Validator
    endpoint: Endpoint


def encode_bundle(genesis: Genesis, bundle: Bundle) -> bytes:
    """Return the bytes of a bundle for the network of ``genesis``."""
    return BUNDLE_MARK + encode(_Content(genesis.compute_hash(), bundle.validator, bundle.endpoint))


def read_bundle(path: Path, genesis: Genesis) -> Bundle:
    """Return the bundle in a file.

    Raises:
        CliError: usage; unreadable, not a bundle, of another network, or nothing that could validate.

    """
    try:
        with path.open("rb") as file:
            data = file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise build_usage_error(f"{path}: {error.strerror}; ask the new validator for its bundle") from None
    return decode_bundle(data, path, genesis)


def decode_bundle(data: bytes, path: Path, genesis: Genesis) -> Bundle:
    """Return the bundle of these bytes; ``path`` is named in refusals.

    Raises:
        CliError: usage; not a bundle, of another network, or nothing that could validate.

    """
    if len(data) > BUNDLE_BYTES_MAX or not data.startswith(BUNDLE_MARK):
        raise build_usage_error(f"{path}: no validator bundle; `gridbft network join` writes one")
    try:
        content = decode(data[len(BUNDLE_MARK) :], _Content)
    except DecodeError as error:
        raise build_usage_error(f"{path}: a damaged validator bundle: {error}; ask for it again") from None
    if content.genesis_hash != genesis.compute_hash():
        raise build_usage_error(f"{path}: a bundle for another network than {genesis.name}")
    problem = find_problem(content.validator, content.endpoint)
    if problem is not None:
        raise build_usage_error(f"{path}: a bundle that no validator can have: {problem}; ask for it again")
    return Bundle(content.validator, content.endpoint)


def find_problem(validator: Validator, endpoint: Endpoint) -> str | None:
    """Return why these can be no validator's, or None."""
    if not is_name_sound(validator.name) or validator.name.startswith("."):
        return f"the name {validator.name!r}"
    if not is_public_key_sound(validator.public_key):
        return "its key is no sound Ed25519 key"
    if len(validator.tls_certificate) > CERTIFICATE_BYTES_MAX or not is_certificate_sound(
        validator.tls_certificate
    ):
        return "its TLS certificate is none"
    return find_endpoint_problem(endpoint.host, endpoint.port)


def find_endpoint_problem(host: str, port: int) -> str | None:
    """Return why a host and a port are no address at which others can be, or None."""
    if not 0 < len(host) <= HOST_BYTES_MAX or not all(
        character.isascii() and (character.isalnum() or character in ".:_-") for character in host
    ):
        return f"the host {host!r}; name an IP address or a host name"
    if not 1 <= port <= PORT_MAX:
        return f"the port {port}; use 1 to {PORT_MAX}"
    return None


def write_bundle(path: Path, genesis: Genesis, bundle: Bundle) -> None:
    """Write a bundle to a file that does not exist yet.

    Raises:
        CliError: the file exists, or cannot be written.

    """
    try:
        with path.open("xb") as file:
            file.write(encode_bundle(genesis, bundle))
    except FileExistsError:
        raise build_usage_error(f"{path}: there is a file of this name; move it away") from None
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
