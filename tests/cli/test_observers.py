"""Each operator decides whom its validator serves; an observer's home starts as whom its bundle says."""

import json
import os
from pathlib import Path

import pytest

from cli.certificates import make_tls_identity
from cli.failure import CliError, ExitCode
from cli.joining import Neighbourhood
from cli.node_keys import open_identities
from cli.observing import BUNDLE_NAME, check_following, create_observer_home
from node.config import load_config
from node.home import load_constitution
from node.observer.bundles import OBSERVERS_MAX, Observer, encode_bundle, read_admitted, read_bundle
from node.observer.keeper import SourceBook
from primitives.signing import SecretKey
from tests.cli.conftest import PASSPHRASE, Command
from vm.genesis import Genesis, decode_genesis

PEERS = {"node0": ("192.0.2.1", 7200), "node1": ("192.0.2.2", 7200)}
SECRET = PASSPHRASE.encode()


@pytest.fixture
def genesis(network: Path) -> Genesis:
    return decode_genesis((network / "genesis.bin").read_bytes())


@pytest.fixture
def around(genesis: Genesis) -> Neighbourhood:
    return Neighbourhood(genesis.validators, {}, (), 3)


@pytest.fixture
def gateway(tmp_path: Path, genesis: Genesis, around: Neighbourhood) -> Path:
    """An observer's home."""
    home = tmp_path / "gateway"
    create_observer_home(home, genesis, "gateway", 8200, around, PEERS, SECRET)
    return home


def test_an_observers_home_is_whom_its_bundle_says(gateway: Path) -> None:
    config, constitution = load_config(gateway, {}), load_constitution(gateway)
    (identity,) = open_identities(gateway, SECRET)
    observer = read_bundle(gateway / BUNDLE_NAME, constitution.genesis_hash)
    assert (observer.name, observer.public_key) == ("gateway", identity.key.public)
    assert observer.tls_certificate == identity.certificate
    assert (config.role, config.name, config.api.port, config.observers.port) == (
        "observer",
        "gateway",
        8200,
        0,
    )
    assert [(peer.name, peer.host, peer.port) for peer in config.peers] == [
        (name, host, port) for name, (host, port) in PEERS.items()
    ]
    SourceBook(config.peers, None).check(constitution.membership, identity.key.public)


@pytest.mark.parametrize(
    ("name", "api_port", "peers", "reason"),
    [
        ("a b", 8200, PEERS, "--name: 'a b'"),
        (".x", 8200, PEERS, "--name: '.x'"),
        ("gateway", 0, PEERS, "--api-port: the port 0"),
        ("gateway", 65536, PEERS, "--api-port: the port 65536"),
        ("gateway", 8200, {}, "--peer: an observer follows validators"),
    ],
)
def test_what_can_be_no_observer_is_refused(
    name: str, api_port: int, peers: dict[str, tuple[str, int]], reason: str
) -> None:
    with pytest.raises(CliError) as refusal:
        check_following(name, api_port, peers)
    assert reason in str(refusal.value)
    assert refusal.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "peers", "reason"),
    [
        ("node2", PEERS, "node2 validates"),
        ("gateway", {"node7": ("h", 1)}, "node7 is no validator of now"),
    ],
)
def test_a_validators_name_and_a_stranger_to_follow_are_refused(
    tmp_path: Path,
    genesis: Genesis,
    around: Neighbourhood,
    name: str,
    peers: dict[str, tuple[str, int]],
    reason: str,
) -> None:
    with pytest.raises(CliError, match=reason):
        create_observer_home(tmp_path / "x", genesis, name, 8200, around, peers, SECRET)
    assert not (tmp_path / "x").exists()


def test_a_directory_that_exists_is_left_alone(
    gateway: Path, genesis: Genesis, around: Neighbourhood
) -> None:
    with pytest.raises(CliError, match="keys are never overwritten"):
        create_observer_home(gateway, genesis, "gateway", 8200, around, PEERS, SECRET)


def test_who_is_added_is_listed_until_it_is_removed(gridbft: Command, network: Path, gateway: Path) -> None:
    home, bundle = network / "node0", gateway / BUNDLE_NAME
    for _ in range(2):  # adding twice is adding once
        ended = gridbft("observers", "add", bundle, "--home", home)
        assert ended.code == ExitCode.OK
        assert "its port for observers is shut" in ended.err
    told = json.loads(gridbft("observers", "list", "--home", home, "--json").out)
    assert [each["name"] for each in told["observers"]] == ["gateway"]
    assert "gateway" in gridbft("observers", "list", "--home", home).out
    assert len(read_admitted(home, load_constitution(home).genesis_hash).observers) == 1
    assert json.loads(gridbft("observers", "remove", "gateway", "--home", home, "--json").out) == {
        "removed": "gateway"
    }
    ended = gridbft("observers", "remove", "gateway", "--home", home)
    assert (ended.code, "is no observer of this validator" in ended.line) == (ExitCode.NOT_FOUND, True)
    assert "0 observers" in gridbft("observers", "list", "--home", home).out


def test_what_is_added_belongs_to_the_homes_owner_whoever_adds_it(
    gridbft: Command, network: Path, gateway: Path
) -> None:
    home = network / "node0"
    if os.geteuid() == 0:  # anybody else owns every home that it can write to
        os.chown(home, 65534, 65534)
    assert gridbft("observers", "add", gateway / BUNDLE_NAME, "--home", home).code == ExitCode.OK
    for made in (home / "observers", *(home / "observers").iterdir()):
        assert (made.stat().st_uid, made.stat().st_gid) == (home.stat().st_uid, home.stat().st_gid)


def test_another_observer_of_the_same_name_is_refused(
    gridbft: Command, network: Path, gateway: Path, genesis: Genesis, around: Neighbourhood, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    create_observer_home(other, genesis, "gateway", 8201, around, PEERS, SECRET)
    home = network / "node0"
    assert gridbft("observers", "add", gateway / BUNDLE_NAME, "--home", home).code == ExitCode.OK
    ended = gridbft("observers", "add", other / BUNDLE_NAME, "--home", home)
    assert (ended.code, "there is an observer of this name" in ended.line) == (ExitCode.USAGE, True)


def test_what_lets_nobody_in_is_told_and_removed_by_its_file(gridbft: Command, network: Path) -> None:
    home = network / "node0"
    (home / "observers").mkdir()
    (home / "observers" / "broken.bundle").write_bytes(b"nonsense")
    ended = gridbft("observers", "list", "--home", home)
    assert "broken.bundle lets nobody in: no observer bundle" in ended.err
    assert gridbft("observers", "remove", "broken", "--home", home).code == ExitCode.OK
    assert list((home / "observers").iterdir()) == []


def test_beyond_the_bound_nobody_is_added(gridbft: Command, network: Path, gateway: Path) -> None:
    home = network / "node0"
    genesis_hash = load_constitution(home).genesis_hash
    (home / "observers").mkdir()
    for number in range(OBSERVERS_MAX):
        name, key = f"o{number}", SecretKey(bytes([number + 1]) * 32)
        observer = Observer(name, key.public, make_tls_identity(name).certificate)
        (home / "observers" / f"{name}.bundle").write_bytes(encode_bundle(genesis_hash, observer))
    ended = gridbft("observers", "add", gateway / BUNDLE_NAME, "--home", home)
    assert (ended.code, "which is the most" in ended.line) == (ExitCode.ERROR, True)


def test_a_validators_bundle_and_an_observers_home_are_refused(
    gridbft: Command, network: Path, gateway: Path
) -> None:
    ended = gridbft("observers", "add", network / "genesis.bin", "--home", network / "node0")
    assert (ended.code, "no observer bundle" in ended.line) == (ExitCode.USAGE, True)
    ended = gridbft("observers", "add", gateway / BUNDLE_NAME, "--home", gateway)
    assert (ended.code, "the home of an observer" in ended.line) == (ExitCode.USAGE, True)


def test_a_role_that_is_none_is_refused_before_a_passphrase_is_asked_for(
    gridbft: Command, gateway: Path
) -> None:
    ended = gridbft("start", "--role", "king", "--home", gateway)
    assert (ended.code, "a node is a validator or an observer" in ended.line) == (ExitCode.USAGE, True)
    ended = gridbft(
        *("network", "join", "--role", "king", "--name", "x", "--api-port", 1, "--from", gateway, "-o", "y")
    )
    assert (ended.code, "--role: 'king' is none" in ended.line) == (ExitCode.USAGE, True)


def test_a_validator_that_joins_needs_a_place_and_an_observer_a_validator(
    gridbft: Command, network: Path
) -> None:
    join = ("network", "join", "--name", "x", "--api-port", 8200, "--from", network, "-o", network / "x")
    ended = gridbft(*join)
    assert (ended.code, "--host: a validator needs it" in ended.line) == (ExitCode.USAGE, True)
    ended = gridbft(*join, "--host", "192.0.2.9")
    assert (ended.code, "--p2p-port: a validator needs it" in ended.line) == (ExitCode.USAGE, True)
    ended = gridbft(*join, "--role", "observer")
    assert (ended.code, "--peer: an observer follows validators" in ended.line) == (ExitCode.USAGE, True)
