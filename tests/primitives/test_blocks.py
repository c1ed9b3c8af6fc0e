"""Batches and headers are named by everything in them."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.batch import NULL_DIGEST, Batch, BatchHeader, build_batch, is_batch_whole
from primitives.encoding import decode, encode
from primitives.hashing import EMPTY_DIGEST, compute_transaction_id
from primitives.header import (
    PROTOCOL_VERSION,
    BlockHeader,
    Validator,
    build_genesis_header,
    compute_membership_hash,
)
from primitives.ids import Digest, ReplicaId, UnixMs

PROPOSER = ReplicaId(b"\x01" * 32)
TRANSACTIONS = (b"first", b"second", b"third")
HEADER = BlockHeader(
    5, 6, 0, b"\1" * 32, b"\2" * 32, 1000, b"\3" * 32, b"\4" * 32, b"\5" * 32, PROTOCOL_VERSION
)


@dataclass(frozen=True)
class Change:
    field: str
    value: object


def test_a_batch_names_its_transactions_in_their_order() -> None:
    batch = build_batch(PROPOSER, UnixMs(7), TRANSACTIONS)
    assert batch.header.transaction_ids == tuple(compute_transaction_id(raw) for raw in TRANSACTIONS)
    assert is_batch_whole(batch)


@given(st.lists(st.binary(max_size=30), max_size=8).map(tuple), st.integers(0, 2**53))
def test_a_built_batch_is_whole_and_survives_its_encoding(
    transactions: tuple[bytes, ...], time_ms: int
) -> None:
    batch = build_batch(PROPOSER, UnixMs(time_ms), transactions)
    assert is_batch_whole(decode(encode(batch), Batch))


@pytest.mark.parametrize(
    "transactions",
    [
        (b"first", b"second"),
        (b"first", b"second", b"third", b"fourth"),
        (b"second", b"first", b"third"),
        (b"first", b"second", b"Third"),
        (),
    ],
)
def test_other_transactions_than_the_header_names_are_not_whole(transactions: tuple[bytes, ...]) -> None:
    header = build_batch(PROPOSER, UnixMs(7), TRANSACTIONS).header
    assert not is_batch_whole(Batch(header, transactions))


@pytest.mark.parametrize(
    "change",
    [
        Change("proposer", b"\x02" * 32),
        Change("time_ms", 8),
        Change("transaction_ids", ()),
        Change("transaction_ids", (compute_transaction_id(b"first"),)),
    ],
)
def test_any_change_of_a_batch_header_changes_its_digest(change: Change) -> None:
    header = build_batch(PROPOSER, UnixMs(7), TRANSACTIONS).header
    changed: BatchHeader = msgspec.structs.replace(header, **{change.field: change.value})
    assert changed.compute_digest() != header.compute_digest()


def test_an_empty_batch_is_not_the_null_batch() -> None:
    assert build_batch(PROPOSER, UnixMs(7), ()).header.compute_digest() != NULL_DIGEST


@pytest.mark.parametrize("field", BlockHeader.__struct_fields__)
def test_any_change_of_a_block_header_changes_its_digest(field: str) -> None:
    value = getattr(HEADER, field)
    other = value + 1 if isinstance(value, int) else b"\x09" * 32
    assert msgspec.structs.replace(HEADER, **{field: other}).compute_digest() != HEADER.compute_digest()


def test_the_genesis_header_has_height_zero_and_no_parent() -> None:
    header = build_genesis_header(1000, Digest(b"\1" * 32), Digest(b"\2" * 32))
    assert (header.height, header.sequence, header.epoch, header.parent) == (0, 0, 0, EMPTY_DIGEST)
    assert (header.state_root, header.next_membership, header.time_ms) == (b"\1" * 32, b"\2" * 32, 1000)


def test_the_membership_hash_depends_on_members_and_their_order() -> None:
    one, two = Validator("a", b"\1" * 32, b"cert a"), Validator("b", b"\2" * 32, b"cert b")
    hashes = {compute_membership_hash(members) for members in ((), (one,), (two,), (one, two), (two, one))}
    assert len(hashes) == 5
