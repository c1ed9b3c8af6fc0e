"""`gridbft snapshot`: made of a stopped home, checked against the genesis, restored where nothing is overwritten."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.failure import ExitCode
from consensus.effects import Silenced
from node.home import load_constitution, open_storage
from node.storage.leveldb import open_leveldb
from tests.cli.conftest import Command
from tests.cli.processes import COMMAND, build_environment
from tests.node.storage.homes import BLOCKS, build_home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("made") / "node0").path


@pytest.fixture
def home(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "node0"))


def read_tip(home: Path) -> tuple[int, bytes]:
    with open_storage(home, load_constitution(home)) as storage:
        return storage.chain.get_height(), storage.tree.root


def empty_home(home: Path, place: Path) -> Path:
    """A home of the same network on a new disk."""
    place.mkdir()
    shutil.copy(home / "genesis.bin", place)
    return place


def test_a_snapshot_is_carried_to_another_disk_with_the_same_state_and_a_silent_journal(
    gridbft: Command, home: Path, tmp_path: Path
) -> None:
    created = gridbft("snapshot", "create", "--home", home)
    assert created.code == ExitCode.OK
    file = Path(created.out.strip())
    assert file.parent == home / "snapshots"
    listed = gridbft("snapshot", "list", "--home", home)
    assert f"{file}  block {BLOCKS}, epoch 0, " in listed.out
    new = empty_home(home, tmp_path / "new")
    assert gridbft("snapshot", "verify", file, "--home", new).out.startswith(
        f"whole and certified: block {BLOCKS}, epoch 0"
    )
    restored = gridbft("snapshot", "restore", file, "--home", new)
    assert restored.code == ExitCode.OK
    assert restored.err.index("it becomes the chain of") < restored.err.index("done; start it now")
    assert "votes for nothing until" in restored.err
    assert read_tip(new) == read_tip(home)
    with open_storage(new, load_constitution(new)) as storage:
        assert storage.records == (Silenced(is_over=False),)
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_a_home_that_was_reset_keeps_its_journal_through_a_restoration(gridbft: Command, home: Path) -> None:
    file = Path(gridbft("snapshot", "create", "--home", home).out.strip())
    journal, before = (home / "data/journal").read_bytes(), read_tip(home)
    name = load_constitution(home).genesis.name
    assert gridbft("reset", "data", "--home", home, "--confirm", name).code == ExitCode.OK
    restored = gridbft("snapshot", "restore", file, "--home", home)
    assert restored.code == ExitCode.OK
    assert "The home's journal stays" in restored.err
    assert (home / "data/journal").read_bytes() == journal
    assert read_tip(home) == before


def test_each_can_be_run_twice(gridbft: Command, home: Path, tmp_path: Path) -> None:
    file = Path(gridbft("snapshot", "create", "--home", home).out.strip())
    content = file.read_bytes()
    again = gridbft("snapshot", "create", "--home", home, "--json")
    assert (again.code, json.loads(again.out)["is_new"]) == (ExitCode.OK, False)
    assert file.read_bytes() == content
    new = empty_home(home, tmp_path / "new")
    assert gridbft("snapshot", "restore", file, "--home", new).code == ExitCode.OK
    again = gridbft("snapshot", "restore", file, "--home", new)
    assert again.code == ExitCode.OK
    assert "nothing was done" in again.line


def test_an_interrupted_restoration_is_finished_by_the_next_run(
    gridbft: Command, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file.snapshot"
    assert gridbft("snapshot", "create", "--home", home, "-o", file).code == ExitCode.OK
    new = empty_home(home, tmp_path / "new")
    assert gridbft("snapshot", "restore", file, "--home", new).code == ExitCode.OK
    whole = new / "data/leveldb"
    for left in ("leveldb.fetching", "leveldb.next"):  # half of it, or all but the last step
        whole.rename(new / "data" / left)
        ended = gridbft("snapshot", "restore", file, "--home", new)
        assert ended.code == ExitCode.OK, ended.err
        assert "The home's journal stays" in ended.err
        assert {path.name for path in (new / "data").glob("leveldb*")} == {"leveldb"}
        assert read_tip(new) == read_tip(home)


def test_a_chain_is_never_overwritten(gridbft: Command, home: Path, tmp_path: Path) -> None:
    older = build_home(tmp_path / "older", blocks=2).path
    file = tmp_path / "older.snapshot"
    assert gridbft("snapshot", "create", "--home", older, "-o", file).code == ExitCode.OK
    ended = gridbft("snapshot", "restore", file, "--home", home)
    assert ended.code == ExitCode.ERROR
    assert f"there is a chain already, of block {BLOCKS}; nothing is overwritten" in ended.line
    ended = gridbft("snapshot", "create", "--home", home, "-o", file)
    assert ended.code == ExitCode.ERROR
    assert "there is a file of this name, and it is not this snapshot" in ended.line
    assert read_tip(home)[0] == BLOCKS


def test_a_running_home_is_refused(gridbft: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.snapshot"
    assert gridbft("snapshot", "create", "--home", home, "-o", file).code == ExitCode.OK
    with open_storage(home, load_constitution(home)):
        for arguments in (("create",), ("restore", file)):
            ended = gridbft("snapshot", *arguments, "--home", home)
            assert ended.code == ExitCode.ERROR
            assert "the validator runs; stop it first" in ended.line


def test_a_block_without_a_certificate_makes_no_snapshot(gridbft: Command, home: Path) -> None:
    with open_leveldb(home / "data/leveldb") as store:
        store.write(
            {b"c" + BLOCKS.to_bytes(8, "big"): None, b"K": (BLOCKS - 1).to_bytes(8, "big")}, sync=True
        )
    ended = gridbft("snapshot", "create", "--home", home)
    assert ended.code == ExitCode.ERROR
    assert f"block {BLOCKS} has no certificate here yet" in ended.line
    assert not list((home / "snapshots").glob("*")) if (home / "snapshots").exists() else True


def test_a_damaged_journal_is_not_built_upon(gridbft: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.snapshot"
    assert gridbft("snapshot", "create", "--home", home, "-o", file).code == ExitCode.OK
    new = empty_home(home, tmp_path / "new")
    (new / "data").mkdir()
    (new / "data/journal").write_bytes(b"not a journal")
    ended = gridbft("snapshot", "restore", file, "--home", new)
    assert ended.code == ExitCode.ERROR
    assert "run `gridbft recover` first" in ended.line
    assert not (new / "data/leveldb").exists()


def test_what_is_no_snapshot_is_listed_as_such_and_refused(
    gridbft: Command, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.snapshot").write_bytes(b"something else")
    assert "NO SNAPSHOT" in gridbft("snapshot", "list", folder).out
    assert json.loads(gridbft("snapshot", "list", folder, "--json").out)[0]["head"] is None
    for name, code, reason in (
        ("a.snapshot", ExitCode.ERROR, "no snapshot; `gridbft snapshot create`"),
        ("b", ExitCode.USAGE, "no such file"),
    ):
        for command in ("verify", "restore"):
            ended = gridbft("snapshot", command, folder / name, "--home", home)
            assert ended.code == code
            assert reason in ended.line
    assert gridbft("snapshot", "list", tmp_path / "nowhere").out == ""


def test_a_disk_that_is_full_leaves_no_half_of_a_file(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "place" / "file.snapshot"
    command = ["prlimit", "--fsize=90000", *COMMAND, "snapshot", "create", "--home", home, "-o", file]
    ended = subprocess.run(
        list(map(str, command)), env=build_environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == ExitCode.ERROR
    assert "File too large; free space" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(file.parent.iterdir()) == []
