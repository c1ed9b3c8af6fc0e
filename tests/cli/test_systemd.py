"""The unit of a validator: told when it is ready, watched, and locked in."""

import getpass
import os
import pwd
import sys
from pathlib import Path

import pytest

from cli import systemd
from cli.failure import CliError, ExitCode
from cli.systemd import render_unit
from tests.cli.conftest import Command

FLAGS = {
    *("PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs"),
    *("ProtectControlGroups", "ProtectClock", "ProtectHostname", "NoNewPrivileges", "PrivateUsers"),
    *("RestrictNamespaces", "RestrictSUIDSGID", "RestrictRealtime", "LockPersonality"),
    *("MemoryDenyWriteExecute", "RemoveIPC"),
}
"""Locks that are on. With the others below `systemd-analyze security` (252) gave 1.2; at most 2.5 is asked for."""


def parse(unit: str) -> dict[str, list[str]]:
    """Map each setting of a unit to its values, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def unit() -> dict[str, list[str]]:
    return parse(
        render_unit(
            "validator", "node0", Path("/var/lib/gridbft"), "gridbft", Path("/etc/gridbft/passphrase")
        )
    )


def test_the_service_is_told_ready_by_the_node_and_watched(unit: dict[str, list[str]]) -> None:
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["WatchdogSec"] == ["60"]
    assert unit["Restart"] == ["on-failure"]
    prevented = {int(code) for code in unit["RestartPreventExitStatus"][0].split()}
    assert prevented == {ExitCode.USAGE, ExitCode.UNHEALTHY, ExitCode.NOT_ALLOWED}


def test_everything_that_can_be_locked_is_locked(unit: dict[str, list[str]]) -> None:
    assert {name for name in FLAGS if unit.get(name) == ["yes"]} == FLAGS
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ProtectHome"] == ["yes"]
    assert unit["ReadWritePaths"] == ['"/var/lib/gridbft"']
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["ProtectProc"] == ["invisible"]
    assert unit["UMask"] == ["0077"]
    assert unit["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert unit["SystemCallArchitectures"] == ["native"]


def test_the_passphrase_comes_as_a_credential_and_stands_nowhere_in_the_unit(
    unit: dict[str, list[str]],
) -> None:
    assert unit["LoadCredential"] == ["passphrase:/etc/gridbft/passphrase"]
    (command,) = unit["ExecStart"]
    assert command.endswith(' start --home "/var/lib/gridbft" --passphrase-file "%d/passphrase"')
    assert command.startswith(f'"{Path(sys.executable).with_name("gridbft")}"')


def test_a_home_that_protection_would_hide_is_let_in_by_name() -> None:
    place = Path("/" + "home") / "ada" / "node0"
    text = render_unit("validator", "node0", place, "ada", Path("/etc/p"))
    unit = parse(text)
    assert unit["ProtectHome"] == ["tmpfs"]
    assert unit["BindPaths"] == [f'"{place}"']


def test_a_percent_sign_in_a_path_is_no_specifier() -> None:
    unit = parse(render_unit("validator", "n", Path("/srv/100%"), "ada", Path("/etc/p%")))
    assert unit["ReadWritePaths"] == ['"/srv/100%%"']
    assert unit["LoadCredential"] == ["passphrase:/etc/p%%"]


@pytest.mark.parametrize("home", ["/srv/a\nExecStart=/bin/sh", '/srv/"', "/srv/$HOME", "/srv/a:b", "/srv/\\"])
def test_a_path_that_would_write_the_unit_is_refused(home: str) -> None:
    with pytest.raises(CliError, match="a unit cannot name this path"):
        render_unit("validator", "n", Path(home), "ada", Path("/etc/p"))


@pytest.mark.parametrize("user", ["", "a b", "a\nb", "a;b", "ü"])
def test_a_user_that_is_no_name_is_refused(user: str) -> None:
    with pytest.raises(CliError, match="is no name of a user"):
        render_unit("validator", "n", Path("/srv"), user, Path("/etc/p"))


def test_it_is_printed_for_whatever_machine_and_nothing_is_changed(network: Path, gridbft: Command) -> None:
    home = network / "node2"
    before = sorted(network.rglob("*"))
    ended = gridbft(
        *("systemd", "install", "--print", "--home", home, "--user", "nobody-here", "--passphrase-file", "p")
    )
    assert ended.code == ExitCode.OK
    assert ended.line == "p: no such file; it must hold the passphrase of the keys before the unit starts"
    assert parse(ended.out)["Description"] == ["gridbft validator node2"]
    assert parse(ended.out)["User"] == ["nobody-here"]
    assert sorted(network.rglob("*")) == before


def test_it_is_written_for_the_owner_of_the_home_and_may_be_written_again(
    network: Path, gridbft: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, passphrase = network / "node0", tmp_path / "passphrase"
    passphrase.write_text("x", encoding="utf-8")
    owner = pwd.struct_passwd(("ada", "x", os.getuid() or 4321, 0, "", "/", "/bin/false"))
    monkeypatch.setattr(systemd, "_find_user", lambda name: owner if name == "ada" else None)
    if os.getuid() == 0:
        os.chown(home, owner.pw_uid, -1)
    arguments = ("systemd", "install", "--home", home, "--user", "ada", "--passphrase-file", passphrase)
    for _ in range(2):
        ended = gridbft(*arguments, "--directory", tmp_path)
        assert ended.code == ExitCode.OK, ended.err
        assert "systemctl enable --now gridbft-node0" in ended.err
        assert parse((tmp_path / "gridbft-node0.service").read_text(encoding="utf-8"))["User"] == ["ada"]
    refused = gridbft(*arguments, "--directory", tmp_path / "absent")
    assert refused.code == ExitCode.ERROR
    assert "run it as root, or print it with --print" in refused.line


def test_what_could_not_run_is_refused_by_name(network: Path, gridbft: Command, tmp_path: Path) -> None:
    passphrase = tmp_path / "p"
    passphrase.write_text("x", encoding="utf-8")
    base = ("systemd", "install", "--directory", tmp_path, "--home", network / "node0")
    nobody = gridbft(*base, "--user", "no-such-user-here", "--passphrase-file", passphrase)
    assert (nobody.code, "useradd --system" in nobody.line) == (ExitCode.USAGE, True)
    root = gridbft(*base, "--user", "root", "--passphrase-file", passphrase)
    assert (root.code, "needs nothing of root" in root.line) == (ExitCode.USAGE, True)
    empty = gridbft(
        "systemd", "install", "--home", tmp_path / "x", "--print", "--passphrase-file", passphrase
    )
    assert (empty.code, "gridbft network new" in empty.line) == (ExitCode.USAGE, True)
    if getpass.getuser() != "daemon":
        other = gridbft(*base, "--user", "daemon", "--passphrase-file", passphrase)
        assert (other.code, "chown -R daemon:" in other.line) == (ExitCode.NOT_ALLOWED, True)
    assert list(tmp_path.glob("*.service")) == []
