"""The home of a validator that joins a running network, and the second key of one that rotates.

DIR/config.toml, genesis.bin, keys/node.key     as of every validator; the key brings its certificate along
DIR/handovers.bin                               who validated since the genesis, when it was made
DIR/validator.bundle                            what the others add: nothing in it is secret
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.bundle import Bundle, find_endpoint_problem, write_bundle
from cli.certificates import make_tls_identity
from cli.drafts import open_draft, write_new
from cli.failure import CliError, ExitCode, build_usage_error
from cli.node_keys import NEXT_KEY_PATH, NODE_KEY_PATH, open_node_key
from cli.node_settings import ANY_ADDRESS, LOOPBACK
from cli.provision import CONFIG_NAME, GENESIS_NAME
from meter.keystore import KeyKind, KeystoreError, create_key
from node.config import ApiConfig, NodeConfig, P2pConfig, PeerConfig, load_config
from node.config_text import render_config
from node.peers import HANDOVERS_NAME
from p2p.peers import ANY_ADDRESSES
from primitives.encoding import encode
from primitives.header import Validator
from vm.contracts.validators import Endpoint
from vm.genesis import Genesis, is_name_sound

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from consensus.messages import Handover
    from meter.client import Client

BUNDLE_NAME = "validator.bundle"
NEXT_BUNDLE_NAME = "validator.next.bundle"


@dataclass(frozen=True)
class Place:
    """What whoever joins says of itself: its name, where others reach it, and where its API listens."""

    name: str
    host: str
    p2p_port: int
    api_port: int


@dataclass(frozen=True)
class Neighbourhood:
    """The validators of now, as proven from the genesis; their addresses, as they say; the handovers to them."""

    validators: tuple[Validator, ...]
    addresses: Mapping[bytes, tuple[str, int]]
    handovers: "tuple[Handover, ...]"
    quorum: int


def check_place(place: Place) -> None:
    """Refuse what can be no validator's place.

    Raises:
        CliError: usage.

    """
    if not is_name_sound(place.name) or place.name.startswith("."):
        raise build_usage_error(
            f"--name: {place.name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
        )
    for option, port in (("--p2p-port", place.p2p_port), ("--api-port", place.api_port)):
        problem = find_endpoint_problem(place.host, port)
        if problem is not None:
            raise build_usage_error(f"{'--host' if 'host' in problem else option}: {problem}")
    if place.p2p_port == place.api_port:
        raise build_usage_error(f"--api-port: {place.api_port} is --p2p-port as well; give each its own")
    if place.host in ANY_ADDRESSES:
        raise build_usage_error(f"--host: nobody reaches {place.host}; name the address of this machine")


def parse_peers(texts: list[str]) -> dict[str, tuple[str, int]]:
    """Return addresses that are given as NAME=HOST:PORT.

    Raises:
        CliError: usage.

    """
    found = {}
    for text in texts:
        name, _, address = text.partition("=")
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_number = port.isascii() and port.isdigit() and len(port) <= len("65535")
        if not name or not is_number or find_endpoint_problem(host, int(port)) is not None:
            raise build_usage_error(f"--peer: {text!r} is none; write it as node0=192.0.2.1:7100")
        found[name] = (host, int(port))
    return found


def explore(home: "ClientHome") -> Neighbourhood:
    """Ask all validators of a member's home who validates now, and where.

    Raises:
        CliError: none answers, or nobody proves who validates.

    """
    from cli.session import ask_validators
    from meter.answers import ValidatorsAnswer

    async def work(client: "Client") -> Neighbourhood:
        await client.get_certified_height()
        answers = await client.ask_each("/v1/validators", ValidatorsAnswer)
        told = [answer for answer in answers.values() if not isinstance(answer, str)]
        if not told:
            reasons = "; ".join(f"{url}: {answer}" for url, answer in answers.items())
            raise CliError(f"no validator tells who validates ({reasons}); check client.toml and try again")
        anchor = await client.follow(max(answer.epoch for answer in told))
        addresses = {
            bytes.fromhex(each.public_key): (each.host, each.port)
            for answer in told
            for each in answer.validators
            if each.host is not None and each.port is not None
        }
        membership = anchor.membership
        return Neighbourhood(
            membership.validators, addresses, client.get_handovers(anchor.epoch), membership.quorum
        )

    return ask_validators(home, work)


def create_joining_home(
    directory: Path,
    genesis: Genesis,
    place: Place,
    around: Neighbourhood,
    peers: Mapping[str, tuple[str, int]],
    passphrase: bytes,
) -> Bundle:
    """Make the home of a new validator in a directory that does not exist yet; return what the others add.

    Raises:
        CliError: the name is taken, a validator's address is unknown, the directory is in use, or the disk refuses.

    """
    if place.name in [each.name for each in around.validators]:
        raise build_usage_error(f"--name: {place.name} validates already; choose another name")
    unknown = [name for name in peers if name not in [each.name for each in around.validators]]
    if unknown:
        raise build_usage_error(f"--peer: {unknown[0]} is no validator of now; see `gridbft validators list`")
    config = _build_config(place, _find_addresses(around, peers))
    if directory.is_symlink() or directory.exists():
        raise build_usage_error(
            f"{directory}: exists, and keys are never overwritten; choose a new directory"
        )
    with open_draft(directory) as draft:
        validator = create_node_key(draft / NODE_KEY_PATH, place.name, passphrase)
        bundle = Bundle(validator, Endpoint(place.host, place.p2p_port))
        write_new(draft / GENESIS_NAME, encode(genesis))
        write_new(draft / CONFIG_NAME, render_config(config).encode())
        if around.handovers:
            write_new(draft / HANDOVERS_NAME, encode(around.handovers))
        write_bundle(draft / BUNDLE_NAME, genesis, bundle)
    return bundle


def create_next_key(home: Path, genesis: Genesis, host: str | None, passphrase: bytes) -> Bundle:
    """Make a second key beside the one of a validator's home, under the same passphrase; return what replaces it.

    Raises:
        CliError: there is a second key already, the first one does not open, or the host is not known.

    """
    from cli.keys import build_key_error

    config = load_config(home, os.environ)
    if (home / NEXT_KEY_PATH).exists():
        raise build_usage_error(
            f"{home / NEXT_KEY_PATH}: a rotation is under way. When `gridbft validators list` shows its key, move"
            f" {NODE_KEY_PATH} away and {NEXT_KEY_PATH} to its place, then rotate again"
        )
    chosen = host or config.p2p.host
    problem = find_endpoint_problem(chosen, config.p2p.port)
    if chosen in ANY_ADDRESSES or problem is not None:
        raise build_usage_error(
            f"--host: {problem or f'nobody reaches {chosen}'}; name the address at which the others reach this machine"
        )
    try:
        open_node_key(
            home / NODE_KEY_PATH, passphrase
        )  # both keys open with one passphrase, or the node cannot start
        validator = create_node_key(home / NEXT_KEY_PATH, config.name, passphrase)
    except KeystoreError as error:
        raise build_key_error(error) from None
    bundle = Bundle(validator, Endpoint(chosen, config.p2p.port))
    write_bundle(home / NEXT_BUNDLE_NAME, genesis, bundle)
    return bundle


def create_node_key(path: Path, name: str, passphrase: bytes) -> Validator:
    """Make a sealed key that brings its certificate along; raises KeystoreError."""
    import ssl

    identity = make_tls_identity(name)
    certificate = ssl.DER_cert_to_PEM_cert(identity.certificate).encode()
    label = create_key(path, passphrase, KeyKind.NODE, name, attachment=identity.key_pem + certificate)
    return Validator(name, label.public_key, identity.certificate)


def _find_addresses(
    around: Neighbourhood, given: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    found = {
        each.name: given.get(each.name) or around.addresses.get(each.public_key) for each in around.validators
    }
    missing = [name for name, address in found.items() if address is None]
    if missing:
        raise CliError(
            f"no validator that answers says where {', '.join(missing)} is; pass --peer {missing[0]}=HOST:PORT",
            ExitCode.NOT_FOUND,
        )
    return {name: address for name, address in found.items() if address is not None}


def _build_config(place: Place, addresses: Mapping[str, tuple[str, int]]) -> NodeConfig:
    return NodeConfig(
        name=place.name,
        p2p=P2pConfig(host=place.host if place.host in LOOPBACK else ANY_ADDRESS, port=place.p2p_port),
        api=ApiConfig(port=place.api_port),
        peers=tuple(PeerConfig(name, host, port) for name, (host, port) in addresses.items()),
    )
