"""What root makes in a home becomes its owner's, and nothing else does, whatever lies there."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from node import ownership
from node.ownership import ROOT, give_all_to_owner, give_to_owner

OWNER = 65534


class World(NamedTuple):
    """A home and what is beside it; ``given`` are the inodes that were given to somebody."""

    home: Path
    outside: Path
    given: dict[int, int]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home of OWNER in which everything else is root's; whoever runs the tests, and gives nothing away really."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "keys").mkdir(parents=True)
    outside.mkdir()
    given: dict[int, int] = {}
    plain_stat, plain_fstat = os.stat, os.fstat
    of_home = home.stat().st_ino

    def pretend(found: os.stat_result) -> os.stat_result:
        owner = OWNER if found.st_ino == of_home else given.get(found.st_ino, ROOT)
        values = list(found)
        values[stat.ST_UID] = values[stat.ST_GID] = owner
        return os.stat_result(values, {"st_ctime": found.st_ctime})

    monkeypatch.setattr(os, "stat", lambda *a, **n: pretend(plain_stat(*a, **n)))
    monkeypatch.setattr(os, "fstat", lambda fd: pretend(plain_fstat(fd)))

    def give(made: int | Path, uid: int, gid: int) -> None:
        assert uid == gid
        given[(plain_fstat(made) if isinstance(made, int) else plain_stat(made)).st_ino] = uid

    monkeypatch.setattr(os, "fchown", give)
    monkeypatch.setattr(os, "chown", give)
    monkeypatch.setattr(os, "geteuid", lambda: ROOT)
    return World(home, outside, given)


def test_all_that_was_made_is_given_at_any_depth(world: World) -> None:
    (world.home / "keys" / "node.key").write_bytes(b"")
    (world.home / "data" / "leveldb").mkdir(parents=True)
    (world.home / "data" / "leveldb" / "LOG").write_bytes(b"")
    give_all_to_owner(world.home, 0.0)
    assert world.given == {path.lstat().st_ino: OWNER for path in world.home.rglob("*")}


def test_what_root_laid_there_before_stays_roots(world: World) -> None:
    (world.home / "passphrase").write_bytes(b"")
    give_all_to_owner(world.home, (world.home / "passphrase").lstat().st_ctime + 10.0)
    assert world.given == {}


def test_no_link_and_no_second_name_leads_out_of_the_home(world: World) -> None:
    (world.outside / "shadow").write_bytes(b"")
    (world.outside / "folder").mkdir()
    (world.outside / "folder" / "inner").write_bytes(b"")
    (world.home / "soft").symlink_to(world.outside / "shadow")
    (world.home / "folder").symlink_to(world.outside / "folder")
    (world.home / "hard").hardlink_to(world.outside / "shadow")
    os.mkfifo(world.home / "pipe")
    give_all_to_owner(world.home, 0.0)
    assert set(world.given) == {(world.home / "keys").stat().st_ino}


def test_a_home_of_root_stays_roots(world: World) -> None:
    (world.home / "keys" / "inner").mkdir()
    give_all_to_owner(world.home / "keys", 0.0)
    assert world.given == {}


def test_a_home_that_is_a_whole_disk_is_not_walked_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "ENTRIES_MAX", 3)
    for number in range(10):
        (world.home / str(number)).write_bytes(b"")
    give_all_to_owner(world.home, 0.0)
    assert len(world.given) == 3


def test_a_single_file_is_given_before_it_is_seen_and_only_by_root(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = world.home / "draft"
    draft.write_bytes(b"")
    with draft.open("rb") as file:
        give_to_owner(file.fileno(), world.home)
    assert world.given == {draft.stat().st_ino: OWNER}
    world.given.clear()
    monkeypatch.setattr(os, "geteuid", lambda: OWNER)
    give_to_owner(draft, world.home)
    assert world.given == {}
