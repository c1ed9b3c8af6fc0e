"""A proof convinces whoever holds the genesis, and nothing else does."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consensus.messages import Certificate
from meter.proofs import (
    CERTIFICATES_REMEMBERED_MAX,
    CERTIFIED_RECEIPT_BYTES_MAX,
    STATE_PROOF_BYTES_MAX,
    CertifiedReceipt,
    ReceiptVerifier,
    build_trust_anchor,
    check_receipt,
    check_state_value,
    decode_certified_receipt,
    encode_certified_receipt,
    read_certificate,
    read_certified_receipt,
    read_state_proof,
)
from primitives.encoding import DecodeError, encode
from primitives.ids import Digest
from tests.meter.networks import (
    ANCHOR,
    KEYS,
    STRANGER,
    build_genesis,
    build_header,
    certify,
    prove,
)
from vm.receipt import Receipt
from vm.state_root import StateTree, build_tree, update_tree
from vm.state_root import prove as prove_state

NAME = Digest(b"\x11" * 32)
RECEIPTS = tuple(Receipt(bytes([number]) * 32, None, True) for number in range(0x10, 0x15))
PROOF = prove(RECEIPTS, 1)

STATE = {f"key {number}".encode(): f"value {number}".encode() for number in range(300)}


def build_state() -> tuple[StateTree, Mapping[int, bytes]]:
    changes = {key: (None, value) for key, value in STATE.items()}
    tree, writes = update_tree(build_tree([]), lambda _: b"", changes)
    return tree, writes.buckets


@pytest.mark.parametrize("index", range(5))
def test_every_receipt_of_a_block_is_proven(index: int) -> None:
    assert check_receipt(ANCHOR, Digest(RECEIPTS[index].transaction_id), prove(RECEIPTS, index)) is None


@pytest.mark.parametrize("later", [1, 2, 9])
def test_a_certificate_of_a_later_block_proves_it_through_linked_headers(later: int) -> None:
    certified = prove(RECEIPTS, 1, height=7, later=later)
    assert check_receipt(ANCHOR, NAME, certified) is None
    assert certified.height == 7
    assert certified.certificate.header.height == 7 + later
    headers = certified.proof.headers
    for broken in ((*headers[:1], *headers[2:]), headers[::-1], headers[:-1], headers[1:]):
        spoilt = structs.replace(certified.proof, headers=broken)
        assert check_receipt(ANCHOR, NAME, CertifiedReceipt(spoilt, certified.certificate)) is not None


def test_the_receipt_of_another_transaction_proves_nothing() -> None:
    assert check_receipt(ANCHOR, Digest(bytes(32)), PROOF) == "the receipt is of another transaction"


def test_another_genesis_does_not_believe_the_same_signatures() -> None:
    assert check_receipt(build_trust_anchor(build_genesis("avenue")), NAME, PROOF) is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda certificate: certify(certificate.header, KEYS[:2]),
        lambda certificate: certify(certificate.header, (*KEYS[:2], STRANGER)),
        lambda certificate: certify(certificate.header, (*KEYS[:2], KEYS[1])),
        lambda certificate: structs.replace(certificate, signatures=certificate.signatures[::-1]),
        lambda certificate: structs.replace(certificate, signatures=()),
        lambda certificate: certify(build_header(8)),
    ],
    ids=["too few", "a stranger", "one twice", "unsorted", "none", "another header"],
)
def test_a_certificate_without_a_quorum_of_the_genesis_proves_nothing(
    spoil: Callable[[Certificate], Certificate],
) -> None:
    assert check_receipt(ANCHOR, NAME, CertifiedReceipt(PROOF.proof, spoil(PROOF.certificate))) is not None


def test_a_certificate_of_another_epoch_proves_nothing() -> None:
    header = build_header(7, RECEIPTS, epoch=1)
    proof = structs.replace(PROOF.proof, headers=(header,))
    problem = check_receipt(ANCHOR, NAME, CertifiedReceipt(proof, certify(header)))
    assert problem is not None
    assert "epoch" in problem


@given(st.data())
@settings(max_examples=300)
def test_any_altered_byte_of_a_proof_file_is_refused(data: st.DataObject) -> None:
    content = bytearray(encode_certified_receipt(PROOF))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        certified = decode_certified_receipt(bytes(content))
    except DecodeError:
        return
    assert check_receipt(ANCHOR, NAME, certified) is not None


def test_a_proof_file_is_read_back_and_a_larger_one_refused() -> None:
    content = encode_certified_receipt(PROOF)
    assert decode_certified_receipt(content) == PROOF
    assert read_certified_receipt(encode(PROOF.proof), encode(PROOF.certificate)) == PROOF
    with pytest.raises(DecodeError, match="at most"):
        decode_certified_receipt(bytes(CERTIFIED_RECEIPT_BYTES_MAX + 1))
    with pytest.raises(DecodeError, match="at most"):
        read_certified_receipt(bytes(CERTIFIED_RECEIPT_BYTES_MAX), b"\x90")
    with pytest.raises(DecodeError, match="at most"):
        read_certificate(bytes(CERTIFIED_RECEIPT_BYTES_MAX + 1))
    with pytest.raises(DecodeError, match="at most"):
        read_state_proof(bytes(STATE_PROOF_BYTES_MAX + 1))


def test_a_verifier_says_what_the_plain_check_says_and_forgets_old_certificates() -> None:
    verifier = ReceiptVerifier(ANCHOR)
    assert verifier.certified_height == 0
    for height in range(1, CERTIFICATES_REMEMBERED_MAX + 10):
        assert verifier.check(NAME, prove(RECEIPTS, 1, height)) is None
    assert verifier.certified_height == CERTIFICATES_REMEMBERED_MAX + 9
    assert verifier.check(NAME, PROOF) is None
    forged = CertifiedReceipt(PROOF.proof, certify(PROOF.proof.headers[-1], KEYS[:2]))
    assert verifier.check(NAME, forged) == check_receipt(ANCHOR, NAME, forged)
    unsigned_height = certify(build_header(10_000), KEYS[:2])
    assert verifier.check_certificate(unsigned_height) is not None
    assert verifier.certified_height == CERTIFICATES_REMEMBERED_MAX + 9


def test_values_of_the_state_are_proven_and_others_are_not() -> None:
    tree, buckets = build_state()
    certificate = certify(build_header(7, state_root=tree.root))
    for key, value in STATE.items():
        proof = prove_state(tree, lambda index: buckets.get(index, b""), key)
        assert check_state_value(ANCHOR, key, value, proof, certificate) is None
        assert check_state_value(ANCHOR, key, value + b"0", proof, certificate) is not None
        assert check_state_value(ANCHOR, key + b"0", value, proof, certificate) is not None


def test_a_state_value_needs_the_signed_root_and_a_quorum() -> None:
    tree, buckets = build_state()
    key, value = next(iter(STATE.items()))
    proof = prove_state(tree, lambda index: buckets.get(index, b""), key)
    header = build_header(7, state_root=tree.root)
    assert check_state_value(ANCHOR, key, value, proof, certify(build_header(7))) is not None
    assert check_state_value(ANCHOR, key, value, proof, certify(header, KEYS[:2])) is not None
    for level in range(len(proof.nodes)):
        node = bytes([proof.nodes[level][0] ^ 1]) + proof.nodes[level][1:]
        spoilt = structs.replace(proof, nodes=(*proof.nodes[:level], node, *proof.nodes[level + 1 :]))
        assert check_state_value(ANCHOR, key, value, spoilt, certify(header)) is not None
