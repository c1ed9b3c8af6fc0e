"""Looking at everything on a validator's disk while it does not run, and changing nothing of it.

What is opened is a copy beside the home, in which the large files, LevelDB's tables, are links: opening a store moves
its log into a table and deletes what is obsolete, of the copy.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME, Constitution, Storage, open_storage
from node.home_lock import hold_home
from node.snapshots.installation import CURRENT_NAME
from node.storage.chain import ChainStore
from node.storage.integrity import check_everything, get_lowest
from node.storage.leveldb import open_leveldb
from node.storage.store import StoreError
from primitives.ids import Height

TABLE_SUFFIX = ".ldb"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a home holds, all of it checked; ``signed`` is above ``height`` when the store lost its newest blocks."""

    lowest: Height
    height: Height
    certified: Height
    signed: Height
    journal_records: int


def inspect_home(home: Path, constitution: Constitution) -> Inspection:
    """Check every block, receipt, certificate and state value, and the journal; read only.

    Raises:
        HomeError: the validator runs, has no chain yet, or the first thing that is damaged, by name.
        DiskError: there is no room for the copy, or the disk fails.

    """
    data = home / "data"
    if not (data / CURRENT_NAME).is_dir() or not (data / JOURNAL_NAME).is_file():
        raise HomeError(f"{data} holds no chain with its journal yet; there is nothing to inspect")
    with hold_home(data), _copy_home(data) as copy:
        try:
            with open_storage(copy, constitution) as storage:
                check_everything(storage.chain)
                return _describe(storage)
        except (HomeError, StoreError) as error:
            raise HomeError(str(error).replace(str(copy / "data"), str(data))) from None


def _describe(storage: Storage) -> Inspection:
    chain = storage.chain
    certificate = chain.get_latest_certificate()
    return Inspection(
        lowest=get_lowest(chain),
        height=chain.get_height(),
        certified=Height(0 if certificate is None else certificate.header.height),
        signed=storage.signed_height,
        journal_records=len(storage.records),
    )


@contextmanager
def open_stored_chain(home: Path, constitution: Constitution) -> Iterator[ChainStore]:
    """Give the chain of a stopped home for reading, from a copy; whatever the journal beside it is like.

    Raises:
        HomeError: the validator runs, there is no chain, it is of another network, or what is read is damaged.
        DiskError: there is no room for the copy, or the disk fails.

    """
    data = home / "data"
    if not (data / CURRENT_NAME).is_dir():
        raise HomeError(f"{data / CURRENT_NAME}: there is no chain yet; the first start makes it")
    with hold_home(data), _copy_home(data) as copy:
        try:
            with open_leveldb(copy / "data" / CURRENT_NAME) as store:
                chain = ChainStore(store)
                if chain.get_genesis() != constitution.genesis_bytes:
                    raise HomeError(f"{data / CURRENT_NAME} is of another network than genesis.bin")
                yield chain
        except StoreError as error:
            raise HomeError(str(error).replace(str(copy / "data"), str(data))) from None


@contextmanager
def _copy_home(data: Path) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="gridbft-inspect-") as folder:
            store = Path(folder) / "data" / CURRENT_NAME
            store.mkdir(parents=True)
            if (data / JOURNAL_NAME).exists():
                shutil.copyfile(data / JOURNAL_NAME, Path(folder) / "data" / JOURNAL_NAME)
            for file in (data / CURRENT_NAME).iterdir():
                if file.suffix == TABLE_SUFFIX:
                    (store / file.name).symlink_to(file.resolve())
                else:
                    shutil.copyfile(file, store / file.name)
            yield Path(folder)
    except OSError as error:
        why = error.strerror or os.strerror(error.errno or 0)
        if error.filename2 is None:
            raise DiskError(f"{error.filename or data}: {why}") from None
        advice = "a copy is looked at: make room for it there, or name another directory in TMPDIR"
        raise DiskError(f"{error.filename2}: {why}; {advice}") from None
