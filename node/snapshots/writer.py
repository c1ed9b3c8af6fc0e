"""A snapshot becomes a store: its parts are written as they are found true, and the chain's records come last.

Every write is synced: a store that is renamed into place must not miss what a power cut took from it.
"""

from collections.abc import Iterable

from consensus.messages import Certificate, Handover
from node.storage import keys
from node.storage.chain import ChainStore, build_format_record
from node.storage.store import Store
from primitives.encoding import encode
from primitives.ids import Height
from vm.state_root import build_leaf, build_tree


class SnapshotWriter:
    """Fills an empty store; until ``seal`` it has no genesis and no height, so that nobody takes it for a chain."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chain = ChainStore(store)

    def put_handovers(self, handovers: Iterable[Handover]) -> None:
        """Keep how epochs ended."""
        for handover in handovers:
            self._chain.put_handover(handover)

    def put_evidence(self, evidence: Iterable[bytes]) -> None:
        """Keep the evidence of the chain that this one replaces."""
        for each in evidence:
            self._chain.put_evidence(each)

    def put_buckets(self, buckets: Iterable[tuple[int, bytes]]) -> None:
        """Keep what the pairs are compared with, until ``seal``; empty buckets read as absent."""
        self._write(
            {keys.build_bucket_key(keys.UNFINISHED, index): content for index, content in buckets if content}
        )

    def put_pairs(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Write state keys and their values, with their leaves."""
        puts: dict[bytes, bytes] = {}
        for key, value in pairs:
            name, leaf = build_leaf(key, value)
            puts[keys.STATE + key] = value
            puts[keys.LEAF + name] = leaf
        self._write(puts)

    def get_bucket(self, index: int) -> bytes:
        """Return a bucket that was put."""
        return self._store.get(keys.build_bucket_key(keys.UNFINISHED, index)) or b""

    def seal(self, certificate: Certificate, replaced: ChainStore) -> str | None:
        """Make it the chain that goes on above the certificate's block, or return why it is not that block's state.

        The tree is built once more from what the store gives back. Below the block only height 0 is kept.
        """
        header = certificate.header
        if build_tree(self._chain.iterate_buckets()).root != header.state_root:
            return "what was written is not the certified state"
        genesis, first = replaced.get_genesis(), replaced.get_header(Height(0))
        if genesis is None or first is None:
            return "the own chain has no genesis"
        height = header.height.to_bytes(8, "big")
        unfinished = dict.fromkeys(key for key, _ in self._store.iterate(keys.UNFINISHED))
        self._store.write(
            unfinished
            | {
                keys.FORMAT: build_format_record(),
                keys.GENESIS: genesis,
                keys.build_number_key(keys.HEADER, 0): encode(first),
                keys.build_number_key(keys.HEADER, header.height): encode(header),
                keys.build_number_key(keys.CERTIFICATE, header.height): encode(certificate),
                keys.CERTIFIED: height,
                keys.PRUNED: height,
                keys.JOURNAL: replaced.get_journal_mark().encode(),
                keys.HEIGHT: height,
            },
            sync=True,
        )
        return None

    def _write(self, puts: dict[bytes, bytes]) -> None:
        self._store.write(dict(puts), sync=True)
