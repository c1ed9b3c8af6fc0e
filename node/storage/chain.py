"""The chain in the store: one synced write per block, so that a block is there whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TypeVar

import msgspec

from consensus.messages import Certificate, Handover
from node.storage import keys
from node.storage.cache import BucketCache, ReadCache, Unknown
from node.storage.journal import JournalMark
from node.storage.store import Store, StoreCorrupt, StoreFailed, StoreReader, StoreSnapshot
from primitives.batch import build_batch
from primitives.encoding import Struct, decode_trusted, encode
from primitives.header import Block, BlockHeader
from primitives.ids import Epoch, Height, ReplicaId, UnixMs
from primitives.limits import FRAME_BYTES_MAX
from vm.receipt import Receipt
from vm.state_root import TreeWrites, join_leaves

T = TypeVar("T")

FORMAT_VERSION = 3
"""Of the layout in ``keys`` and the records here; a store of another one is refused instead of misread."""

EVIDENCE_MAX = 1000
"""The newest pairs of contradicting messages are kept: one of them is enough to convict a validator."""

EVIDENCE_BYTES_MAX = 2 * FRAME_BYTES_MAX
"""Two messages as they travel; EVIDENCE_MAX of the common size, two votes, are 1 MB."""


class StoredBatch(Struct, frozen=True):
    """A block's batch without its transactions' ids, which are hashes of the bytes: a sixth less to write."""

    proposer: bytes
    time_ms: int
    transactions: tuple[bytes, ...]


class StateView:
    """The state and its buckets as one reader shows them."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def get(self, key: bytes) -> bytes | None:
        """Return a state value."""
        return self._reader.get(keys.STATE + key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield state keys with ``prefix`` and their values in byte order."""
        pairs = self._reader.iterate(keys.STATE + prefix)
        return ((key[len(keys.STATE) :], value) for key, value in pairs)

    def get_bucket(self, index: int) -> bytes:
        """Return a bucket of the state tree, empty when it was never written."""
        prefix = keys.build_bucket_key(keys.LEAF, index)
        return join_leaves(leaf for _, leaf in self._reader.iterate(prefix))

    def get_leaf(self, name: bytes) -> bytes | None:
        """Return a leaf of the state tree by its name, see ``vm/state_root.py:build_leaf``."""
        return self._reader.get(keys.LEAF + name)

    def iterate_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield all state keys from ``start``, included, and their values in byte order."""
        pairs = self._reader.iterate(keys.STATE, start=keys.STATE + start)
        return ((key[len(keys.STATE) :], value) for key, value in pairs)

    def iterate_buckets(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield every bucket of the state tree from ``first`` on that is not empty, in order."""
        start = keys.build_bucket_key(keys.LEAF, first)
        pairs = self._reader.iterate(keys.LEAF, start=start)
        for prefix, found in groupby(pairs, lambda pair: pair[0][: len(start)]):
            yield int.from_bytes(prefix[len(keys.LEAF) :], "big"), join_leaves(leaf for _, leaf in found)


class StateSnapshot(StateView):
    """The state as it was at one moment; must be closed, or the store keeps what was overwritten since."""

    def __init__(self, snapshot: StoreSnapshot) -> None:
        super().__init__(snapshot)
        self._snapshot = snapshot

    def close(self) -> None:
        """Let go of the moment."""
        self._snapshot.close()


class ChainStore(StateView):
    """Blocks, receipts, certificates, the transaction index and the state of one chain.

    What is not there is None or empty; any method raises StoreError when the store fails or is damaged. Reads may
    run in any thread; writes run one at a time. With each block goes what ``get_mark`` says of the journal beside it.
    """

    def __init__(self, store: Store, get_mark: Callable[[], JournalMark] | None = None) -> None:
        super().__init__(store)
        self._store = store
        self._get_mark = get_mark
        self._cache = ReadCache()
        self._buckets = BucketCache()
        self._pruned: Height | None = None

    def get(self, key: bytes) -> bytes | None:
        """Return a state value of the newest block."""
        return self._get_cached(keys.STATE + key)

    def get_bucket(self, index: int) -> bytes:
        """Return a bucket of the newest state tree, empty when it was never written; for the thread that writes."""
        content = self._buckets.get(index)
        if content is None:
            content = super().get_bucket(index)
            self._buckets.keep(index, content)
        return content

    def get_genesis(self) -> bytes | None:
        """Return the genesis' bytes, or None before ``init_genesis``.

        Raises:
            StoreFailed: the store was written in another layout.

        """
        version = self._store.get(keys.FORMAT)
        if version is not None and version != _FORMAT:
            raise StoreFailed(
                f"the store has layout {version.hex()}, this program knows {_FORMAT.hex()}; start the program that"
                " wrote it, or move data/leveldb away (keep data/journal) to fetch the chain from the peers"
            )
        return self._store.get(keys.GENESIS)

    def init_genesis(
        self,
        genesis: bytes,
        header: BlockHeader,
        state_writes: Mapping[bytes, bytes | None],
        tree_writes: TreeWrites,
    ) -> None:
        """Write height 0, in one synced batch.

        Raises:
            ValueError: there is a chain already: a bug of the caller.

        """
        if self.get_genesis() is not None:
            raise ValueError("the store has a genesis already")
        puts: dict[bytes, bytes | None] = {
            keys.FORMAT: _FORMAT,
            keys.GENESIS: genesis,
            keys.HEIGHT: (0).to_bytes(8, "big"),
            keys.build_number_key(keys.HEADER, 0): encode(header),
        }
        puts |= {keys.STATE + key: value for key, value in state_writes.items()}
        puts |= {keys.LEAF + name: leaf for name, leaf in tree_writes.leaves.items()}
        self._store.write(puts, sync=True)

    def commit_block(
        self,
        block: Block,
        receipts: tuple[Receipt, ...],
        state_writes: Mapping[bytes, bytes | None],
        tree_writes: TreeWrites,
    ) -> None:
        """Write a block with all that it changes, in one synced batch.

        The index keeps the first occurrence of an id, unless that one did not consume its nonce and this one did.

        Raises:
            StoreError: nothing was written, and nothing more will be.
            ValueError: not the next block, or the receipts are not its transactions': a bug of the caller.

        """
        height, batch = block.header.height, block.batch
        if height != self.get_height() + 1:
            raise ValueError(f"block {height} does not follow block {self.get_height()}")
        if tuple(receipt.transaction_id for receipt in receipts) != batch.header.transaction_ids:
            raise ValueError(f"the receipts of block {height} are not those of its transactions")
        puts: dict[bytes, bytes | None] = {
            keys.HEIGHT: height.to_bytes(8, "big"),
            keys.build_number_key(keys.HEADER, height): encode(block.header),
            keys.build_number_key(keys.BATCH, height): encode(
                StoredBatch(batch.header.proposer, batch.header.time_ms, batch.transactions)
            ),
            keys.build_number_key(keys.RECEIPTS, height): encode(receipts),
        }
        if self._get_mark is not None:
            puts[keys.JOURNAL] = self._get_mark().encode()
        for place, receipt in enumerate(receipts):
            key = keys.build_index_key(receipt.transaction_id)
            known = puts.get(key) or self._store.get(key)
            if known is None or (receipt.consumed and not known[-1]):
                puts[key] = height.to_bytes(8, "big") + place.to_bytes(4, "big") + bytes((receipt.consumed,))
        changes: dict[bytes, bytes | None] = {keys.STATE + key: value for key, value in state_writes.items()}
        puts |= {keys.LEAF + name: leaf for name, leaf in tree_writes.leaves.items()}
        self._cache.begin_write()
        self._store.write(puts | changes, sync=True)
        self._cache.finish_write(changes)
        for index, content in tree_writes.buckets.items():
            self._buckets.keep(index, content)

    def put_certificate(self, certificate: Certificate) -> None:
        """Keep a block's certificate; not synced, because peers have it too. One of a pruned block is not kept."""
        height = certificate.header.height
        if height <= self.get_pruned_height():
            return
        puts: dict[bytes, bytes | None] = {
            keys.build_number_key(keys.CERTIFICATE, height): encode(certificate)
        }
        latest = self._store.get(keys.CERTIFIED)
        if latest is None or height > int.from_bytes(latest, "big"):
            puts[keys.CERTIFIED] = height.to_bytes(8, "big")
        self._store.write(puts, sync=False)

    def get_certificate(self, height: Height) -> Certificate | None:
        """Return the certificate of exactly this height, or None."""
        return self._read(keys.CERTIFICATE, height, Certificate)

    def get_latest_certificate(self) -> Certificate | None:
        """Return the highest certificate kept, or None before the first; a power cut may take the newest."""
        latest = self._store.get(keys.CERTIFIED)
        return None if latest is None else self.get_certificate(Height(int.from_bytes(latest, "big")))

    def get_journal_mark(self) -> JournalMark:
        """Return how far the journal was durable when the last block was written; a journal behind it lost records."""
        data = self._store.get(keys.JOURNAL) or bytes(16)
        return JournalMark(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))

    def put_handover(self, handover: Handover) -> None:
        """Keep how an epoch ended, with its certificate, synced: later members are proven by nothing else."""
        header = handover.certificate.header
        self._store.write(
            {
                keys.build_number_key(keys.HANDOVER, header.epoch): encode(handover),
                keys.build_number_key(keys.CERTIFICATE, header.height): encode(handover.certificate),
            },
            sync=True,
        )

    def get_handover(self, epoch: Epoch) -> Handover | None:
        """Return how an epoch ended, or None while nothing is known of its end."""
        return self._read(keys.HANDOVER, epoch, Handover)

    def iterate_handovers(self, first: Epoch) -> Iterator[Handover]:
        """Yield how the epochs from ``first`` on ended, in order, up to the first that is not known."""
        epoch = first
        while (handover := self.get_handover(epoch)) is not None:
            yield handover
            epoch = Epoch(epoch + 1)

    def get_pruned_height(self) -> Height:
        """Return the height up to which blocks, receipts and certificates are gone; 0 when all are here."""
        if self._pruned is None:
            data = self._store.get(keys.PRUNED)
            self._pruned = Height(0 if data is None else int.from_bytes(data, "big"))
        return self._pruned

    def prune_block(self, height: Height) -> int:
        """Remove the lowest block that is kept, with all that belongs to it alone; return its transactions.

        Not synced: what a power cut brings back is removed again.

        Raises:
            ValueError: not the lowest one, or not below the last certified one: a bug of the caller.

        """
        certified = self._store.get(keys.CERTIFIED)
        if height != self.get_pruned_height() + 1 or certified is None:
            raise ValueError(f"block {height} is not the lowest one kept below a certificate")
        if height >= int.from_bytes(certified, "big"):
            raise ValueError(f"block {height} is the last certified one, or above it")
        prefixes = (keys.HEADER, keys.BATCH, keys.RECEIPTS, keys.CERTIFICATE)
        puts: dict[bytes, bytes | None] = {keys.build_number_key(prefix, height): None for prefix in prefixes}
        receipts = self.get_receipts(height)
        for receipt in receipts:
            key = keys.build_index_key(receipt.transaction_id)
            place = self._store.get(key)
            if place is not None and int.from_bytes(place[:8], "big") == height:
                puts[key] = None
        puts[keys.PRUNED] = height.to_bytes(8, "big")
        self._store.write(puts, sync=False)
        self._pruned = height
        return len(receipts)

    def compact_pruned(self) -> None:
        """Give the space of pruned blocks back to the disk; the index of ids is left to the store's own ways."""
        pruned = self.get_pruned_height()
        for prefix in (keys.HEADER, keys.BATCH, keys.RECEIPTS, keys.CERTIFICATE):
            self._store.compact(keys.build_number_key(prefix, 1), keys.build_number_key(prefix, pruned))

    def get_height(self) -> Height:
        """Return the height of the last block; 0 as well before ``init_genesis``."""
        data = self._store.get(keys.HEIGHT)
        return Height(0 if data is None else int.from_bytes(data, "big"))

    def get_header(self, height: Height) -> BlockHeader | None:
        """Return the header of a height, or None above the last."""
        return self._read(keys.HEADER, height, BlockHeader)

    def get_latest_header(self) -> BlockHeader:
        """Return the header of the last block.

        Raises:
            StoreCorrupt: it is missing.

        """
        header = self.get_header(self.get_height())
        if header is None:
            raise StoreCorrupt("the store has no header of its last block")
        return header

    def get_block(self, height: Height) -> Block | None:
        """Return a block, or None for genesis and above the last."""
        header = self.get_header(height)
        stored = self._read(keys.BATCH, height, StoredBatch)
        if header is None or stored is None:
            return None
        return Block(
            header, build_batch(ReplicaId(stored.proposer), UnixMs(stored.time_ms), stored.transactions)
        )

    def get_receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Return a block's receipts in order; none for genesis and above the last."""
        return self._read(keys.RECEIPTS, height, tuple[Receipt, ...]) or ()

    def find_transaction(self, transaction_id: bytes) -> tuple[Height, int] | None:
        """Return (height, place in the block) of a transaction, or None."""
        data = self._store.get(keys.build_index_key(transaction_id))
        if data is None:
            return None
        return Height(int.from_bytes(data[:8], "big")), int.from_bytes(data[8:12], "big")

    def snapshot(self) -> StateSnapshot:
        """Return the state as it is now, for reads that must not see later blocks."""
        return StateSnapshot(self._store.snapshot())

    def put_evidence(self, evidence: bytes) -> bool:
        """Keep a pair of contradicting messages; beyond EVIDENCE_MAX the oldest goes.

        Not synced, so that a faulty validator cannot make this one sync. Returns False, and keeps nothing, when it is
        longer than EVIDENCE_BYTES_MAX.
        """
        if len(evidence) > EVIDENCE_BYTES_MAX:
            return False
        last = next(self._store.iterate(keys.EVIDENCE, reverse=True), None)
        number = 0 if last is None else int.from_bytes(last[0][1:], "big") + 1
        puts: dict[bytes, bytes | None] = {keys.build_number_key(keys.EVIDENCE, number): evidence}
        if number >= EVIDENCE_MAX:
            puts[keys.build_number_key(keys.EVIDENCE, number - EVIDENCE_MAX)] = None
        self._store.write(puts, sync=False)
        return True

    def iterate_evidence(self) -> Iterator[bytes]:
        """Yield the evidence, oldest first."""
        for _, value in self.iterate_numbered_evidence():
            yield value

    def iterate_numbered_evidence(self) -> Iterator[tuple[int, bytes]]:
        """Yield the evidence with its number, oldest first; the numbers of what is kept have no gap."""
        for key, value in self._store.iterate(keys.EVIDENCE):
            yield int.from_bytes(key[len(keys.EVIDENCE) :], "big"), value

    def estimate_size(self) -> int:
        """Return about how many bytes the chain takes on disk."""
        return self._store.estimate_size()

    def _get_cached(self, key: bytes) -> bytes | None:
        value = self._cache.get(key)
        if value is not Unknown.UNKNOWN:
            return value
        began = self._cache.begin_read()
        stored = self._store.get(key)
        self._cache.keep(key, stored, began)
        return stored

    def _read(self, prefix: bytes, height: int, expected: type[T]) -> T | None:
        data = self._store.get(keys.build_number_key(prefix, height))
        if data is None:
            return None
        try:
            return decode_trusted(data, expected)
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"record {prefix.decode()} of height {height} is not readable ({error}); move data/leveldb away, keep"
                " data/journal, and start: the node fetches the chain from its peers"
            ) from None


_FORMAT = bytes((FORMAT_VERSION,))


def build_format_record() -> bytes:
    """Return what a store of this layout has under ``keys.FORMAT``."""
    return _FORMAT
