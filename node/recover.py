"""Letting a validator begin again whose journal is gone or damaged: with its key, and with its past unknown.

The new journal says from its first record that nobody knows what the key has signed. The replica that reads it is
silent until the network has passed everything that it may have signed. Nothing is deleted: what is damaged is kept.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from consensus.codec import encode_record
from consensus.effects import Silenced
from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME, Constitution, decode_records
from node.snapshots.installation import CURRENT_NAME, OFFERED_NAME
from node.storage.chain import ChainStore
from node.storage.journal import (
    JournalCorrupt,
    JournalFailed,
    JournalLocked,
    JournalMark,
    JournalOfOtherChain,
    JournalOfOtherVersion,
    begin_journal,
    open_journal,
)
from node.storage.leveldb import open_leveldb
from node.storage.store import StoreCorrupt, StoreError, StoreFull, StoreLocked


class NothingToRecoverError(HomeError):
    """The journal is intact."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is wrong with a home, and what ``recover`` does about it.

    ``reason`` says why the past is unknown. ``moved`` are (what, to where) in the data directory. ``is_done`` tells
    that an earlier recovery did all this, and that nothing more is to do.
    """

    reason: str
    moved: tuple[tuple[str, str], ...] = ()
    generation: int = 1
    is_done: bool = False


def build_silence_record() -> bytes:
    """Return the record that says: what this key has signed before is not known here."""
    return encode_record(Silenced(is_over=False))


def plan_recovery(home: Path, constitution: Constitution) -> Recovery:
    """Return what is wrong and would be done; nothing is changed but a torn tail that a start would cut as well.

    Raises:
        NothingToRecoverError: its journal is intact.
        HomeError: in use, or of another network.
        DiskError: the disk is full or fails.

    """
    data = home / "data"
    try:
        mark, damaged = _read_marks(data)
        return _plan(data, constitution, mark, damaged)
    except (JournalLocked, StoreLocked) as error:
        raise HomeError(f"{error}; stop it before you recover") from None
    except (JournalOfOtherChain, JournalOfOtherVersion) as error:
        raise HomeError(str(error)) from None
    except (JournalFailed, StoreFull, StoreError) as error:
        raise DiskError(str(error)) from None
    except OSError as error:
        raise DiskError(f"{data}: {error.strerror}") from None


def recover(home: Path, constitution: Constitution, plan: Recovery) -> None:
    """Do what was planned. It may be run again wherever it was interrupted.

    Raises:
        HomeError: somebody uses the home.
        DiskError: the disk is full or fails.

    """
    data = home / "data"
    moved = dict(plan.moved)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (CURRENT_NAME, OFFERED_NAME):
            if name in moved:
                (data / name).rename(data / moved[name])
        begin_journal(
            data / JOURNAL_NAME,
            constitution.genesis_hash,
            [build_silence_record()],
            generation=plan.generation,
            replaced=data / moved[JOURNAL_NAME] if JOURNAL_NAME in moved else None,
        )
    except JournalLocked as error:
        raise HomeError(str(error)) from None
    except JournalFailed as error:
        raise DiskError(str(error)) from None
    except OSError as error:
        raise DiskError(f"{data}: {error.strerror}") from None


def check_journal_intact(home: Path, constitution: Constitution) -> None:
    """Refuse a home whose journal does not hold all that its validator promised.

    Raises:
        HomeError: it is gone, damaged or older than the chain; or the home is in use, or of another network.
        DiskError: the disk is full or fails.

    """
    try:
        plan = plan_recovery(home, constitution)
    except NothingToRecoverError:
        return
    if not plan.is_done:
        raise HomeError(
            f"{plan.reason}: nobody here knows what this validator's key has signed; run `gridbft recover` first"
        )


def _plan(data: Path, constitution: Constitution, mark: JournalMark, damaged: tuple[str, ...]) -> Recovery:
    path = data / JOURNAL_NAME
    moved = tuple((name, _find_free_name(data, name)) for name in damaged)
    generation = mark.generation + 1
    aside = (*moved, (JOURNAL_NAME, _find_free_name(data, JOURNAL_NAME)))
    if not path.exists():
        is_new = not (data / CURRENT_NAME).exists()
        reason = "data/journal and the chain are gone" if is_new else "data/journal is gone"
        return Recovery(reason, moved, generation)
    try:
        with open_journal(path, constitution.genesis_hash) as journal:
            found, records = journal.mark, decode_records(journal)
    except JournalOfOtherVersion:
        raise
    except JournalCorrupt as error:
        return Recovery(f"data/journal is damaged ({_first_clause(error)})", aside, generation)
    if found < mark:
        return Recovery("data/journal is an older copy: the chain has seen a newer one", aside, generation)
    if records and all(isinstance(record, Silenced) and not record.is_over for record in records):
        return Recovery("data/journal is gone", is_done=True)
    raise NothingToRecoverError(
        "data/journal is intact, so there is nothing to recover: start the validator"
        + ("; data/leveldb is damaged: move it away (keep data/journal) before" if damaged else "")
    )


def _read_marks(data: Path) -> tuple[JournalMark, tuple[str, ...]]:
    """Return the newest mark of the journal that a store remembers, and the names of stores that are damaged."""
    newest, damaged = JournalMark(0, 0), []
    for name in (CURRENT_NAME, OFFERED_NAME):
        if not (data / name).exists():
            continue
        try:
            with open_leveldb(data / name) as store:
                newest = max(newest, ChainStore(store).get_journal_mark())
        except StoreCorrupt:
            damaged.append(name)
    return newest, tuple(damaged)


def _find_free_name(data: Path, name: str) -> str:
    return next(free for number in count(1) if not (data / (free := f"{name}.damaged-{number}")).exists())


def _first_clause(error: JournalCorrupt) -> str:
    return str(error).partition(";")[0].rpartition(": ")[2]
