"""A validator's home directory: its genesis, and the storage that belongs to it, opened or refused by name."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from consensus.codec import decode_record
from consensus.effects import JournalRecord
from consensus.membership import Membership
from consensus.replica import Replica
from consensus.state import Settings
from node.errors import DiskError, HomeError
from node.memberships import read_memberships
from node.snapshots.installation import CURRENT_NAME, install_offered
from node.storage.chain import ChainStore
from node.storage.integrity import compare_with_journal, open_tree
from node.storage.journal import (
    Journal,
    JournalCorrupt,
    JournalError,
    JournalFailed,
    JournalOfOtherVersion,
    open_journal,
)
from node.storage.leveldb import open_leveldb
from node.storage.store import Store, StoreError, StoreFull, StoreLocked
from primitives.encoding import DecodeError
from primitives.ids import Digest, Epoch, Height
from primitives.signing import SecretKey
from vm.executor import build_genesis_block
from vm.genesis import Genesis, decode_genesis
from vm.state_root import StateTree

GENESIS_NAME = "genesis.bin"
JOURNAL_NAME = "journal"
GENESIS_BYTES_MAX = 1024 * 1024
"""80 validators with their certificates take 100 kB."""


@dataclass(frozen=True, slots=True)
class Constitution:
    """The genesis of a home, with what follows from it."""

    genesis: Genesis
    genesis_bytes: bytes
    genesis_hash: Digest
    membership: Membership


@dataclass(frozen=True, slots=True)
class Storage:
    """What is on disk: the chain, the journal with its records, and the tree built from the stored buckets.

    ``signed_height`` is above the chain's when the store lost blocks whose headers this validator had signed.
    """

    chain: ChainStore
    journal: Journal
    records: tuple[JournalRecord, ...]
    tree: StateTree
    signed_height: Height


def load_constitution(home: Path) -> Constitution:
    """Return the genesis of ``home``.

    Raises:
        HomeError: missing, too large, or not a genesis.

    """
    path = home / GENESIS_NAME
    try:
        with path.open("rb") as file:
            data = file.read(GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}; copy the network's genesis there") from None
    if len(data) > GENESIS_BYTES_MAX:
        raise HomeError(f"{path} is larger than any genesis; copy the network's genesis there")
    try:
        genesis = decode_genesis(data)
    except DecodeError as error:
        raise HomeError(f"{path} is not a genesis of this version: {error}") from None
    return Constitution(genesis, data, genesis.compute_hash(), Membership(Epoch(0), genesis.validators))


@contextmanager
def open_storage(home: Path, constitution: Constitution) -> Iterator[Storage]:
    """Give the storage of ``home``; the first time it is filled with the genesis.

    Raises:
        HomeError: used by another process, of another network, or damaged.
        DiskError: the disk is full or fails.

    """
    with ExitStack() as stack:
        yield _open_storage(stack, home / "data", constitution)


def _open_storage(stack: ExitStack, data: Path, constitution: Constitution) -> Storage:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_journal_kept(data)
        journal = stack.enter_context(open_journal(data / JOURNAL_NAME, constitution.genesis_hash))
        install_offered(data)
        return fill_storage(journal, stack.enter_context(open_leveldb(data / CURRENT_NAME)), constitution)
    except StoreLocked as error:
        raise HomeError(str(error)) from None
    except (StoreFull, JournalFailed) as error:
        raise DiskError(str(error)) from None
    except (StoreError, JournalError) as error:
        raise HomeError(str(error)) from None
    except OSError as error:
        raise DiskError(f"{data}: {error.strerror}") from None


def fill_storage(journal: Journal, store: Store, constitution: Constitution) -> Storage:
    """Return the storage of an open journal and store; an empty store is filled with the genesis.

    Raises:
        HomeError: of another network.
        JournalCorrupt: it is older than the chain, or a record is of another version.
        StoreError: the store fails, is damaged, or is not the journal's.

    """
    chain = ChainStore(store, lambda: journal.mark)
    _check_journal_whole(chain, journal)
    records = decode_records(journal)
    _init_chain(chain, constitution)
    tree = open_tree(chain)
    return Storage(chain, journal, records, tree, compare_with_journal(chain, records))


def build_replica(
    constitution: Constitution, storage: Storage, key: SecretKey, nonce: bytes | None
) -> Replica:
    """Return the replica as its store and journal left it; with a fresh ``nonce`` it asks what it has signed."""
    parameters = constitution.genesis.consensus
    membership, following = read_memberships(storage.chain, constitution.genesis)
    settings = Settings(
        membership=membership,
        key=key,
        genesis_hash=constitution.genesis_hash,
        depth=parameters.depth,
        view_timeout_ms=parameters.view_timeout_ms,
        view_timeout_max_ms=parameters.view_timeout_max_ms,
        resend_ms=parameters.resend_ms,
        drift_ms=parameters.drift_ms,
    )
    chain = storage.chain
    return Replica(
        settings,
        chain.get_latest_header(),
        chain.get_latest_certificate(),
        storage.records,
        following=following,
        nonce=nonce,
    )


def _check_journal_kept(data: Path) -> None:
    """Refuse a chain without its journal, which is made before the chain: nobody knows what was signed."""
    if (data / CURRENT_NAME).exists() and not (data / JOURNAL_NAME).exists():
        raise HomeError(
            f"{data / 'journal'} is missing although the chain is there: without it this validator could contradict"
            " what it signed; put the file back, or run `gridbft recover`"
        )


def _check_journal_whole(chain: ChainStore, journal: Journal) -> None:
    """Refuse a journal that is behind what it was when the chain's last block was written."""
    known = chain.get_journal_mark()
    if journal.mark < known:
        raise JournalCorrupt(
            f"data/journal is older than data/leveldb: file {journal.mark.generation} with {journal.mark.records}"
            f" records, where file {known.generation} had {known.records}; without the rest this validator could"
            " contradict what it signed: put the newest file back, or run `gridbft recover`"
        )


def _init_chain(chain: ChainStore, constitution: Constitution) -> None:
    stored = chain.get_genesis()
    if stored is None:
        block = build_genesis_block(constitution.genesis)
        chain.init_genesis(constitution.genesis_bytes, block.header, block.state_writes, block.tree_writes)
    elif stored != constitution.genesis_bytes:
        raise HomeError(
            "data/ belongs to another genesis than genesis.bin: use another home for each network"
        )


def decode_records(journal: Journal) -> tuple[JournalRecord, ...]:
    """Return the records that an open journal was found with, once.

    Raises:
        JournalOfOtherVersion: one is of another version.

    """
    encoded, journal.records = journal.records, []
    try:
        return tuple(decode_record(data) for data in encoded)
    except DecodeError as error:
        raise JournalOfOtherVersion(
            f"a record of data/journal is not one of this version ({error}); start the program that wrote it"
        ) from None
