"""One hash commits to every key: the same for the same state whatever the way there, with a proof nobody can bend."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from primitives.hashing import EMPTY_DIGEST, compute_account_id
from vm.state_root import (
    BUCKETS,
    INDEX_BYTES,
    LEVELS,
    REGION_BITS,
    StateProof,
    StateTree,
    build_leaf,
    build_tree,
    get_bucket_index,
    is_state_proof_valid,
    join_leaves,
    prove,
    update_tree,
)

Values = dict[bytes, bytes]
VALUES = st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), max_size=30)


class Stored:
    """A tree with its buckets and the values that it commits to."""

    def __init__(self) -> None:
        self.values: Values = {}
        self.buckets: dict[int, bytes] = {}
        self.leaves: dict[bytes, bytes] = {}
        self.tree = build_tree(())

    def get_bucket(self, index: int) -> bytes:
        return self.buckets.get(index, b"")

    def move_to(self, values: Values) -> StateTree:
        """Change, insert and remove in one update until the state is ``values``."""
        keys = {*self.values, *values}
        changes = {key: (self.values.get(key), values.get(key)) for key in keys}
        self.tree, writes = update_tree(self.tree, self.get_bucket, changes)
        self.buckets.update(writes.buckets)
        for name, leaf in writes.leaves.items():
            if leaf is None:
                del self.leaves[name]
            else:
                self.leaves[name] = leaf
        self.values = dict(values)
        return self.tree


def build(values: Values) -> Stored:
    stored = Stored()
    stored.move_to(values)
    return stored


def find_neighbours_in_one_bucket(count: int) -> list[bytes]:
    found: dict[int, list[bytes]] = {}
    for number in range(1_000_000):
        key = b"key %d" % number
        bucket = found.setdefault(get_bucket_index(key), [])
        bucket.append(key)
        if len(bucket) == count:
            return bucket
    raise AssertionError


def test_the_empty_state_has_one_root() -> None:
    assert build_tree(()).root == Stored().tree.root == build_tree([(7, b"")]).root
    assert Stored().tree.root != EMPTY_DIGEST


@given(VALUES, VALUES, VALUES)
@settings(max_examples=60, deadline=None)
def test_the_root_is_that_of_the_state_and_not_of_the_way_there(
    first: Values, second: Values, third: Values
) -> None:
    stored = build(first)
    stored.move_to(second)
    stored.move_to(third)
    direct = build(third)
    one_by_one = Stored()
    for key in reversed(list(third)):
        one_by_one.move_to({**one_by_one.values, key: third[key]})
    rebuilt = build_tree(reversed(list(stored.buckets.items())))
    assert stored.tree.root == direct.tree.root == one_by_one.tree.root == rebuilt.root
    assert stored.tree.levels == rebuilt.levels


@given(VALUES, VALUES)
@settings(max_examples=60, deadline=None)
def test_different_states_have_different_roots(first: Values, second: Values) -> None:
    assert (build(first).tree.root == build(second).tree.root) == (first == second)


@given(VALUES, VALUES)
@settings(max_examples=60, deadline=None)
def test_the_leaves_that_were_written_are_those_of_the_buckets(first: Values, second: Values) -> None:
    stored = build(first)
    stored.move_to(second)
    assert stored.leaves == dict(build_leaf(key, value) for key, value in second.items())
    found: dict[int, list[bytes]] = {}
    for name, leaf in stored.leaves.items():
        found.setdefault(int.from_bytes(name[:INDEX_BYTES], "big"), []).append(leaf)
    contents = {index: join_leaves(leaves) for index, leaves in found.items()}
    assert contents == {index: content for index, content in stored.buckets.items() if content}


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_removing_everything_gives_the_empty_root(values: Values) -> None:
    stored = build(values)
    assert stored.move_to({}).root == build_tree(()).root
    assert not any(stored.buckets.values())


@given(VALUES)
@settings(max_examples=40, deadline=None)
def test_every_key_has_a_proof_of_its_value_and_of_no_other(values: Values) -> None:
    stored = build(values)
    for key, value in values.items():
        proof = prove(stored.tree, stored.get_bucket, key)
        assert is_state_proof_valid(key, value, proof, stored.tree.root)
        assert not is_state_proof_valid(key, value + b"x", proof, stored.tree.root)
        assert not is_state_proof_valid(key + b"x", value, proof, stored.tree.root)
        for other in values:
            if other != key:
                assert not is_state_proof_valid(other, b"no such value", proof, stored.tree.root)


@given(VALUES, st.binary(max_size=8))
@settings(max_examples=40, deadline=None)
def test_an_absent_key_has_no_proof(values: Values, key: bytes) -> None:
    values.pop(key, None)
    stored = build(values)
    proof = prove(stored.tree, stored.get_bucket, key)
    assert not is_state_proof_valid(key, b"", proof, stored.tree.root)


def test_a_key_cannot_lend_its_bytes_to_its_value() -> None:
    stored = build({b"ab": b"c"})
    proof = prove(stored.tree, stored.get_bucket, b"ab")
    assert not is_state_proof_valid(b"a", b"bc", proof, stored.tree.root)
    assert build({b"a": b"bc"}).tree.root != stored.tree.root


def test_every_altered_byte_of_a_proof_is_refused() -> None:
    keys = find_neighbours_in_one_bucket(3)
    stored = build(dict.fromkeys(keys, b"value") | {b"other %d" % i: b"v" for i in range(200)})
    key, root = keys[1], stored.tree.root
    proof = prove(stored.tree, stored.get_bucket, key)
    assert is_state_proof_valid(key, b"value", proof, root)
    for position in range(len(proof.bucket)):
        altered = replace(proof, bucket=flip(proof.bucket, position))
        assert not is_state_proof_valid(key, b"value", altered, root)
    for level in range(LEVELS):
        for position in range(len(proof.nodes[level])):
            nodes = list(proof.nodes)
            nodes[level] = flip(nodes[level], position)
            assert not is_state_proof_valid(key, b"value", replace(proof, nodes=tuple(nodes)), root)
    for position in range(32):
        assert not is_state_proof_valid(key, b"value", proof, flip(root, position))  # type: ignore[arg-type]


def test_a_proof_of_another_shape_is_refused_and_never_a_crash() -> None:
    stored = build({b"key": b"value"})
    proof = prove(stored.tree, stored.get_bucket, b"key")
    bad = [
        StateProof(b"", ()),
        StateProof(proof.bucket, proof.nodes[:-1]),
        StateProof(proof.bucket, (*proof.nodes, proof.nodes[-1])),
        StateProof(proof.bucket, tuple(reversed(proof.nodes))),
        StateProof(proof.bucket, (b"", *proof.nodes[1:])),
        StateProof(proof.bucket, (proof.nodes[0] + bytes(32), *proof.nodes[1:])),
        StateProof(proof.bucket[:-1], proof.nodes),
        StateProof(proof.bucket + proof.bucket, proof.nodes),
        StateProof(proof.bucket + bytes(4096 * 32), proof.nodes),
    ]
    for each in bad:
        assert not is_state_proof_valid(b"key", b"value", each, stored.tree.root)


def test_keys_of_one_bucket_do_not_depend_on_their_order() -> None:
    keys = find_neighbours_in_one_bucket(4)
    forwards, backwards = Stored(), Stored()
    for key in keys:
        forwards.move_to({**forwards.values, key: b"v"})
    for key in reversed(keys):
        backwards.move_to({**backwards.values, key: b"v"})
    assert forwards.tree.root == backwards.tree.root
    for key in keys:
        assert is_state_proof_valid(
            key, b"v", prove(forwards.tree, forwards.get_bucket, key), forwards.tree.root
        )


def test_a_tree_is_not_changed_by_its_successors() -> None:
    stored = build({b"a": b"1"})
    before, root = stored.tree, stored.tree.root
    stored.move_to({b"a": b"2", b"b": b"3"})
    assert before.root == root == build({b"a": b"1"}).tree.root
    assert stored.tree.root != root


def test_a_change_that_contradicts_the_bucket_is_a_bug_and_stops() -> None:
    stored = build({b"a": b"1"})
    with pytest.raises(ValueError, match="not in list"):
        update_tree(stored.tree, stored.get_bucket, {b"a": (b"2", b"3")})


def test_accounts_spread_over_the_buckets_and_the_records_of_one_share_one() -> None:
    accounts = [compute_account_id(b"%d" % number) for number in range(1000)]
    indices = {get_bucket_index(b"pa" + account) for account in accounts}
    assert len(indices) > 980
    assert max(indices) < BUCKETS
    assert {get_bucket_index(b"eq" + account) for account in accounts} == indices


def test_readings_of_an_instant_spread_over_one_region_and_instants_over_all() -> None:
    accounts = [compute_account_id(b"%d" % number) for number in range(1000)]
    instants = [(900 * number).to_bytes(8, "big") for number in range(1000)]
    of_one = [get_bucket_index(b"er" + instants[0] + account) for account in accounts]
    assert len({index >> REGION_BITS for index in of_one}) == 1
    assert max(of_one.count(index) for index in of_one) < 20
    assert len({get_bucket_index(b"er" + instant + accounts[0]) >> REGION_BITS for instant in instants}) > 240


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
