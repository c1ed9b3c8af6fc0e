"""Binary Merkle tree over a list, with inclusion proofs (RFC 6962, section 2.1, with BLAKE2b domains).

The root also hashes the number of leaves: without it a leaf that moved up alone (the third of three) could be shown
at another place of a shorter list.
"""

from collections.abc import Sequence

from primitives.encoding import Struct
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.ids import Digest


class MerkleProof(Struct, frozen=True):
    """Shows that a leaf stands at ``index`` of a list of ``count``; siblings from the leaf upwards."""

    index: int
    count: int
    siblings: tuple[bytes, ...]


def compute_merkle_root(leaves: Sequence[bytes]) -> Digest:
    """Return the root over the leaves' bytes in order; the empty list has the empty digest."""
    if not leaves:
        return EMPTY_DIGEST
    level = [compute_hash(HashDomain.MERKLE_LEAF, leaf) for leaf in leaves]
    while len(level) > 1:
        level = _compute_parents(level)
    return _compute_root(len(leaves), level[0])


def compute_merkle_proof(leaves: Sequence[bytes], index: int) -> MerkleProof:
    """Return the inclusion proof of ``leaves[index]``.

    Raises:
        IndexError: there is no such leaf.

    """
    if not 0 <= index < len(leaves):
        message = f"leaf {index} of {len(leaves)}"
        raise IndexError(message)
    level = [compute_hash(HashDomain.MERKLE_LEAF, leaf) for leaf in leaves]
    siblings = []
    position = index
    while len(level) > 1:
        neighbour = position ^ 1
        if neighbour < len(level):
            siblings.append(bytes(level[neighbour]))
        level = _compute_parents(level)
        position >>= 1
    return MerkleProof(index, len(leaves), tuple(siblings))


def is_merkle_proof_valid(leaf: bytes, proof: MerkleProof, root: Digest) -> bool:
    """Tell whether ``proof`` places ``leaf`` in the list whose root is ``root``."""
    if not 0 <= proof.index < proof.count:
        return False
    digest = compute_hash(HashDomain.MERKLE_LEAF, leaf)
    siblings = list(proof.siblings)
    position, width = proof.index, proof.count
    while width > 1:
        neighbour = position ^ 1
        if neighbour < width:
            if not siblings:
                return False
            sibling = siblings.pop(0)
            pair = sibling + digest if position & 1 else digest + sibling
            digest = compute_hash(HashDomain.MERKLE_NODE, pair)
        position >>= 1
        width = (width + 1) >> 1
    return not siblings and _compute_root(proof.count, digest) == root


def _compute_root(count: int, top: Digest) -> Digest:
    return compute_hash(HashDomain.MERKLE_ROOT, count.to_bytes(8) + top)


def _compute_parents(level: list[Digest]) -> list[Digest]:
    """Hash neighbours together; an odd last node moves up unchanged."""
    parents = [
        compute_hash(HashDomain.MERKLE_NODE, level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)
    ]
    if len(level) & 1:
        parents.append(level[-1])
    return parents
