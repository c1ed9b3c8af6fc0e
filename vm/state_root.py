"""The state root: one hash that commits to every key, with a proof for any one of them.

A tree of fixed depth and width 16 over 65,536 buckets. A key belongs to the bucket that hashes of its parts name
(``get_bucket_index``); a bucket is the sorted list of its leaves, and a leaf is hash(key, value). Inner nodes
are kept in memory as the concatenation of their children's digests; buckets live in the store. Updating a key rehashes
its bucket and shares the rest of the path with all other changes of the block. A tree is immutable: a block gives a new
one that shares every unchanged node with its parent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from primitives.encoding import Struct
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.ids import DIGEST_BYTES, Digest

WIDTH_BITS = 4
WIDTH = 1 << WIDTH_BITS
LEVELS = 4
"""Four inner levels of width 16: 65,536 buckets hold a few keys each up to a million accounts."""

INDEX_BYTES = 2

REGION_BITS = 8
"""Buckets lie in 256 regions of 256. All readings of an instant, and all lines of a slot, are in one region: a block of
them touches neighbours, whose way to the root is shared, and which the store merges with few others."""

PREFIX_BYTES = 2
"""An account's own records (account, meter, newest registers) differ by their prefix alone: they share a bucket."""

REGION_END = PREFIX_BYTES + 8
"""What names the region ends here: an instant, or the beginning of an account's id."""

BUCKETS = 1 << (WIDTH_BITS * LEVELS)
GROUPS = BUCKETS // WIDTH
"""Buckets under one node of the last level are a group: the piece of a state that is checked by itself."""

GROUP_DIGESTS_BYTES = GROUPS * DIGEST_BYTES
PROOF_BUCKET_BYTES_MAX = 4096 * DIGEST_BYTES
"""A proof names all leaves of one bucket; a bucket that large means billions of keys."""

BucketReader = Callable[[int], bytes]


class StateProof(Struct, frozen=True):
    """Shows that a key has a value under a state root: its bucket's leaves, and each level's node up to the root."""

    bucket: bytes
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TreeWrites:
    """What changed below the tree: whole buckets by index, leaves by name (see ``build_leaf``), None for one that went.

    The first is what a reader of the newest tree wants, the second what a store writes: what changed, and not all that
    a bucket holds.
    """

    buckets: Mapping[int, bytes]
    leaves: Mapping[bytes, Digest | None]


class StateTree:
    """The inner nodes of a state root; ``levels[0]`` is the root's node, ``levels[3]`` the 4,096 above the buckets."""

    __slots__ = ("levels", "root")

    def __init__(self, levels: tuple[tuple[bytes, ...], ...]) -> None:
        """Bind the nodes; the root is the hash of the only node of the first level."""
        self.levels = levels
        self.root = compute_hash(HashDomain.STATE_NODE, levels[0][0])


def build_tree(buckets: Iterable[tuple[int, bytes]]) -> StateTree:
    """Return the tree over the stored buckets (index, content), in any order; absent ones are empty."""
    digests = {index: _hash_bucket(content) for index, content in buckets}
    return _replace_digests(_EMPTY_TREE, digests)


def update_tree(
    tree: StateTree, get_bucket: BucketReader, changes: Mapping[bytes, tuple[bytes | None, bytes | None]]
) -> tuple[StateTree, TreeWrites]:
    """Return the tree after ``changes`` (key to old and new value; None is absent) and what changed below it."""
    concerned: dict[int, list[tuple[bytes, bytes | None, bytes | None]]] = {}
    for key, (old, new) in changes.items():
        if old != new:
            concerned.setdefault(get_bucket_index(key), []).append((key, old, new))
    contents: dict[int, bytes] = {}
    changed: dict[bytes, Digest | None] = {}
    for index in sorted(concerned):  # in the order of the store, which reads neighbours for less
        leaves = _split(get_bucket(index))
        prefix = index.to_bytes(INDEX_BYTES, "big")
        for key, old, new in concerned[index]:
            if old is not None:
                leaves.remove(_hash_leaf(key, old))
            leaf = None if new is None else _hash_leaf(key, new)
            if leaf is not None:
                leaves.append(leaf)
            changed[prefix + key] = leaf
        contents[index] = join_leaves(leaves)
    digests = {index: _hash_bucket(content) for index, content in contents.items()}
    return _replace_digests(tree, digests), TreeWrites(contents, changed)


def prove(tree: StateTree, get_bucket: BucketReader, key: bytes) -> StateProof:
    """Return the proof for ``key``; it shows whichever value the tree was built with."""
    index = get_bucket_index(key)
    nodes = tuple(
        tree.levels[level][index >> (WIDTH_BITS * (LEVELS - level))] for level in reversed(range(LEVELS))
    )
    return StateProof(get_bucket(index), nodes)


def is_state_proof_valid(key: bytes, value: bytes, proof: StateProof, root: Digest) -> bool:
    """Tell whether ``key`` has ``value`` in the state whose root is ``root``."""
    if len(proof.nodes) != LEVELS or len(proof.bucket) > PROOF_BUCKET_BYTES_MAX:
        return False
    if len(proof.bucket) % DIGEST_BYTES or any(len(node) != WIDTH * DIGEST_BYTES for node in proof.nodes):
        return False
    if not is_leaf_of(proof.bucket, key, value):
        return False
    index = get_bucket_index(key)
    digest = _hash_bucket(proof.bucket)
    for node in proof.nodes:
        start = (index % WIDTH) * DIGEST_BYTES
        if node[start : start + DIGEST_BYTES] != digest:
            return False
        digest = compute_hash(HashDomain.STATE_NODE, node)
        index >>= WIDTH_BITS
    return digest == root


def collect_group_digests(tree: StateTree) -> bytes:
    """Return the digests of all groups in order, as one string: what the last but one level holds."""
    return b"".join(tree.levels[LEVELS - 2])


def compute_groups_root(digests: bytes) -> Digest:
    """Return the state root over the digests of all groups; they are GROUP_DIGESTS_BYTES long."""
    while len(digests) > DIGEST_BYTES:
        width = WIDTH * DIGEST_BYTES
        nodes = (digests[i : i + width] for i in range(0, len(digests), width))
        digests = b"".join(compute_hash(HashDomain.STATE_NODE, node) for node in nodes)
    return Digest(digests)


def compute_group_digest(contents: Sequence[bytes]) -> Digest:
    """Return the digest of a group from its WIDTH buckets in order."""
    return compute_hash(HashDomain.STATE_NODE, b"".join(_hash_bucket(content) for content in contents))


def build_leaf(key: bytes, value: bytes) -> tuple[bytes, Digest]:
    """Return the name of a key's leaf, the index of its bucket and the key itself, and the leaf."""
    return get_bucket_index(key).to_bytes(INDEX_BYTES, "big") + key, _hash_leaf(key, value)


def join_leaves(leaves: Iterable[bytes]) -> bytes:
    """Return the content of a bucket with these leaves."""
    return b"".join(sorted(leaves))


def is_leaf_of(bucket: bytes, key: bytes, value: bytes) -> bool:
    """Tell whether a bucket holds the leaf of ``key`` with ``value``."""
    return _hash_leaf(key, value) in _split(bucket)


def get_bucket_index(key: bytes) -> int:
    """Return the bucket of a key, so that what is written together lies together.

    The first 8 bits are of the hash of the 8 bytes behind the PREFIX_BYTES that say what kind of record it is: an
    instant, or the beginning of an account's id. The others are of the hash of everything behind the prefix.
    """
    region = compute_hash(HashDomain.STATE_KEY, key[PREFIX_BYTES:REGION_END])[0]
    return region << REGION_BITS | compute_hash(HashDomain.STATE_KEY, key[PREFIX_BYTES:])[0]


def _hash_leaf(key: bytes, value: bytes) -> Digest:
    return compute_hash(HashDomain.STATE_LEAF, len(key).to_bytes(2, "big") + key + value)


def _hash_bucket(content: bytes) -> Digest:
    return compute_hash(HashDomain.STATE_BUCKET, content) if content else EMPTY_DIGEST


def _split(content: bytes) -> list[bytes]:
    return [content[i : i + DIGEST_BYTES] for i in range(0, len(content), DIGEST_BYTES)]


def _replace_digests(tree: StateTree, digests: Mapping[int, Digest]) -> StateTree:
    """Return a tree with some buckets' digests replaced, level by level from the bottom."""
    levels: list[tuple[bytes, ...]] = []
    for level in reversed(range(LEVELS)):
        nodes = list(tree.levels[level])
        changed: dict[int, bytearray] = {}
        for index, digest in digests.items():
            position, start = index >> WIDTH_BITS, (index % WIDTH) * DIGEST_BYTES
            node = changed.get(position)
            if node is None:
                node = changed[position] = bytearray(nodes[position])
            node[start : start + DIGEST_BYTES] = digest
        above: dict[int, Digest] = {}
        for position, node in changed.items():
            nodes[position] = content = bytes(node)
            above[position] = compute_hash(HashDomain.STATE_NODE, content)
        levels.append(tuple(nodes))
        digests = above
    return StateTree(tuple(reversed(levels)))


def _build_empty_tree() -> StateTree:
    """Return the tree without any key; its 4,369 nodes share four objects."""
    levels: list[tuple[bytes, ...]] = []
    digest = EMPTY_DIGEST
    for level in reversed(range(LEVELS)):
        node = bytes(digest) * WIDTH
        levels.append((node,) * (1 << (WIDTH_BITS * level)))
        digest = compute_hash(HashDomain.STATE_NODE, node)
    return StateTree(tuple(reversed(levels)))


_EMPTY_TREE = _build_empty_tree()
