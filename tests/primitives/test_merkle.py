"""A proof shows one leaf at one place of one list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.ids import Digest
from primitives.merkle import MerkleProof, compute_merkle_proof, compute_merkle_root, is_merkle_proof_valid

SIZES = range(34)
LEAVES = [f"leaf {number}".encode() for number in SIZES]


def flip_first_byte(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("count", SIZES)
def test_every_leaf_of_a_list_is_proven(count: int) -> None:
    leaves = LEAVES[:count]
    root = compute_merkle_root(leaves)
    for index, leaf in enumerate(leaves):
        assert is_merkle_proof_valid(leaf, compute_merkle_proof(leaves, index), root)


@pytest.mark.parametrize("count", SIZES)
def test_an_altered_leaf_place_or_sibling_is_refused(count: int) -> None:
    leaves = LEAVES[:count]
    root = compute_merkle_root(leaves)
    for index, leaf in enumerate(leaves):
        proof = compute_merkle_proof(leaves, index)
        siblings = proof.siblings
        assert not is_merkle_proof_valid(leaf + b"x", proof, root)
        for place, sibling in enumerate(siblings):
            spoilt = (*siblings[:place], flip_first_byte(sibling), *siblings[place + 1 :])
            assert not is_merkle_proof_valid(leaf, MerkleProof(index, count, spoilt), root)
            shorter = (*siblings[:place], *siblings[place + 1 :])
            assert not is_merkle_proof_valid(leaf, MerkleProof(index, count, shorter), root)
        assert not is_merkle_proof_valid(leaf, MerkleProof(index, count, (*siblings, bytes(32))), root)
        for other in range(-1, 40):
            for other_count in range(40):
                if (other, other_count) != (index, count):
                    moved = MerkleProof(other, other_count, siblings)
                    assert not is_merkle_proof_valid(leaf, moved, root)


def test_the_third_of_three_cannot_be_shown_as_the_second_of_two() -> None:
    # Found in the first version: a leaf that moves up alone has the path of a shorter list.
    leaves = [b"a", b"b", b"c"]
    proof = compute_merkle_proof(leaves, 2)
    assert not is_merkle_proof_valid(b"c", MerkleProof(1, 2, proof.siblings), compute_merkle_root(leaves))


@pytest.mark.parametrize("count", range(1, 34))
def test_a_proof_does_not_hold_for_another_list(count: int) -> None:
    leaves = LEAVES[:count]
    proof = compute_merkle_proof(leaves, 0)
    for other in range(34):
        if other != count:
            assert not is_merkle_proof_valid(leaves[0], proof, compute_merkle_root(LEAVES[:other]))


def test_lists_of_different_content_or_order_have_different_roots() -> None:
    assert len({compute_merkle_root(LEAVES[:count]) for count in SIZES}) == len(SIZES)
    assert compute_merkle_root([b"a", b"b"]) != compute_merkle_root([b"b", b"a"])
    # A last leaf that is repeated is not the tree without it (CVE-2012-2459).
    assert compute_merkle_root([b"a", b"b", b"c"]) != compute_merkle_root([b"a", b"b", b"c", b"c"])


def test_the_empty_list_has_the_empty_digest_and_no_proofs() -> None:
    assert compute_merkle_root([]) == EMPTY_DIGEST
    with pytest.raises(IndexError):
        compute_merkle_proof([], 0)
    assert not is_merkle_proof_valid(b"", MerkleProof(0, 0, ()), EMPTY_DIGEST)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_proof_of_a_leaf_outside_the_list(index: int) -> None:
    with pytest.raises(IndexError):
        compute_merkle_proof([b"a", b"b", b"c"], index)


def test_an_inner_node_cannot_be_shown_as_a_leaf() -> None:
    leaves = [b"a", b"b", b"c", b"d"]
    left = b"".join(compute_hash(HashDomain.MERKLE_LEAF, leaf) for leaf in leaves[:2])
    right = compute_merkle_proof(leaves, 0).siblings[1]
    for count in (2, 4):
        assert not is_merkle_proof_valid(left, MerkleProof(0, count, (right,)), compute_merkle_root(leaves))


@given(
    st.lists(st.binary(max_size=20), min_size=1, max_size=60),
    st.lists(st.binary(max_size=40), max_size=8),
    st.data(),
)
def test_a_random_proof_proves_nothing(
    leaves: list[bytes], siblings: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    leaf = data.draw(st.binary(max_size=20))
    proof = MerkleProof(index, len(leaves), tuple(siblings))
    assert is_merkle_proof_valid(leaf, proof, compute_merkle_root(leaves)) == (
        leaf == leaves[index] and proof == compute_merkle_proof(leaves, index)
    )


def test_a_root_of_one_leaf_is_not_its_leaf_hash() -> None:
    assert compute_merkle_root([b"a"]) != compute_hash(HashDomain.MERKLE_LEAF, b"a")
    assert is_merkle_proof_valid(b"a", MerkleProof(0, 1, ()), Digest(compute_merkle_root([b"a"])))
