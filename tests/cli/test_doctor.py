"""`gridbft doctor`: names what is wrong with a home and what to do, and packs no secret for whoever helps."""

import base64
import json
import os
import re
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.failure import ExitCode
from cli.node_keys import NODE_KEY_PATH
from meter.keystore import KeyKind, open_key
from node.config import load_config
from node.home import load_constitution, open_storage
from tests.cli.conftest import PASSPHRASE, Command
from tests.cli.locked import lock_folder
from tests.integration.ports import find_free_ports


@pytest.fixture
def home(network: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A validator's home that was never started, alone: nobody else is asked, and its ports are free."""
    (network / "client.toml").unlink()
    p2p, api, *others = find_free_ports(5)
    monkeypatch.setenv("GRIDBFT_P2P_PORT", str(p2p))
    monkeypatch.setenv("GRIDBFT_API_PORT", str(api))
    path = network / "node0/config.toml"
    text = path.read_text()
    for number, port in enumerate(others, 1):
        text = text.replace(f"port = 710{number}", f"port = {port}")
    path.write_text(text)
    return network / "node0"


Check = Callable[[Path], dict[str, Any]]


@pytest.fixture
def examine(gridbft: Command) -> Check:
    def run(home: Path) -> dict[str, Any]:
        ended = gridbft("doctor", "--home", home, "--json")
        told = json.loads(ended.out)
        levels = {each["level"] for each in told["findings"]}
        assert (ended.code == ExitCode.UNHEALTHY) == ("problem" in levels)
        assert all(each["advice"] for each in told["findings"] if each["level"] != "ok")
        return {each["check"]: each for each in told["findings"]}

    return run


def test_a_new_home_is_well_but_that_it_does_not_run(examine: Check, home: Path) -> None:
    found = examine(home)
    assert found["node"]["level"] == "warning"
    for check in ("config", "genesis", "permissions", "owner", "key", "settings", "ports", "certificates"):
        assert found[check]["level"] == "ok", found[check]
    for check in ("journal", "store", "same_genesis", "clock", "python", "packages", "disk_mount"):
        assert found[check]["level"] == "ok", found[check]
    assert found["peers_p2p"]["said"].startswith("3 of 3 cannot be reached")
    assert {path.name for path in home.iterdir()} == {"api_tokens.json", "config.toml", "genesis.bin", "keys"}


def open_key_to_others(home: Path) -> None:
    (home / NODE_KEY_PATH).chmod(0o644)


def lose_key(home: Path) -> None:
    (home / NODE_KEY_PATH).unlink()


def misspell_setting(home: Path) -> None:
    with (home / "config.toml").open("a") as file:
        file.write("\nname_of_node = 5\n")


def damage_genesis(home: Path) -> None:
    (home / "genesis.bin").write_bytes(b"not a genesis")


def lose_journal(home: Path) -> None:
    (home / "data/leveldb").mkdir(parents=True)


def damage_journal(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data/journal").write_bytes(bytes(9000))


def damage_store(home: Path) -> None:
    with open_storage(home, load_constitution(home)):
        pass
    (home / "data/leveldb/CURRENT").unlink()


@pytest.mark.parametrize(
    ("spoil", "check", "said"),
    [
        (open_key_to_others, "permissions", "others than its owner may use"),
        (lose_key, "key", "is missing"),
        (misspell_setting, "config", "config.toml"),
        (damage_genesis, "genesis", "is not a genesis of this version"),
        (lose_journal, "journal", "is missing although the chain is there"),
        (damage_journal, "journal", "no header of a journal"),
        (damage_store, "store", "the file CURRENT is missing"),
    ],
)
def test_each_damage_is_a_problem_under_its_own_name_and_hides_no_other_check(
    examine: Check, home: Path, spoil: Callable[[Path], None], check: str, said: str
) -> None:
    spoil(home)
    found = examine(home)
    assert found[check]["level"] == "problem"
    assert said in found[check]["said"]
    assert {"clock", "disk_space", "python", "permissions"} <= set(found)


def test_a_taken_port_and_unsafe_settings_are_named(examine: Check, home: Path) -> None:
    path = home / "config.toml"
    api_port = load_config(home, os.environ).api.port
    path.write_text(path.read_text().replace('# mode = "system"', 'mode = "stepped"'))
    with socket.create_server(("127.0.0.1", api_port)):
        found = examine(home)
    assert found["ports"]["level"] == "problem"
    assert f"127.0.0.1:{api_port} (api.port)" in found["ports"]["said"]
    assert found["settings"]["level"] == "warning"
    assert 'clock.mode is "stepped"' in found["settings"]["said"]


def test_a_home_that_somebody_holds_is_not_opened(examine: Check, home: Path) -> None:
    with open_storage(home, load_constitution(home)):
        found = examine(home)
    assert (
        found["store"]["said"] == found["journal"]["said"] == "the node runs: it checked them when it started"
    )
    assert found["ports"]["level"] == "problem"  # whoever holds it listens nowhere


def test_what_another_user_owns_is_a_warning_and_hides_no_other_check(
    examine: Check, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_storage(home, load_constitution(home)):
        pass
    lock_folder(monkeypatch, home / "data")
    found = examine(home)
    for check in ("journal", "store"):
        assert found[check]["level"] == "warning", found[check]
        assert "could not be looked at" in found[check]["said"]
    assert found["certificates"]["level"] == "ok"


def test_a_home_that_is_none_is_refused(gridbft: Command, tmp_path: Path) -> None:
    ended = gridbft("doctor", "--home", tmp_path / "nowhere")
    assert ended.code == ExitCode.USAGE
    assert "no such directory" in ended.line
    empty = gridbft("doctor", "--home", tmp_path)
    assert empty.code == ExitCode.UNHEALTHY
    assert "problem  genesis" in empty.out
    assert "what to do: copy genesis.bin" in empty.out


CANARIES = {
    name: f"canary-{name}-93f1c7"
    for name in ("environment", "file", "token", "bearer", "address", "comment", "pem", "broker", "reader")
}


SEALED_BYTES = 32
"""How much of a key file's end is looked for: too much to be anywhere by chance, too little to leave the secret."""


def plant(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Put a canary into everything that is secret, and into the log in every form; return them all."""
    opened = open_key(home / NODE_KEY_PATH, PASSPHRASE.encode(), KeyKind.NODE)
    seed, pem = opened.key._secret[:32], opened.attachment
    monkeypatch.setenv("GRIDBFT_METER_PASSPHRASE", CANARIES["environment"])
    monkeypatch.setenv("BROKER_PASSWORD", CANARIES["broker"])
    (home / "start.passphrase").write_text(CANARIES["file"] + "\n")
    (home / "api.token").write_text(CANARIES["reader"] + "\n")
    known = [
        value.encode()
        for name, value in CANARIES.items()
        if name in {"environment", "file", "broker", "reader"}
    ]
    known.append(PASSPHRASE.encode())
    lines = [form for each in known for form in (each.decode(), each.hex(), base64.b64encode(each).decode())]
    lines += [
        f"GET /v1/accounts?token={CANARIES['token']}",
        f"Authorization: Bearer {CANARIES['bearer']}",
        f"mqtt://meter:{CANARIES['address']}@broker.example",
        f"-----BEGIN PRIVATE KEY-----\n{CANARIES['pem']}\n-----END PRIVATE KEY-----",
        (home / NODE_KEY_PATH).read_text(errors="replace"),
    ]
    (home / "node.log").write_text("\n".join(lines))
    config = home / "config.toml"
    text = config.read_text().replace('# file = ""', 'file = "node.log"')
    config.write_text(f"# token of the API: {CANARIES['comment']}\n{text}")
    sealed = (home / NODE_KEY_PATH).read_bytes()[-SEALED_BYTES:]
    return [*(value.encode() for value in CANARIES.values()), PASSPHRASE.encode(), seed, pem, sealed]


def find_canary(content: bytes, canary: bytes) -> bool:
    """Tell whether a canary is there: as it is, in hexadecimal, or within any run of base64 at any offset."""
    core = canary[3:-3]
    if canary in content or core.hex().encode() in content.lower():
        return True
    for run in re.findall(rb"[A-Za-z0-9+/_-]{12,}", content):
        plain = run.replace(b"-", b"+").replace(b"_", b"/")
        for shift in range(4):
            part = plain[shift:]
            if core in base64.b64decode(part[: len(part) - len(part) % 4]):
                return True
    return False


def test_no_secret_is_in_a_bundle_in_any_form(
    gridbft: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries = plant(home, monkeypatch)
    log = (home / "node.log").read_bytes()
    assert sum(find_canary(log, each) for each in canaries) >= 8  # whoever looks for them finds them
    path = tmp_path / "bundle.tar.gz"
    ended = gridbft("doctor", "--home", home, "--bundle", path)
    assert "keys, passphrases and tokens are not in it" in ended.err
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    parts = {each.name: each.read_bytes() for each in (tmp_path / "unpacked/gridbft-doctor").iterdir()}
    assert {
        "findings.json",
        "settings.json",
        "versions.json",
        "status.json",
        "metrics.txt",
        "log-0.txt",
    } <= set(parts)
    assert json.loads(parts["settings.json"])["name"] == "node0"
    assert "GRIDBFT_METER_PASSPHRASE" in json.loads(parts["environment.json"])
    assert [
        (name, each) for name, content in parts.items() for each in canaries if find_canary(content, each)
    ] == []
    again = gridbft("doctor", "--home", home, "--bundle", path)
    assert again.code == ExitCode.USAGE
    assert "there is a file of this name" in again.line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--bundle", "new.tar.gz", "--log", "gone.log"), "--log gone.log: no such file"),
        (("--bundle", "new.tar.gz", "--log", "."), "--log .: it is a directory"),
        (("--log", __file__), "--log: there is no bundle to pack it in"),
        (("--bundle", "new.tar.gz", *("--log", __file__) * 9), "--log: at most 8 are packed"),
    ],
)
def test_a_log_that_cannot_be_packed_is_refused_by_name_and_nothing_is_packed(
    gridbft: Command,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = gridbft("doctor", "--home", home, *arguments)
    assert (ended.code, reason in ended.line) == (ExitCode.USAGE, True), ended.err
    assert ended.out == ""
    assert not Path("new.tar.gz").exists()
