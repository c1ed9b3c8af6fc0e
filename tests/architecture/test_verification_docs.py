"""The page from which others write a verifier names every refusal and every field that there is."""

import re

import pytest

from consensus.messages import Certificate, Handover, Signature
from meter.proof_files import BalanceFile, BareReceipt, BillFile, ProvenLine, ProvenRecord, ReceiptFile
from meter.verification import Refusal
from primitives.encoding import Struct
from primitives.header import BlockHeader, Validator
from primitives.merkle import MerkleProof
from tests.architecture.documents import find_table, read
from vm.contracts.energy.records import Line, Meter
from vm.contracts.ledger import Balance
from vm.contracts.permissions import Account
from vm.genesis import EnergyParameters, Genesis
from vm.receipt import Receipt, ReceiptProof
from vm.state_root import StateProof

PAGE = read("docs/verification.md")
KINDS = (ReceiptFile, BalanceFile, BillFile, BareReceipt)
PARTS = (
    *(ProvenRecord, ProvenLine, StateProof, ReceiptProof, Receipt, MerkleProof, BlockHeader, Certificate),
    *(Signature, Handover, Validator, Account, Balance, Meter, Line, Genesis, EnergyParameters),
)


def list_told(heading: str) -> dict[str, list[str]]:
    table = find_table(PAGE, heading)
    return {
        name: re.findall(r"`([a-z_]+)`", row[-1]) for row, name in zip(table.rows, table.names(), strict=True)
    }


@pytest.mark.parametrize(("heading", "existing"), [("kind", KINDS), ("part", PARTS)])
def test_every_field_is_documented_in_its_order(heading: str, existing: tuple[type[Struct], ...]) -> None:
    assert list_told(heading) == {each.__name__: list(each.__struct_fields__) for each in existing}


def test_the_first_element_of_each_kind_is_documented() -> None:
    table = find_table(PAGE, "kind")
    told = [row[1].strip("`") for row in table.rows]
    assert told == [str(kind.__struct_config__.tag or "none") for kind in KINDS]


def test_every_refusal_is_documented_in_the_order_in_which_it_is_looked_at() -> None:
    assert find_table(PAGE, "refusal").names() == [refusal.value for refusal in Refusal]
