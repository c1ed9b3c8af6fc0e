"""A receipt with its proof is believed under one header, or along the parents' links up to a certified one."""

import pytest
from msgspec.structs import replace

from primitives.encoding import decode, encode
from primitives.hashing import EMPTY_DIGEST
from primitives.header import BlockHeader
from primitives.merkle import compute_merkle_proof
from tests.vm.ledger import Chain
from vm.contracts.ledger import Asset, Grant
from vm.receipt import ReceiptProof, Rejection, are_headers_linked, is_receipt_included


def make_proof(later_blocks: int = 0, index: int = 1) -> ReceiptProof:
    chain = Chain()
    home = chain.open_account("home")
    grants = [chain.sign(chain.utility, Grant(home.account, Asset.COIN, amount)) for amount in (1, 0, 2)]
    receipts = chain.execute(*grants)
    headers = [chain.header]
    for _ in range(later_blocks):
        chain.execute()
        headers.append(chain.header)
    inclusion = compute_merkle_proof([encode(receipt) for receipt in receipts], index)
    return ReceiptProof(receipts[index], inclusion, tuple(headers))


@pytest.mark.parametrize("later_blocks", [0, 1, 3])
@pytest.mark.parametrize(("index", "rejection"), [(0, None), (1, Rejection.AMOUNT_INVALID), (2, None)])
def test_a_receipt_is_shown_under_its_header(later_blocks: int, index: int, rejection: str | None) -> None:
    proof = make_proof(later_blocks, index)
    assert proof.receipt.rejection == rejection
    assert is_receipt_included(proof)
    assert is_receipt_included(decode(encode(proof), ReceiptProof))


def test_an_altered_receipt_is_not_believed() -> None:
    proof = make_proof()
    for receipt in (
        replace(proof.receipt, rejection=None),
        replace(proof.receipt, rejection="NAME_TAKEN"),
        replace(proof.receipt, consumed=False),
        replace(proof.receipt, transaction_id=bytes(32)),
    ):
        assert not is_receipt_included(replace(proof, receipt=receipt))


def test_another_place_is_not_believed() -> None:
    proof = make_proof()
    for index in (-1, 0, 2, 3):
        assert not is_receipt_included(replace(proof, inclusion=replace(proof.inclusion, index=index)))


def test_headers_are_linked_without_a_gap() -> None:
    proof = make_proof(later_blocks=3)
    headers = proof.headers
    assert are_headers_linked(headers)
    broken: list[tuple[BlockHeader, ...]] = [
        (),
        (headers[0], headers[2]),
        (headers[0], headers[0]),
        (headers[0], replace(headers[1], parent=EMPTY_DIGEST)),
        (headers[0], replace(headers[1], height=headers[1].height + 1)),
        (replace(headers[0], time_ms=0), headers[1]),
        tuple(reversed(headers)),
    ]
    for each in broken:
        assert not is_receipt_included(replace(proof, headers=each))


def test_a_rejection_is_its_own_name() -> None:
    assert all(rejection.name == rejection.value for rejection in Rejection)
