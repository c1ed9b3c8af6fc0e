"""Letting go of what a stopped home holds and others can give back; what its validator has signed is not of that kind.

Directories are renamed to ``leveldb.fetching`` before they are deleted, which the next start deletes as well: wherever
the power goes, the home can be started, and another run does the rest. The journal goes last, and only when all is to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME, Constitution
from node.home_lock import hold_home
from node.inspection import open_stored_chain
from node.peers import HANDOVERS_NAME, read_newest_membership
from node.recover import check_journal_intact
from node.snapshots.installation import (
    CURRENT_NAME,
    FETCHING_NAME,
    OFFERED_NAME,
    REPLACED_NAME,
    DirectoryOperations,
    SystemDirectories,
)
from vm.contracts.validators import read_validator_set

LOCK_NAME = "journal.lock"
STORES = (FETCHING_NAME, OFFERED_NAME, REPLACED_NAME, CURRENT_NAME)
"""In the order in which they go: the chain itself last, so that nothing older takes its place."""


class ResetKind(StrEnum):
    """What a reset lets go of."""

    DATA = "data"
    PEERS = "peers"
    EVERYTHING = "unsafe-all"


@dataclass(frozen=True, slots=True)
class Removal:
    """A file or directory below the home, and how many bytes are in it."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What goes, in this order, and what of the home stays."""

    kind: ResetKind
    removed: tuple[Removal, ...]
    kept: tuple[str, ...]


def plan_reset(home: Path, constitution: Constitution, kind: ResetKind) -> ResetPlan:
    """Return what a reset would do; nothing is changed but a torn tail of the journal, as by a start.

    Raises:
        HomeError: the validator runs, its journal is not whole, or what would go is still needed.
        DiskError: the disk fails.

    """
    data = home / "data"
    try:
        if data.is_dir():
            with hold_home(data):
                pass  # whoever runs is told so before anything else
        if kind is ResetKind.DATA and (data / CURRENT_NAME).exists():
            check_journal_intact(home, constitution)
        if kind is ResetKind.PEERS and (home / HANDOVERS_NAME).exists():
            _check_handovers_passed(home, constitution)
        names = list(_list_names(home, kind))
        removed = tuple(Removal(name, _measure(home / name)) for name in names)
        gone = set(names)
        kept = [
            path.relative_to(home).as_posix()
            for path in [*sorted(home.iterdir()), *(sorted(data.iterdir()) if data.is_dir() else ())]
            if path != data and path.relative_to(home).as_posix() not in gone and path.name != LOCK_NAME
        ]
    except OSError as error:
        raise DiskError(f"{error.filename or home}: {error.strerror}") from None
    return ResetPlan(kind, removed, tuple(kept))


def reset(home: Path, plan: ResetPlan, directories: DirectoryOperations | None = None) -> None:
    """Do what was planned. It may be run again wherever it was interrupted.

    Raises:
        HomeError: the validator runs.
        DiskError: the disk fails.

    """
    directories = directories or SystemDirectories()
    data = home / "data"
    if not plan.removed:
        return
    try:
        if plan.kind is ResetKind.PEERS:
            _remove(home, HANDOVERS_NAME, directories)
            return
        with hold_home(data):
            for removal in plan.removed:
                _remove(data, removal.name.removeprefix("data/"), directories)
    except OSError as error:
        raise DiskError(f"{error.filename or home}: {error.strerror}") from None


def _list_names(home: Path, kind: ResetKind) -> Iterator[str]:
    data = home / "data"
    if kind is ResetKind.PEERS:
        if (home / HANDOVERS_NAME).exists():
            yield HANDOVERS_NAME
        return
    yield from (f"data/{name}" for name in STORES if (data / name).exists())
    if kind is ResetKind.EVERYTHING and data.is_dir():
        others = (path.name for path in sorted(data.iterdir()) if path.name not in {*STORES, LOCK_NAME})
        yield from (f"data/{name}" for name in others if name != JOURNAL_NAME)
        if (data / JOURNAL_NAME).exists():
            yield f"data/{JOURNAL_NAME}"


def _check_handovers_passed(home: Path, constitution: Constitution) -> None:
    """Refuse to let go of handovers that lead further than the chain: without them nobody may be found."""
    try:
        known = read_newest_membership(home, constitution)
    except HomeError:
        return  # unreadable, so of no use
    epoch = 0
    if (home / "data" / CURRENT_NAME).exists():
        with open_stored_chain(home, constitution) as chain:
            current = read_validator_set(chain, constitution.genesis)
            epoch = 0 if current is None else current.epoch
    if known is not None and known.epoch > epoch:
        raise HomeError(
            f"{HANDOVERS_NAME} leads to epoch {known.epoch} and the chain here has come to epoch {epoch}: without it"
            " this node may find nobody; start it until it has caught up"
        )


def _remove(base: Path, name: str, directories: DirectoryOperations) -> None:
    path = base / name
    if path.is_dir() and not path.is_symlink():
        if name != FETCHING_NAME:
            directories.rename(path, base / FETCHING_NAME)
            directories.fsync_directory(base)
        directories.remove_tree(base / FETCHING_NAME)
    else:
        path.unlink(missing_ok=True)
    directories.fsync_directory(base)


def _measure(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
