"""Snapshots as files of a stopped home: made, listed, checked, and put where there is no chain.

The journal is never part of one. A home that has its journal goes on with what it promised; one without begins a
journal that says that its past is unknown, and is silent until nothing it may have signed matters any more.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consensus.messages import Certificate
from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME, Constitution
from node.home_lock import hold_home
from node.inspection import open_stored_chain
from node.recover import build_silence_record, check_journal_intact
from node.snapshots.archive import ArchiveHead, ArchiveRefused, read_head, unpack_archive, write_archive
from node.snapshots.installation import (
    CURRENT_NAME,
    OFFERED_NAME,
    install_offered,
    offer_fetched,
    open_fetching,
)
from node.storage.chain import ChainStore
from node.storage.files import SystemFiles
from node.storage.integrity import open_tree
from node.storage.journal import JournalFailed, JournalLocked, begin_journal
from node.storage.leveldb import open_leveldb
from node.storage.store import StoreError, StoreFull
from primitives.header import BlockHeader

DIRECTORY_NAME = "snapshots"
SUFFIX = ".snapshot"
LISTED_MAX = 1000
"""Files looked at in one directory; a home keeps a few."""


@dataclass(frozen=True, slots=True)
class SnapshotMade:
    """A snapshot's file, its block, and whether it was there before."""

    path: Path
    height: int
    state_root: str
    size: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class SnapshotListed:
    """A file of a directory: what it says of itself, or why it is none."""

    path: str
    size: int
    head: ArchiveHead | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """What a restoration would do: the block that the home goes on from, and whether its journal begins anew."""

    certificate: Certificate
    is_journal_new: bool
    is_done: bool


def build_default_path(home: Path, constitution: Constitution, height: int) -> Path:
    """Return where a snapshot of a home is kept unless somebody names a place."""
    return home / DIRECTORY_NAME / f"{constitution.genesis.name}-{height}{SUFFIX}"


def create_snapshot(home: Path, constitution: Constitution, path: Path | None) -> SnapshotMade:
    """Write the last block's state to a file, whole or not at all, and check what was written.

    Raises:
        HomeError: the validator runs, has no certified state, or another file has the name.
        DiskError: the disk is full or fails.

    """
    with open_stored_chain(home, constitution) as chain, _named_failures(path or home):
        tree, certificate = open_tree(chain), chain.get_latest_certificate()
        header = chain.get_latest_header()
        if certificate is None or certificate.header != header:
            raise HomeError(
                f"block {header.height} has no certificate here yet, so nobody would believe its state: start the"
                " validator until `gridbft status` shows it certified, and stop it again"
            )
        target = path or build_default_path(home, constitution, header.height)
        is_new = not target.exists()
        if is_new:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _open_whole(target) as draft, draft.open("wb") as file:
                write_archive(file, constitution, chain, tree, certificate)
                file.flush()
                os.fsync(file.fileno())
    if is_new:
        verify_snapshot(target, constitution)
    else:
        _check_same(target, constitution, header)
    return SnapshotMade(target, header.height, header.state_root.hex(), target.stat().st_size, is_new)


def list_snapshots(directory: Path) -> list[SnapshotListed]:
    """Return the snapshots in a directory by what they say of themselves; none where there is no such directory.

    Raises:
        DiskError: it cannot be read.

    """
    if not directory.is_dir():
        return []
    with _named_failures(directory):
        paths = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)[:LISTED_MAX]
        return [_list_one(path) for path in paths]


def verify_snapshot(path: Path, constitution: Constitution) -> Certificate:
    """Check a file against the genesis alone; return the certificate of its block.

    Raises:
        HomeError: it is not there, or not a whole, certified snapshot of this network.
        DiskError: there is no room to unpack it, or the disk fails.

    """
    with _named_failures(path), tempfile.TemporaryDirectory(prefix="gridbft-verify-") as folder:
        _check_file(path)
        with open_leveldb(Path(folder) / CURRENT_NAME) as store:
            return unpack_archive(path, constitution, store)


def plan_restoration(home: Path, constitution: Constitution, path: Path) -> Restoration:
    """Check the file and the home; change nothing but a torn tail of the journal, as a start would.

    Raises:
        HomeError: the home has a chain, runs, its journal is damaged, or the file is no whole snapshot.
        DiskError: the disk is full or fails.

    """
    data = home / "data"
    if data.is_dir():
        with hold_home(data):
            pass  # whoever runs is told so before anything else
    certificate = verify_snapshot(path, constitution)
    if (data / CURRENT_NAME).exists():
        with open_stored_chain(home, constitution) as chain:
            if chain.get_latest_header() == certificate.header:
                return Restoration(certificate, is_journal_new=False, is_done=True)
            raise HomeError(
                f"{data / CURRENT_NAME}: there is a chain already, of block {chain.get_height()}; nothing is"
                " overwritten: `gridbft reset data` lets go of it"
            )
    is_journal_new = not (data / JOURNAL_NAME).exists()
    if not is_journal_new:
        check_journal_intact(home, constitution)
    return Restoration(certificate, is_journal_new=is_journal_new, is_done=False)


def restore_snapshot(home: Path, constitution: Constitution, path: Path, plan: Restoration) -> None:
    """Do what was planned; the chain is there whole or not at all, and never without a journal.

    Raises:
        HomeError: somebody uses the home, or the file changed meanwhile.
        DiskError: the disk is full or fails.

    """
    data = home / "data"
    with _named_failures(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if plan.is_journal_new:
            begin_journal(
                data / JOURNAL_NAME, constitution.genesis_hash, [build_silence_record()], generation=1
            )
        with hold_home(data):
            if not (
                data / OFFERED_NAME
            ).exists():  # else a run before this one came so far, or a download did
                with open_fetching(data) as store:
                    unpack_archive(path, constitution, store)
                offer_fetched(data)
            install_offered(data)
            with open_leveldb(data / CURRENT_NAME) as store:
                height = ChainStore(store).get_height()
    if height != plan.certificate.header.height:
        raise HomeError(
            f"{data}: a snapshot of block {height} had been fetched before, and is the chain now; start"
        )


def _check_same(path: Path, constitution: Constitution, header: BlockHeader) -> None:
    try:
        found: BlockHeader | None = verify_snapshot(path, constitution).header
    except HomeError:
        found = None
    if found != header:
        raise HomeError(
            f"{path}: there is a file of this name, and it is not this snapshot; name another one"
        )


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise HomeError(f"{path}: {'no file to read a snapshot from' if path.exists() else 'no such file'}")


def _list_one(path: Path) -> SnapshotListed:
    size = path.stat().st_size
    try:
        return SnapshotListed(str(path), size, read_head(path), None)
    except ArchiveRefused as error:
        return SnapshotListed(str(path), size, None, str(error))


@contextmanager
def _open_whole(target: Path) -> Iterator[Path]:
    """Give a name beside the file, which becomes the file when all went well and is deleted otherwise."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
        draft.rename(target)
        SystemFiles().fsync_directory(target.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    try:
        yield
    except (ArchiveRefused, JournalLocked) as error:
        raise HomeError(str(error)) from None
    except (StoreFull, JournalFailed) as error:
        raise DiskError(str(error)) from None
    except StoreError as error:
        raise HomeError(str(error)) from None
    except OSError as error:
        raise DiskError(
            f"{error.filename or path}: {error.strerror}; free space or mend it, and run this again"
        ) from None
