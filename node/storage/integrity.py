"""What a chain must agree with at the start: itself, and the journal beside it; and the long check of everything.

LevelDB answers for every byte it gives back, by checksums. It does not answer for what is gone: a log whose record
lengths are damaged, or that is too short, ends earlier in silence, and a damaged list of tables may forget one. What
is left then is an older chain, or one with a gap. The start refuses a gap, and tells an older chain by the journal,
which outlives it: what this validator signed the header of, it had stored.
"""

from collections.abc import Iterable, Iterator

from consensus.effects import JournalRecord, KnownCertificate, OwnMessage, SignedHeader
from consensus.messages import ViewChange
from node.storage.chain import ChainStore
from node.storage.store import StoreCorrupt
from primitives.encoding import encode
from primitives.header import BlockHeader
from primitives.ids import DIGEST_BYTES, Digest, Height
from primitives.merkle import compute_merkle_root
from vm.state_root import StateTree, build_leaf, build_tree

LINKS_CHECKED = 10_000
"""Blocks that the start walks back: more than one log of the store holds, as a gap lies just below the newest log."""

_REPAIR = (
    "move data/leveldb away (keep data/journal) and start again, the node fetches the chain from its peers"
)


def open_tree(chain: ChainStore) -> StateTree:
    """Return the tree over the stored buckets, when the newest blocks are whole and linked and its root is theirs.

    Raises:
        StoreCorrupt: a block is missing or is not its parent's, or the state is another than the last block names.

    """
    header = chain.get_latest_header()
    _check_block(chain, header)
    lowest = max(get_lowest(chain), header.height - LINKS_CHECKED)
    child = header
    for height in range(header.height - 1, lowest - 1, -1):
        child = _check_link(chain, Height(height), child)
    _check_certificate(chain, header)
    tree = build_tree(chain.iterate_buckets())
    if tree.root != header.state_root:
        raise StoreCorrupt(
            f"data/leveldb is damaged: its state is not the one that its last block names; {_REPAIR}"
        )
    return tree


def compare_with_journal(chain: ChainStore, records: Iterable[JournalRecord]) -> Height:
    """Return the highest height whose header this validator signed, or the chain's: what lies between was lost.

    A chain that lost its newest blocks is fetched again from the peers. Nothing is voted on differently meanwhile: the
    journal still holds the votes, and a new header of a height is compared with the one that was signed for it.

    Raises:
        StoreCorrupt: the chain holds another block than the one that this validator signed, or that a quorum did.

    """
    height = known = chain.get_height()
    for at, digest, is_own in _collect_known(records):
        if at > height:
            known = max(known, at) if is_own else known
            continue
        header = chain.get_header(at)
        if header is not None and header.compute_digest() != digest:
            raise StoreCorrupt(
                f"data/leveldb is not the chain of data/journal: its block {at} is"
                f" {header.compute_digest().hex()[:16]}, the journal knows {digest.hex()[:16]}; {_REPAIR}"
            )
    return known


def check_everything(chain: ChainStore) -> None:
    """Check every block, receipt, index entry, certificate, state value and bucket; one pass, little memory.

    Raises:
        StoreCorrupt: names the first height, or state key, that is not what it should be.

    """
    tip = chain.get_latest_header()
    parent = None
    for number in range(get_lowest(chain), tip.height + 1):
        header = _get_header(chain, Height(number))
        if parent is not None and header.parent != parent.compute_digest():
            raise StoreCorrupt(f"block {number} does not follow block {number - 1}; {_REPAIR}")
        _check_block(chain, header)
        certificate = chain.get_certificate(Height(number))
        if certificate is not None and certificate.header != header:
            raise StoreCorrupt(f"the certificate of height {number} is another block's; {_REPAIR}")
        parent = header
    _check_certificate(chain, tip)
    _check_state(chain)
    if build_tree(chain.iterate_buckets()).root != tip.state_root:
        raise StoreCorrupt(f"the state is not the one that block {tip.height} names; {_REPAIR}")


def _collect_known(records: Iterable[JournalRecord]) -> Iterator[tuple[Height, Digest, bool]]:
    """Yield (height, digest of its header, whether it was executed and signed here).

    A certificate that others quoted may be of blocks that never were here.
    """
    for record in records:
        match record:
            case SignedHeader(height=height, digest=digest):
                yield Height(height), Digest(digest), True
            case KnownCertificate(certificate=certificate):
                yield Height(certificate.header.height), certificate.header.compute_digest(), False
            case OwnMessage(envelope=envelope) if isinstance(envelope.message, ViewChange):
                stable = envelope.message.stable
                if stable is not None:
                    yield Height(stable.header.height), stable.header.compute_digest(), False
            case _:
                pass


def _check_link(chain: ChainStore, height: Height, child: BlockHeader) -> BlockHeader:
    header = _get_header(chain, height)
    if header.height != height or child.parent != header.compute_digest():
        raise StoreCorrupt(f"block {child.height} does not follow the stored block {height}; {_REPAIR}")
    return header


def get_lowest(chain: ChainStore) -> Height:
    """Return the lowest height whose header must be there: above what is pruned, or that of a snapshot alone."""
    pruned = chain.get_pruned_height()
    return pruned if pruned in {0, chain.get_height()} else Height(pruned + 1)


def _get_header(chain: ChainStore, height: Height) -> BlockHeader:
    header = chain.get_header(height)
    if header is None:
        raise StoreCorrupt(f"block {height} is missing and later ones are not; {_REPAIR}")
    return header


def _check_block(chain: ChainStore, header: BlockHeader) -> None:
    """Refuse a block whose batch, receipts or index entries are not its own; a snapshot's own block has none."""
    height = Height(header.height)
    if height <= chain.get_pruned_height():
        return
    block = chain.get_block(height)
    if block is None or block.batch.header.compute_digest() != header.batch_digest:
        raise StoreCorrupt(f"block {height} has not the transactions that its header names; {_REPAIR}")
    receipts = chain.get_receipts(height)
    if compute_merkle_root([encode(receipt) for receipt in receipts]) != header.receipts_root:
        raise StoreCorrupt(f"block {height} has not the receipts that its header names; {_REPAIR}")
    for receipt in receipts:
        if chain.find_transaction(receipt.transaction_id) is None:
            raise StoreCorrupt(
                f"transaction {receipt.transaction_id.hex()} of block {height} is not in the index; {_REPAIR}"
            )


def _check_certificate(chain: ChainStore, tip: BlockHeader) -> None:
    """Refuse a newest certificate that is of no stored block."""
    certificate = chain.get_latest_certificate()
    if certificate is None:
        return
    height = Height(certificate.header.height)
    if height > tip.height or chain.get_header(height) != certificate.header:
        raise StoreCorrupt(f"the newest certificate, of height {height}, is of no stored block; {_REPAIR}")


def _check_state(chain: ChainStore) -> None:
    """Refuse a state value without its leaf, and a leaf without its value.

    Every value has its leaf under its name and there are as many leaves as values, so the two are the same set.
    """
    values = 0
    for key, value in chain.iterate(b""):
        values += 1
        name, leaf = build_leaf(key, value)
        if chain.get_leaf(name) != leaf:
            raise StoreCorrupt(f"state key {key.hex()} has not the value that its bucket names; {_REPAIR}")
    leaves = sum(len(content) // DIGEST_BYTES for _, content in chain.iterate_buckets())
    if leaves != values:
        raise StoreCorrupt(f"the state has {values} values, its buckets name {leaves}; {_REPAIR}")
