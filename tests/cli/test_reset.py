"""`gridbft reset` asks for the network's name, says what goes and what stays, and does nothing without it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.failure import ExitCode
from node.home import load_constitution, open_storage
from tests.cli.conftest import Command
from tests.cli.processes import COMMAND, build_environment
from tests.node.storage.homes import build_home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("made") / "node0").path


@pytest.fixture
def home(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "node0"))


def test_it_says_what_goes_and_what_stays_and_can_be_run_twice(gridbft: Command, home: Path) -> None:
    name = load_constitution(home).genesis.name
    ended = gridbft("reset", "data", "--home", home, "--confirm", name)
    assert ended.code == ExitCode.OK
    assert f"removes {home / 'data/leveldb'} (" in ended.err
    assert f"keeps   {home / 'data/journal'}: what this validator has signed" in ended.err
    assert "Start it now" in ended.err
    assert not (home / "data/leveldb").exists()
    again = gridbft("reset", "data", "--home", home)
    assert again.code == ExitCode.OK
    assert "nothing to remove" in again.line


@pytest.mark.parametrize("what", ["data", "unsafe-all"])
@pytest.mark.parametrize("confirm", [(), ("--confirm", "another"), ("--confirm", "")])
def test_without_the_networks_name_nothing_is_done(
    gridbft: Command, home: Path, what: str, confirm: tuple[str, ...]
) -> None:
    ended = gridbft("reset", what, "--home", home, *confirm)
    assert ended.code == ExitCode.USAGE
    assert ended.err.splitlines()[-1].startswith("gridbft: nothing was done")
    assert (home / "data/leveldb").exists()
    assert (home / "data/journal").exists()


def test_a_running_home_is_refused_before_anything_is_asked(gridbft: Command, home: Path) -> None:
    with open_storage(home, load_constitution(home)):
        ended = gridbft("reset", "data", "--home", home)
    assert ended.code == ExitCode.ERROR
    assert "the validator runs; stop it first" in ended.line


def test_all_goes_with_a_warning_and_peers_are_told_where_they_are(gridbft: Command, home: Path) -> None:
    name = load_constitution(home).genesis.name
    ended = gridbft("reset", "unsafe-all", "--home", home, "--confirm", name)
    assert ended.code == ExitCode.OK
    assert "What this validator has signed is forgotten here" in ended.err
    assert not (home / "data/journal").exists()
    ended = gridbft("reset", "peers", "--home", home)
    assert ended.code == ExitCode.OK
    assert "Scores and bans are in memory only" in ended.err


def test_a_home_without_a_genesis_is_refused(gridbft: Command, tmp_path: Path) -> None:
    ended = gridbft("reset", "data", "--home", tmp_path, "--confirm", "x")
    assert ended.code == ExitCode.ERROR
    assert "copy the network's genesis" in ended.line


@pytest.mark.parametrize(("typed", "code"), [("{name}\n", ExitCode.OK), ("yes\n", ExitCode.USAGE)])
def test_on_a_terminal_the_name_is_typed(home: Path, typed: str, code: ExitCode) -> None:
    name = load_constitution(home).genesis.name
    here, there = os.openpty()
    try:
        os.write(here, typed.format(name=name).encode())
        ended = subprocess.run(
            [*COMMAND, "reset", "data", "--home", home],
            env=build_environment(),
            stdin=there,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(here)
        os.close(there)
    assert ended.returncode == code
    assert f"Type the network's name ({name}) to go on: " in ended.stderr
    assert (home / "data/leveldb").exists() == (code != ExitCode.OK)
