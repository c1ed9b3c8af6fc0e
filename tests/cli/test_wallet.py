"""A wallet's key is made once, sealed, and shown without its secret."""

import json
import stat
from pathlib import Path

import pytest

from cli.failure import ExitCode
from meter.keystore import KeyKind, open_key
from tests.cli.conftest import PASSPHRASE, Command


def test_a_created_key_opens_with_its_passphrase_and_is_the_owners_only(
    tmp_path: Path, gridbft: Command
) -> None:
    ended = gridbft("wallet", "create", "alice", "--home", tmp_path, "--json")
    assert ended.code == ExitCode.OK
    described = json.loads(ended.out)
    path = tmp_path / "wallets" / "alice.key"
    assert described["file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    opened = open_key(path, PASSPHRASE.encode(), KeyKind.WALLET)
    assert opened.key.public.hex() == described["public_key"]
    assert opened.label.account.hex() == described["account"]


def test_a_meters_key_is_of_its_own_kind(tmp_path: Path, gridbft: Command) -> None:
    described = json.loads(
        gridbft("wallet", "create", "CL01", "--kind", "meter", "--home", tmp_path, "--json").out
    )
    assert described["kind"] == "meter"


def test_a_key_is_never_overwritten(tmp_path: Path, gridbft: Command) -> None:
    gridbft("wallet", "create", "alice", "--home", tmp_path)
    before = (tmp_path / "wallets" / "alice.key").read_bytes()
    ended = gridbft("wallet", "create", "alice", "--home", tmp_path)
    assert ended.code == ExitCode.ERROR
    assert "never overwritten" in ended.line
    assert (tmp_path / "wallets" / "alice.key").read_bytes() == before


def test_show_needs_no_passphrase(tmp_path: Path, gridbft: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads(gridbft("wallet", "create", "alice", "--home", tmp_path, "--json").out)
    monkeypatch.delenv("GRIDBFT_PASSPHRASE")
    assert json.loads(gridbft("wallet", "show", "alice", "--home", tmp_path, "--json").out) == made
    assert json.loads(gridbft("wallet", "show", "--home", tmp_path, "--json").out) == [made]


def test_show_of_an_unknown_key_is_not_found(tmp_path: Path, gridbft: Command) -> None:
    ended = gridbft("wallet", "show", "bob", "--home", tmp_path)
    assert ended.code == ExitCode.NOT_FOUND
    assert "no such key file" in ended.line


@pytest.mark.parametrize("name", ["../alice", "a b", "", "x" * 33])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, gridbft: Command, name: str) -> None:
    ended = gridbft("wallet", "create", name, "--home", tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "is no name: 1 to 32 letters" in ended.line
    assert not (tmp_path / "wallets").exists()


def test_another_kind_than_a_wallets_is_a_usage_error(tmp_path: Path, gridbft: Command) -> None:
    ended = gridbft("wallet", "create", "alice", "--kind", "node", "--home", tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "--kind node: meter or wallet" in ended.line


def test_the_flag_before_the_command_and_the_environment_name_the_home(
    tmp_path: Path, gridbft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDBFT_HOME", str(tmp_path / "environment"))
    gridbft("wallet", "create", "alice")
    gridbft("--home", tmp_path / "before", "wallet", "create", "alice")
    gridbft("--home", tmp_path / "before", "wallet", "create", "alice", "--home", tmp_path / "after")
    for home in ("environment", "before", "after"):
        assert (tmp_path / home / "wallets" / "alice.key").is_file()
