"""Equal bytes in different roles never share a hash."""

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from primitives.hashing import (
    EMPTY_DIGEST,
    HashDomain,
    compute_account_id,
    compute_hash,
    compute_transaction_id,
)
from primitives.ids import ACCOUNT_BYTES, DIGEST_BYTES


@given(st.binary(max_size=200))
def test_no_two_domains_give_the_same_hash(data: bytes) -> None:
    assert len({compute_hash(domain, data) for domain in HashDomain}) == len(HashDomain)


def test_every_domain_fits_the_personalisation_of_blake2b_and_is_padded_to_its_own() -> None:
    padded = {domain.value.ljust(blake2b.PERSON_SIZE, b"\0") for domain in HashDomain}
    assert len(padded) == len(HashDomain)
    assert all(len(domain.value) <= blake2b.PERSON_SIZE for domain in HashDomain)


def test_the_hash_is_blake2b_with_256_bits() -> None:
    expected = blake2b(b"abc", digest_size=32, person=b"gridbft/header").digest()
    assert compute_hash(HashDomain.HEADER, b"abc") == expected
    assert len(expected) == DIGEST_BYTES


@given(st.binary(max_size=200))
def test_a_transaction_is_named_by_the_hash_of_its_domain(raw: bytes) -> None:
    assert compute_transaction_id(raw) == compute_hash(HashDomain.TRANSACTION, raw)


def test_an_account_id_is_short_and_depends_on_its_seed() -> None:
    assert len(compute_account_id(b"a")) == ACCOUNT_BYTES
    assert compute_account_id(b"a") != compute_account_id(b"b")


def test_nothing_known_hashes_to_the_empty_digest() -> None:
    assert bytes(32) == EMPTY_DIGEST
    assert all(compute_hash(domain, b"") != EMPTY_DIGEST for domain in HashDomain)
