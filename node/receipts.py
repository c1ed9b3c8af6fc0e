"""Where a transaction stands, and the proof of its receipt that a meter verifies offline."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from consensus.messages import Certificate, Handover
from primitives.encoding import encode
from primitives.hashing import HashDomain, compute_hash
from primitives.header import Block, BlockHeader
from primitives.ids import Digest, Epoch, Height
from primitives.merkle import MerkleProof
from vm.receipt import Receipt, ReceiptProof

LINKS_MAX = 64
"""Headers from a receipt's block up to the next certificate: 16 kB of proof. Almost always it is one."""

BLOCKS_REMEMBERED_MAX = 8
"""Blocks whose receipts and Merkle levels are kept decoded: those of one block are asked for together. 0.4 MB each at
1,000 receipts."""


class ChainReader(Protocol):
    """What is read of the stored chain; ``node.storage.chain`` provides it."""

    def get_header(self, height: Height) -> BlockHeader | None: ...
    def get_block(self, height: Height) -> Block | None: ...
    def get_receipts(self, height: Height) -> tuple[Receipt, ...]: ...
    def get_certificate(self, height: Height) -> Certificate | None: ...
    def find_transaction(self, transaction_id: bytes) -> tuple[Height, int] | None: ...
    def iterate_handovers(self, first: Epoch) -> Iterator[Handover]: ...
    def get_pruned_height(self) -> Height: ...
    def iterate_numbered_evidence(self) -> Iterator[tuple[int, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction of an executed block; ``certified`` tells whether a quorum's signatures cover it already."""

    height: Height
    index: int
    receipt: Receipt
    certified: bool


@dataclass(frozen=True, slots=True)
class CertifiedReceiptProof:
    """A receipt's proof and the certificate of its last header."""

    proof: ReceiptProof
    certificate: Certificate


class Receipts:
    """Looks up transactions and proves their receipts, from the stored chain."""

    def __init__(self, chain: ChainReader) -> None:
        self._chain = chain
        self._blocks: OrderedDict[Height, _BlockReceipts] = OrderedDict()

    def find(self, transaction_id: Digest, certified_height: Height) -> Committed | None:
        """Return where a transaction was executed, or None; one of a pruned block is not found."""
        place = self._chain.find_transaction(transaction_id)
        if place is None or place[0] <= self._chain.get_pruned_height():
            return None
        height, index = place
        receipts = self._get_block(height).receipts
        if index >= len(receipts) or receipts[index].transaction_id != transaction_id:
            return None  # pruned between two reads, or an id that only begins like it
        receipt = receipts[index]
        return Committed(height, index, receipt, certified=height <= certified_height)

    def prove(self, committed: Committed, certified_height: Height) -> CertifiedReceiptProof | None:
        """Return the proof of a certified transaction's receipt.

        None when there is no certificate of its block or of one of the next ``LINKS_MAX``: a node that caught up over
        them without their certificates cannot prove this; another validator can.
        """
        last = min(certified_height, committed.height + LINKS_MAX - 1)
        headers: list[BlockHeader] = []
        for height in range(committed.height, last + 1):
            header = self._chain.get_header(Height(height))
            if header is None:
                return None
            headers.append(header)
            certificate = self._chain.get_certificate(Height(height))
            if certificate is not None:
                inclusion = self._get_block(committed.height).ladder.prove(committed.index)
                return CertifiedReceiptProof(
                    ReceiptProof(committed.receipt, inclusion, tuple(headers)), certificate
                )
        return None

    def prove_block(self, height: Height, certified_height: Height) -> "ProvenBlock | None":
        """Return all receipts of a certified block at once, or None where ``prove`` returns None, or it is pruned."""
        block = self._get_block(height)
        if not block.receipts:
            header, certificate = self._chain.get_header(height), self._chain.get_certificate(height)
            is_kept = height > self._chain.get_pruned_height()
            if header is None or certificate is None or not is_kept:
                return None
            return ProvenBlock(block, (header,), certificate)
        first = Committed(height, 0, block.receipts[0], certified=True)
        proven = self.prove(first, certified_height)
        return None if proven is None else ProvenBlock(block, proven.proof.headers, proven.certificate)

    def _get_block(self, height: Height) -> "_BlockReceipts":
        """Return a stored block's receipts; what is executed never changes."""
        block = self._blocks.get(height)
        if block is None:
            receipts = self._chain.get_receipts(height)
            if not receipts:
                return _BlockReceipts(())
            block = self._blocks[height] = _BlockReceipts(receipts)
            if len(self._blocks) > BLOCKS_REMEMBERED_MAX:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(height)
        return block


class ProvenBlock:
    """A block's receipts, each with its proof; ``headers`` lead from it to the one that ``certificate`` signs."""

    def __init__(
        self, block: "_BlockReceipts", headers: tuple[BlockHeader, ...], certificate: Certificate
    ) -> None:
        self._block = block
        self.headers = headers
        self.certificate = certificate

    @property
    def header(self) -> BlockHeader:
        """Return the block's own header."""
        return self.headers[0]

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Return what became of its transactions, in order."""
        return self._block.receipts

    @property
    def places(self) -> Mapping[bytes, int]:
        """Return the place of each of its transactions, by id."""
        return self._block.places

    def prove(self, index: int) -> MerkleProof:
        """Return the proof that a receipt stands under the block's header."""
        return self._block.ladder.prove(index)


class _BlockReceipts:
    """A block's receipts, and the ladder of their proofs once somebody asked for one."""

    def __init__(self, receipts: tuple[Receipt, ...]) -> None:
        self.receipts = receipts

    @cached_property
    def places(self) -> Mapping[bytes, int]:
        return {receipt.transaction_id: index for index, receipt in enumerate(self.receipts)}

    @cached_property
    def ladder(self) -> "MerkleLadder":
        return MerkleLadder([encode(receipt) for receipt in self.receipts])


class MerkleLadder:
    """All levels of one Merkle tree, hashed once: a proof of each of its leaves costs no further hash.

    Gives what ``primitives.merkle.compute_merkle_proof`` gives, which hashes the whole tree for every proof.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._count = len(leaves)
        level: list[bytes] = [compute_hash(HashDomain.MERKLE_LEAF, leaf) for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            parents: list[bytes] = [
                compute_hash(HashDomain.MERKLE_NODE, level[i] + level[i + 1])
                for i in range(0, len(level) - 1, 2)
            ]
            level = parents + level[len(level) - len(level) % 2 :]
            self._levels.append(level)

    def prove(self, index: int) -> MerkleProof:
        """Return the inclusion proof of one leaf."""
        siblings = []
        position = index
        for level in self._levels[:-1]:
            neighbour = position ^ 1
            if neighbour < len(level):
                siblings.append(level[neighbour])
            position >>= 1
        return MerkleProof(index, self._count, tuple(siblings))
