"""A home for a validator that joins, a second key for one that rotates; whatever is asked wrongly says what to do."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.bundle import Bundle, read_bundle
from cli.failure import CliError, ExitCode
from cli.joining import (
    Neighbourhood,
    Place,
    check_place,
    create_joining_home,
    create_next_key,
    parse_peers,
)
from cli.node_keys import NEXT_KEY_PATH, NODE_KEY_PATH, open_identities
from meter.keystore import KeyKind, create_key, open_key
from node.config import load_config
from node.errors import HomeError
from node.home import load_constitution
from node.identity import choose_identity
from node.peers import PeerBook, read_newest_membership
from tests.cli.conftest import PASSPHRASE, Command
from tests.meter.networks import HANDOVERS
from vm.contracts.validators import Endpoint
from vm.genesis import Genesis, decode_genesis

PLACE = Place("node4", "192.0.2.4", 7104, 8104)
SECRET = PASSPHRASE.encode()


@pytest.fixture
def genesis(network: Path) -> Genesis:
    return decode_genesis((network / "genesis.bin").read_bytes())


@pytest.fixture
def around(genesis: Genesis) -> Neighbourhood:
    addresses = {each.public_key: (f"host-{each.name}", 7100) for each in genesis.validators}
    return Neighbourhood(genesis.validators, addresses, (), 3)


class NoLedger:
    """A state that says where nobody is."""

    def get(self, key: bytes) -> None:
        _ = key

    def iterate(self, prefix: bytes) -> "iter[tuple[bytes, bytes]]":  # type: ignore[valid-type]
        _ = prefix
        return iter(())


def test_a_joining_home_starts_as_whom_its_bundle_says(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    home = tmp_path / "new" / "node4"
    bundle = create_joining_home(home, genesis, PLACE, around, {}, SECRET)
    assert read_bundle(home / "validator.bundle", genesis) == bundle
    assert bundle.endpoint == Endpoint("192.0.2.4", 7104)
    config, constitution = load_config(home, {}), load_constitution(home)
    assert constitution.genesis == genesis
    identities = open_identities(home, SECRET)
    assert choose_identity(identities, config.name, [constitution.membership]) == (
        identities[0],
        bundle.validator,
    )
    PeerBook(config.name, config.peers, NoLedger()).check(constitution.membership)
    assert [(peer.name, peer.host) for peer in config.peers] == [
        (each.name, f"host-{each.name}") for each in genesis.validators
    ]
    assert (config.p2p.host, config.p2p.port, config.api.port) == ("0.0.0.0", 7104, 8104)  # noqa: S104  # as asked
    assert read_newest_membership(home, constitution) is None
    assert not list(tmp_path.glob("new/.*"))


def test_the_handovers_are_kept_for_a_chain_that_does_not_know_them_yet(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    home = tmp_path / "node4"
    create_joining_home(home, genesis, PLACE, replace(around, handovers=HANDOVERS), {}, SECRET)
    with pytest.raises(HomeError, match="proves nothing"):  # they are of another network than this one
        read_newest_membership(home, load_constitution(home))


def test_an_address_that_is_given_goes_before_what_the_validators_say(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    peers = parse_peers(["node1=[2001:db8::1]:7999"])
    create_joining_home(tmp_path / "node4", genesis, PLACE, around, peers, SECRET)
    told = {peer.name: (peer.host, peer.port) for peer in load_config(tmp_path / "node4", {}).peers}
    assert told["node1"] == ("2001:db8::1", 7999)
    assert told["node2"] == ("host-node2", 7100)


def test_a_validator_that_nobody_locates_must_be_named(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    unknown = replace(around, addresses={})
    with pytest.raises(CliError, match="where node0, node1, node2, node3 is; pass --peer node0=HOST:PORT"):
        create_joining_home(tmp_path / "node4", genesis, PLACE, unknown, {}, SECRET)
    assert list(tmp_path.glob("*node4*")) == []


def test_a_name_that_is_taken_and_a_peer_that_is_none_are_refused(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    with pytest.raises(CliError, match="node2 validates already"):
        create_joining_home(tmp_path / "x", genesis, replace(PLACE, name="node2"), around, {}, SECRET)
    with pytest.raises(CliError, match="node7 is no validator of now"):
        create_joining_home(tmp_path / "x", genesis, PLACE, around, {"node7": ("h", 1)}, SECRET)


def test_a_directory_that_exists_is_left_alone(
    tmp_path: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    with pytest.raises(CliError, match="keys are never overwritten"):
        create_joining_home(tmp_path, genesis, PLACE, around, {}, SECRET)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": "a b"}, "--name: 'a b'"),
        ({"name": ".x"}, "--name: '.x'"),
        ({"host": "a b"}, "--host: the host 'a b'"),
        ({"host": "0.0.0.0"}, "--host: nobody reaches 0.0.0.0"),  # noqa: S104  # it is refused
        ({"p2p_port": 0}, "--p2p-port: the port 0"),
        ({"api_port": 65536}, "--api-port: the port 65536"),
        ({"api_port": 7104}, "--api-port: 7104 is --p2p-port as well"),
    ],
)
def test_a_place_where_nobody_can_be_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(CliError) as refusal:
        check_place(replace(PLACE, **changed))  # type: ignore[arg-type]
    assert reason in str(refusal.value)
    assert refusal.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    "text", ["node0", "node0=host", "node0=:1", "=h:1", "node0=h:0", "node0=h:x", "n=h:٣"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="--peer"):
        parse_peers([text])


def test_a_second_key_is_made_beside_the_first_under_the_same_passphrase(
    network: Path, genesis: Genesis
) -> None:
    home = network / "node1"
    first = (home / NODE_KEY_PATH).read_bytes()
    bundle = create_next_key(home, genesis, None, SECRET)
    assert bundle == Bundle(bundle.validator, Endpoint("127.0.0.1", 7101))
    assert bundle.validator.name == "node1"
    assert read_bundle(home / "validator.next.bundle", genesis) == bundle
    assert (home / NODE_KEY_PATH).read_bytes() == first
    old, following = open_identities(home, SECRET)
    assert old.key.public == genesis.validators[1].public_key
    assert (following.key.public, following.certificate) == (
        bundle.validator.public_key,
        bundle.validator.tls_certificate,
    )
    with pytest.raises(CliError, match="a rotation is under way"):
        create_next_key(home, genesis, None, SECRET)


def test_no_second_key_is_made_under_another_passphrase(network: Path, genesis: Genesis) -> None:
    with pytest.raises(CliError, match="passphrase is wrong") as refusal:
        create_next_key(network / "node1", genesis, None, b"another")
    assert refusal.value.code is ExitCode.NOT_ALLOWED
    assert not (network / "node1" / NEXT_KEY_PATH).exists()


def test_where_others_reach_the_machine_must_be_said_when_its_settings_do_not(
    network: Path, genesis: Genesis
) -> None:
    config = network / "node1" / "config.toml"
    config.write_text(config.read_text().replace('# host = "127.0.0.1"', 'host = "0.0.0.0"', 1))
    assert load_config(network / "node1", {}).p2p.host == "0.0.0.0"  # noqa: S104  # the case that is tested
    with pytest.raises(CliError, match=r"--host: nobody reaches 0\.0\.0\.0"):
        create_next_key(network / "node1", genesis, None, SECRET)
    assert create_next_key(network / "node1", genesis, "192.0.2.1", SECRET).endpoint.host == "192.0.2.1"


def test_a_key_file_whose_certificate_is_none_is_refused(network: Path) -> None:
    shutil.rmtree(network / "node1" / "keys")
    key_pem = open_key(network / "node0" / NODE_KEY_PATH, SECRET, KeyKind.NODE).attachment
    spoiled = key_pem + b"-----BEGIN CERTIFICATE-----\nnone\n"
    create_key(network / "node1" / NODE_KEY_PATH, SECRET, KeyKind.NODE, "node1", attachment=spoiled)
    with pytest.raises(Exception, match="its certificate is none"):
        open_identities(network / "node1", SECRET)


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        (["validators", "add", "nonsuch.bundle"], ExitCode.NOT_FOUND, "is no validator's home"),
        (["validators", "remove"], ExitCode.USAGE, "Missing argument"),
        (["validators", "list", "--epoch", "-1"], ExitCode.USAGE, "--epoch"),
        (["network", "rotate"], ExitCode.USAGE, "config.toml: no such file"),
        (
            [
                "network",
                "join",
                "--name",
                "x",
                "--host",
                "h",
                "--p2p-port",
                "0",
                "--api-port",
                "1",
                "--from",
                ".",
                "-o",
                "x",
            ],
            ExitCode.USAGE,
            "--p2p-port: the port 0",
        ),
    ],
)
def test_a_wrong_command_ends_with_one_line(
    network: Path, gridbft: Command, arguments: list[str], code: ExitCode, answer: str
) -> None:
    ended = gridbft("--home", network, *arguments)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert answer in ended.line
