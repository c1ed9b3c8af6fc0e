"""The directories that a snapshot passes through until it is the node's store; a crash between two steps is harmless.

======================= ==================================================================================
``leveldb.fetching``    being downloaded; deleted at the next start
``leveldb.next``        whole and checked; it becomes ``leveldb`` at the next opening, if it is ahead of it
``leveldb.replaced``    the store before; deleted as soon as ``leveldb`` stands again
======================= ==================================================================================

A directory changes its role by a rename, and is deleted only under a name that nobody opens. The journal is never
touched: what this validator has signed stays true whatever state it continues from.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from node.storage.chain import ChainStore
from node.storage.files import SystemFiles
from node.storage.leveldb import LevelDbStore, open_leveldb

CURRENT_NAME = "leveldb"
FETCHING_NAME = "leveldb.fetching"
OFFERED_NAME = "leveldb.next"
REPLACED_NAME = "leveldb.replaced"


class DirectoryOperations(Protocol):
    """What is done to directories; every method raises OSError."""

    def rename(self, source: Path, target: Path) -> None:
        """Let ``target`` be what ``source`` was, at once."""
        ...

    def fsync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the medium."""
        ...

    def remove_tree(self, path: Path) -> None:
        """Delete a directory with all that is in it; a crash leaves a part."""
        ...


class SystemDirectories(SystemFiles):
    """The operating system's."""

    def remove_tree(self, path: Path) -> None:
        """Delete a directory with all that is in it."""
        shutil.rmtree(path)


@contextmanager
def open_fetching(data: Path) -> Iterator[LevelDbStore]:
    """Give an empty store for a download, until the context ends.

    Raises:
        StoreError: it cannot be made.
        OSError: what an earlier download left cannot be deleted.

    """
    discard_fetching(data)
    with open_leveldb(data / FETCHING_NAME) as store:
        yield store


def discard_fetching(data: Path, directories: DirectoryOperations | None = None) -> None:
    """Delete what a download left.

    Raises:
        OSError: it cannot be deleted.

    """
    if (data / FETCHING_NAME).exists():
        (directories or SystemDirectories()).remove_tree(data / FETCHING_NAME)


def offer_fetched(data: Path, directories: DirectoryOperations | None = None) -> None:
    """Let the next opening install a download that is whole and closed.

    Raises:
        OSError: the disk refuses.

    """
    _rename(data, FETCHING_NAME, OFFERED_NAME, directories or SystemDirectories())


def install_offered(data: Path, directories: DirectoryOperations | None = None) -> bool:
    """Bring the directories in order before the store is opened; tell whether a snapshot became the store.

    Only one process may do this: whoever holds the journal's lock.

    Raises:
        StoreError: one of the two stores is damaged.
        OSError: the disk refuses.

    """
    directories = directories or SystemDirectories()
    discard_fetching(data, directories)
    _discard_replaced(data, directories)
    offered, current = data / OFFERED_NAME, data / CURRENT_NAME
    if not offered.exists():
        return False
    if current.exists():
        if _read_height(offered) <= _read_height(current):
            _rename(data, OFFERED_NAME, FETCHING_NAME, directories)
            discard_fetching(data, directories)
            return False
        _rename(data, CURRENT_NAME, REPLACED_NAME, directories)
    _rename(data, OFFERED_NAME, CURRENT_NAME, directories)
    _discard_replaced(data, directories)
    return True


def _discard_replaced(data: Path, directories: DirectoryOperations) -> None:
    if (data / REPLACED_NAME).exists() and (data / CURRENT_NAME).exists():
        directories.remove_tree(data / REPLACED_NAME)


def _rename(data: Path, source: str, target: str, directories: DirectoryOperations) -> None:
    directories.rename(data / source, data / target)
    directories.fsync_directory(data)


def _read_height(path: Path) -> int:
    with open_leveldb(path) as store:
        return ChainStore(store).get_height()
