"""A chain that grows without agreement: a home, and blocks through the executor into the store."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from random import Random

from consensus.authentication import sign_envelope
from consensus.certificates import build_certificate
from consensus.effects import Deliver
from consensus.membership import Membership
from consensus.messages import Certificate, Checkpoint, Signature
from node.home import GENESIS_NAME, Constitution, open_storage
from node.snapshots.installation import CURRENT_NAME
from node.storage.chain import ChainStore
from node.storage.integrity import open_tree
from node.storage.leveldb import LevelDbSnapshot, LevelDbStore, open_leveldb
from primitives.batch import build_batch
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.header import Block, BlockHeader, Validator
from primitives.ids import AccountId, Epoch, Height, ReplicaId, UnixMs
from primitives.ids import Sequence as SequenceNumber
from primitives.quorum import get_quorum
from primitives.signing import SecretKey
from vm.contract import LedgerContext
from vm.contracts.ledger import Asset, Grant
from vm.contracts.permissions import Register, read_account
from vm.executor import Position, execute_block
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.state_root import StateTree
from vm.transaction import Call, Transaction

START_MS = 1_700_000_100_000
KEYS = [SecretKey(bytes([number]) * 32) for number in range(1, 5)]
UTILITY_KEY = SecretKey(b"u" * 32)
UTILITY = compute_account_id(UTILITY_KEY.public)
SIGNERS = KEYS[: get_quorum(len(KEYS))]
FAR = 2**40

ACCOUNTS_REMEMBERED = 4096
"""Making a key costs as much as executing a payment: those of a history with few accounts are made once."""


class UnsyncedStore:
    """A store that syncs nothing: what is built here is built anew after a power cut."""

    def __init__(self, store: LevelDbStore) -> None:
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        return self._store.get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with ``prefix`` in byte order."""
        return self._store.iterate(prefix, start=start, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool) -> None:
        """Apply all of ``puts``, whatever ``sync`` asks."""
        _ = sync
        self._store.write(puts, sync=False)

    def snapshot(self) -> LevelDbSnapshot:
        """Return the store as it is now."""
        return self._store.snapshot()

    def compact(self, first: bytes, last: bytes) -> None:
        """Give back the space of removed keys."""
        self._store.compact(first, last)

    def estimate_size(self) -> int:
        """Return about how many bytes it takes."""
        return self._store.estimate_size()


class Builder:
    """Executes, stores and certifies blocks, one after the other."""

    def __init__(self, constitution: Constitution, chain: ChainStore, tree: StateTree) -> None:
        self.chain = chain
        self.tree = tree
        self.header = chain.get_latest_header()
        self._constitution = constitution
        self._ledger = LedgerContext(constitution.genesis, constitution.genesis_hash)
        utility = read_account(chain, UTILITY)
        self._nonce = 0 if utility is None else utility.nonce
        self._random = Random(self.header.height)

    @property
    def height(self) -> int:
        """Return the height of the last block."""
        return self.header.height

    def register(self, first: int, last: int, per_block: int) -> None:
        """Open the accounts with these numbers, ``last`` not included."""
        for start in range(first, last, per_block):
            calls = []
            for number in range(start, min(start + per_block, last)):
                key = make_public_key(number)
                calls.append(Register(compute_account_id(key), key, "prosumer", f"home-{number}"))
            self._commit("permissions", "register", calls)

    def pay(self, blocks: int, per_block: int, accounts: int) -> None:
        """Add blocks in which accounts, drawn at random, are granted a coin each."""
        for _ in range(blocks):
            self._commit("ledger", "grant", self.draw_grants(per_block, accounts))

    def draw_grants(self, count: int, accounts: int) -> list[Struct]:
        """Return grants to accounts drawn at random."""
        return [Grant(make_account(self._random.randrange(accounts)), Asset.COIN, 1) for _ in range(count)]

    def deliver(self, contract: str, method: str, calls: Sequence[Struct]) -> Deliver:
        """Return the utility's calls as agreement would deliver them next."""
        raws = []
        for call in calls:
            self._nonce += 1
            raws.append(encode(self._wrap(Call(contract, method, encode(call)))))
        height = Height(self.height + 1)
        batch = build_batch(ReplicaId(KEYS[0].public), UnixMs(START_MS + height), tuple(raws))
        return Deliver(Epoch(0), SequenceNumber(height), height, batch)

    def certify(self, header: BlockHeader) -> Certificate:
        """Return a header's certificate, signed by a quorum."""
        votes = {
            ReplicaId(key.public): sign_envelope(key, self._constitution.genesis_hash, Checkpoint(header))
            for key in SIGNERS
        }
        return build_certificate(header, votes)

    def imitate_certificate(self, header: BlockHeader) -> Certificate:
        """Return what takes as much room as a header's certificate; only the newest of a chain is looked at."""
        signature = blake2b(header.state_root).digest()
        return Certificate(header, tuple(Signature(key.public, signature) for key in SIGNERS))

    def _wrap(self, call: Call) -> Transaction:
        chain = self._constitution.genesis_hash[:8]
        signature = blake2b(
            self._nonce.to_bytes(8, "big")
        ).digest()  # 64 bytes that compress as badly as a real one
        return Transaction(1, chain, UTILITY, UTILITY_KEY.public, self._nonce, FAR, call, signature)

    def _commit(self, contract: str, method: str, calls: Sequence[Struct]) -> None:
        deliver = self.deliver(contract, method, calls)
        position = Position(deliver.height, deliver.sequence, deliver.epoch)
        result = execute_block(
            self._ledger, self.header, position, deliver.batch, self.chain, self.tree, self.chain.get_bucket
        )
        refused = [receipt.rejection for receipt in result.receipts if receipt.rejection is not None]
        if refused:
            raise AssertionError(f"block {deliver.height} refuses what it should apply: {refused[0]}")
        block = Block(result.header, deliver.batch)
        self.chain.commit_block(block, result.receipts, result.state_writes, result.tree_writes)
        self.chain.put_certificate(self.imitate_certificate(result.header))
        self.header, self.tree = result.header, result.tree


def make_home(home: Path) -> Constitution:
    """Make a node's home with its journal and its store, which holds the genesis."""
    genesis = Genesis(
        version=1,
        name="growth",
        currency="EUR",
        time_ms=START_MS,
        validators=tuple(Validator(f"node{i}", key.public, b"cert%d" % i) for i, key in enumerate(KEYS)),
        accounts=(GenesisAccount(UTILITY, UTILITY_KEY.public, "utility", "utility"),),
        energy=EnergyParameters(900, 300, 7 * 86_400, 60, 80_000, 220_000),
        consensus=ConsensusParameters(),
    )
    data = encode(genesis)
    constitution = Constitution(
        genesis, data, genesis.compute_hash(), Membership(Epoch(0), genesis.validators)
    )
    (home / GENESIS_NAME).write_bytes(data)
    with open_storage(home, constitution):
        return constitution


@contextmanager
def open_builder(home: Path, constitution: Constitution) -> Iterator[Builder]:
    """Give a builder that goes on where the home's store ends."""
    with open_leveldb(home / "data" / CURRENT_NAME) as store:
        chain = ChainStore(UnsyncedStore(store))
        builder = Builder(constitution, chain, open_tree(chain))
        yield builder
        chain.put_certificate(builder.certify(builder.header))


def make_public_key(number: int) -> bytes:
    """Return the public key of an account."""
    return SecretKey(number.to_bytes(32, "big")).public


@lru_cache(ACCOUNTS_REMEMBERED)
def make_account(number: int) -> AccountId:
    """Return the id of an account."""
    return compute_account_id(make_public_key(number))


def count_disk_bytes(home: Path) -> int:
    """Return what the store's files take."""
    return sum(file.stat().st_size for file in (home / "data" / CURRENT_NAME).iterdir())


def count_merged_bytes(home: Path) -> int:
    """Return what the store's files take when a copy of them is merged: what is there for good."""
    with tempfile.TemporaryDirectory(prefix="gridbft-growth-") as name:
        copy = Path(name) / "data" / CURRENT_NAME
        shutil.copytree(home / "data" / CURRENT_NAME, copy)
        with open_leveldb(copy) as store:
            store.compact(b"\x00", b"\xff")
        return count_disk_bytes(Path(name))
