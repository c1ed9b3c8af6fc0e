"""Whatever command root types about a home, what it leaves there belongs to the home's owner."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.failure import ExitCode
from tests.cli.conftest import Command

OWNER = 65534 if os.geteuid() == 0 else os.geteuid()
"""Anybody but root owns every home that it can write to."""


def list_strangers(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.lstat().st_uid != OWNER]


def list_inodes(home: Path) -> set[int]:
    return {path.lstat().st_ino for path in home.rglob("*")}


def give(home: Path) -> None:
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, OWNER, OWNER)


def back_up(gridbft: Command, home: Path) -> Path:
    kept = home.parent / "keys.backup"
    assert gridbft("keys", "backup", "--home", home, "-o", kept).code == ExitCode.OK
    return kept


def lose_keys(gridbft: Command, home: Path) -> tuple[object, ...]:
    kept = back_up(gridbft, home)
    (home / "keys" / "node.key").unlink()
    return "keys", "restore", kept


WRITING: list[Callable[[Command, Path], tuple[object, ...]]] = [
    lambda *_: ("network", "rotate"),
    lose_keys,
    lambda *_: ("recover",),
    lambda *_: ("tokens", "add", "gateway"),
    lambda *_: ("wallet", "create", "ada"),
]


@pytest.mark.parametrize("prepare", WRITING, ids=["rotate", "restore", "recover", "tokens", "wallet"])
def test_what_a_command_makes_in_a_home_is_its_owners(
    gridbft: Command, network: Path, prepare: Callable[[Command, Path], tuple[object, ...]]
) -> None:
    home = network / "node0"
    command = prepare(gridbft, home)
    give(home)
    before = list_inodes(home)
    ended = gridbft(*command, "--home", home)
    assert ended.code == ExitCode.OK, ended.err
    assert list_inodes(home) - before
    assert list_strangers(home) == []


def test_root_does_not_run_the_node_of_another_user(
    gridbft: Command, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write for months, and one kill would leave all of it root's."""
    home = network / "node0"
    if os.geteuid() == 0:
        give(home)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    ended = gridbft("start", "--home", home)
    assert (ended.code, "the node runs as its owner, not as root" in ended.line) == (
        ExitCode.NOT_ALLOWED,
        True,
    )
    assert list_strangers(home) == []
