"""A network is made from one file, whole or not at all, and every bad file is named with what to do."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from cli.client_settings import open_client_home
from cli.failure import ExitCode
from cli.network_spec import ConsensusSpec, build_consensus_parameters, parse_spec
from cli.node_keys import NODE_KEY_PATH, open_identities, open_node_key
from meter.keystore import KeyKind, KeyNotOpenedError, open_key, read_key_label
from primitives.hashing import compute_account_id
from tests.cli.conftest import PASSPHRASE, Command
from vm.genesis import decode_genesis

NODES = ("node0", "node1", "node2", "node3")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_and_homes_are_the_owners_only(new_network: Path) -> None:
    for node in NODES:
        assert mode_of(new_network / node) == 0o700
        assert mode_of(new_network / node / "keys") == 0o700
        assert mode_of(new_network / node / "keys" / "node.key") == 0o600
    assert mode_of(new_network / "utility" / "utility.key") == 0o600


def test_nothing_but_the_network_is_left_in_the_parent_directory(new_network: Path) -> None:
    assert [path.name for path in new_network.parent.iterdir()] == [new_network.name]


def test_every_node_and_the_members_hold_the_same_sound_genesis(network: Path) -> None:
    content = (network / "genesis.bin").read_bytes()
    genesis = decode_genesis(content)
    assert [validator.name for validator in genesis.validators] == list(NODES)
    assert all((network / node / "genesis.bin").read_bytes() == content for node in NODES)


def test_the_key_of_a_home_is_the_one_the_genesis_names(network: Path) -> None:
    genesis = decode_genesis((network / "genesis.bin").read_bytes())
    for node, validator in zip(NODES, genesis.validators, strict=True):
        (identity,) = open_identities(network / node, PASSPHRASE.encode())
        assert identity.key.public == validator.public_key
        assert identity.tls_key_pem.startswith(b"-----BEGIN PRIVATE KEY-----")
        assert identity.certificate == b""


def test_the_certificates_are_valid_at_any_time_a_clock_may_show(network: Path) -> None:
    genesis = decode_genesis((network / "genesis.bin").read_bytes())
    for validator in genesis.validators:
        certificate = x509.load_der_x509_certificate(validator.tls_certificate)
        assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
        assert certificate.not_valid_after_utc.year == 9999


def test_the_utility_of_the_genesis_is_the_wallet_that_was_made(network: Path) -> None:
    genesis = decode_genesis((network / "genesis.bin").read_bytes())
    (account,) = [each for each in genesis.accounts if each.role == "utility"]
    opened = open_key(network / "utility" / "utility.key", PASSPHRASE.encode(), KeyKind.WALLET)
    assert (account.role, account.name) == ("utility", "utility")
    assert account.public_key == opened.key.public
    assert account.account == compute_account_id(opened.key.public) == opened.label.account


def test_every_validator_has_the_account_with_which_it_votes_on_members(network: Path) -> None:
    genesis = decode_genesis((network / "genesis.bin").read_bytes())
    accounts = {each.public_key: each for each in genesis.accounts if each.role == "validator"}
    assert accounts.keys() == {validator.public_key for validator in genesis.validators}
    for validator in genesis.validators:
        account = accounts[validator.public_key]
        assert (account.account, account.name) == (compute_account_id(validator.public_key), validator.name)


def test_the_key_files_open_with_no_other_passphrase(network: Path) -> None:
    with pytest.raises(KeyNotOpenedError):
        open_node_key(network / "node0" / NODE_KEY_PATH, b"another")
    assert read_key_label(network / "node0" / "keys" / "node.key").name == "node0"


def test_the_directory_is_a_home_of_members(network: Path) -> None:
    home = open_client_home(network)
    assert home.get_urls() == tuple(f"http://127.0.0.1:{port}" for port in range(8100, 8104))
    assert home.read_genesis().name == "sunny-street"
    assert home.utility_key.is_file()


def test_new_prints_the_hash_that_verify_genesis_prints(tmp_path: Path, spec: Path, gridbft: Command) -> None:
    made = gridbft("network", "new", spec, "-o", tmp_path / "net")
    checked = gridbft("network", "verify-genesis", tmp_path / "net")
    assert made.out == checked.out
    assert gridbft("network", "verify-genesis", tmp_path / "net", "--hash", made.out.strip()).code == 0


@pytest.mark.parametrize(
    ("validators", "view_ms", "deadline_ms", "resend_ms"),
    [(8, 1000, 1500, 400), (9, 4500, 4500, 1125), (16, 8000, 8000, 2000), (72, 8000, 14_400, 2000)],
)
def test_waiting_times_that_are_not_named_follow_the_number_of_validators(
    validators: int, view_ms: int, deadline_ms: int, resend_ms: int
) -> None:
    parameters = build_consensus_parameters(ConsensusSpec(), validators)
    assert parameters.view_timeout_ms == view_ms
    assert parameters.request_deadline_ms == deadline_ms
    assert parameters.resend_ms == resend_ms
    named = build_consensus_parameters(ConsensusSpec(view_timeout_ms=700, resend_ms=90), validators)
    assert (named.view_timeout_ms, named.resend_ms) == (700, 90)


def test_new_with_json_names_what_it_made(tmp_path: Path, spec: Path, gridbft: Command) -> None:
    made = json.loads(gridbft("network", "new", spec, "-o", tmp_path / "net", "--json").out)
    assert set(made) == {"directory", "name", "genesis_hash", "homes", "utility_key"}
    assert all(Path(home).is_dir() for home in made["homes"])
    checked = json.loads(gridbft("network", "verify-genesis", tmp_path / "net", "--json").out)
    assert checked["genesis_hash"] == made["genesis_hash"]


def test_another_hash_than_the_expected_one_is_an_error(network: Path, gridbft: Command) -> None:
    ended = gridbft("network", "verify-genesis", network, "--hash", "00" * 32)
    assert ended.code == ExitCode.ERROR
    assert "get the right file" in ended.line


def test_an_altered_genesis_is_refused(network: Path, gridbft: Command) -> None:
    path = network / "genesis.bin"
    path.write_bytes(path.read_bytes()[:-1])
    ended = gridbft("network", "verify-genesis", path)
    assert ended.code == ExitCode.ERROR
    assert "no sound genesis" in ended.line


def test_an_existing_network_is_never_overwritten(network: Path, spec: Path, gridbft: Command) -> None:
    before = {path: path.read_bytes() for path in network.rglob("*") if path.is_file()}
    ended = gridbft("network", "new", spec, "-o", network)
    assert ended.code == ExitCode.USAGE
    assert "not empty" in ended.line
    assert {path: path.read_bytes() for path in network.rglob("*") if path.is_file()} == before


def test_without_a_passphrase_nothing_is_made(
    tmp_path: Path, spec: Path, gridbft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRIDBFT_PASSPHRASE")
    ended = gridbft("network", "new", spec, "-o", tmp_path / "net")
    assert ended.code == ExitCode.USAGE
    assert "GRIDBFT_PASSPHRASE" in ended.line
    assert not (tmp_path / "net").exists()


def test_an_empty_passphrase_file_is_refused(tmp_path: Path, spec: Path, gridbft: Command) -> None:
    empty = tmp_path / "passphrase"
    empty.write_text("\n", encoding="utf-8")
    ended = gridbft("network", "new", spec, "-o", tmp_path / "net", "--passphrase-file", empty)
    assert ended.code == ExitCode.USAGE
    assert "is empty" in ended.line


@pytest.mark.parametrize(
    ("right", "wrong", "answer"),
    [
        ('name = "sunny-street"', 'name = "sunny street"', "name: 'sunny street' must be"),
        ('name = "sunny-street"', "", "name: missing; add it"),
        ('currency = "EUR"', 'currency = "E1"', "currency: 'E1' must be"),
        ('currency = "EUR"', 'currency = "EUR"\ncolour = 1', "colour: unknown key; remove it"),
        ('currency = "EUR"', 'currency = "EUR"\ntime = 2026-01-01T00:00:00', "time: add the offset"),
        ('currency = "EUR"', 'currency = "EUR"\ntime = 1969-01-01T00:00:00Z', "time: before 1970"),
        ("[energy]", "[energy", "not TOML: "),
        ("slot_s = 900 ", "slot_s = 600 ", "energy.slot_s: 600; use 900 or 3600"),
        ("grace_s = 300 ", "grace_s = -1 ", "energy.grace_s: -1 is negative"),
        ("correction_s = 604800", "correction_s = 10", "energy.correction_s: 10 must be between"),
        ("future_s = 60 ", "future_s = 901 ", "energy.future_s: 901 must be between"),
        ("feed_in_price = 80000", "feed_in_price = 300000", "energy.feed_in_price: 300000 must be"),
        ("retail_price = 220000", "retail_price = 1000000001", "energy.retail_price: 1000000001 is above"),
        ("retail_price = 220000", "retail_price = 0.22", "energy.retail_price: must be a whole number"),
        ("heartbeat_ms = 30000", "heartbeat_ms = 10", "consensus.heartbeat_ms: 10 must be between"),
        ("heartbeat_ms = 30000", "depth = 5", "consensus.depth: 5 must be between 1 and 4"),
        ('name = "node1"', 'name = "node0"', "validators[1].name: 'node0' is taken"),
        ('name = "node1"', 'name = "../x"', "validators[1].name: '../x' must be"),
        ('name = "node1"', 'name = "..."', "validators[1].name: '...' must be"),
        ("p2p_port = 7101", "p2p_port = 8101", "validators[1].api_port: 8101 on 127.0.0.1 is validators[1]"),
        ("p2p_port = 7101", "p2p_port = 7100", "validators[1].p2p_port: 7100 on 127.0.0.1 is validators[0]"),
        ("p2p_port = 7101", "p2p_port = 70000", "validators[1].p2p_port: 70000 is no port"),
        ("p2p_port = 7101", 'p2p_port = "7101"', "validators[1].p2p_port: must be a whole number"),
        ("p2p_port = 7101", "", "validators[1].p2p_port: missing; add it"),
        ('host = "127.0.0.1"\np2p_port = 7101', 'host = "a b"\np2p_port = 7101', "validators[1].host: 'a b'"),
    ],
)
def test_a_wrong_specification_is_named_with_its_key(
    tmp_path: Path, spec: Path, gridbft: Command, *, right: str, wrong: str, answer: str
) -> None:
    text = spec.read_text(encoding="utf-8")
    assert right in text
    spec.write_text(text.replace(right, wrong), encoding="utf-8")
    ended = gridbft("network", "new", spec, "-o", tmp_path / "net")
    assert ended.code == ExitCode.USAGE
    assert f"spec.toml: {answer}" in ended.line
    assert not (tmp_path / "net").exists()


def test_fewer_than_four_validators_are_refused(tmp_path: Path, spec: Path, gridbft: Command) -> None:
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text[: text.rindex("[[validators]]")], encoding="utf-8")
    ended = gridbft("network", "new", spec, "-o", tmp_path / "net")
    assert ended.code == ExitCode.USAGE
    assert "validators: 3 of them; name between 4 and 80" in ended.line


def test_a_missing_specification_says_where_to_get_one(tmp_path: Path, gridbft: Command) -> None:
    ended = gridbft("network", "new", tmp_path / "nonsuch.toml", "-o", tmp_path / "net")
    assert ended.code == ExitCode.USAGE
    assert "gridbft network example" in ended.line


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["nonsuch"], "No such command"),
        (["network", "new"], "Missing argument 'SPEC.toml'"),
        (["network", "new", "spec.toml"], "Missing option '--output'"),
        (["network", "new", "spec.toml", "-o", "net", "--colour"], "No such option: --colour"),
        (["network", "verify-genesis", "nonsuch.bin"], "no such file"),
        (["network", "verify-genesis", "nonsuch.bin", "--hash"], "requires an argument"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error_of_one_line(
    gridbft: Command, arguments: list[str], answer: str
) -> None:
    ended = gridbft(*arguments)
    assert ended.code == ExitCode.USAGE
    assert answer in ended.line
    assert ended.out == ""


def test_an_example_for_machines_of_ones_own_has_the_same_ports_on_each(
    gridbft: Command, tmp_path: Path
) -> None:
    hosts = ["pi0", "192.168.1.11", "pi2.local", "pi0", "fd00::3"]
    ended = gridbft("network", "example", "--p2p-port", 7000, *(f"--host={host}" for host in hosts))
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    spec = parse_spec(ended.out.encode())
    assert [(v.name, v.host, v.p2p_port, v.api_port) for v in spec.validators] == [
        ("node0", "pi0", 7000, 8100),
        ("node1", "192.168.1.11", 7000, 8100),
        ("node2", "pi2.local", 7000, 8100),
        ("node3", "pi0", 7001, 8101),
        ("node4", "fd00::3", 7000, 8100),
    ]


@pytest.mark.parametrize(
    "arguments", [("--host", 'a"b'), ("--host", ""), ("--p2p-port", "0"), ("--api-port", "65536")]
)
def test_an_example_that_could_not_be_read_again_is_refused(
    gridbft: Command, arguments: tuple[str, str]
) -> None:
    ended = gridbft("network", "example", *arguments)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert arguments[0] in ended.line
