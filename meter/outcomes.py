"""What can become of a transaction, as far as its sender knows. Only the first two are proven."""

from dataclasses import dataclass

from meter.proofs import CertifiedReceipt
from primitives.ids import Digest, Height


@dataclass(frozen=True, slots=True)
class Committed:
    """Applied in a certified block; ``proof`` was verified offline against the genesis."""

    transaction_id: Digest
    height: Height
    proof: CertifiedReceipt


@dataclass(frozen=True, slots=True)
class RefusedByNetwork:
    """Refused in a certified block with a named reason; ``proof`` was verified offline.

    When the account's nonce was not ``consumed`` the same bytes may still be applied until they expire.
    """

    transaction_id: Digest
    rejection: str
    consumed: bool
    height: Height
    proof: CertifiedReceipt


@dataclass(frozen=True, slots=True)
class RefusedByNode:
    """Every validator that answered refused to take it, so far without proof; sending the same bytes again is safe."""

    transaction_id: Digest
    rejection: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """It may or may not be applied: nobody proved anything in time. Sending the same bytes again is safe."""

    transaction_id: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A validator took it; nothing is final yet."""

    transaction_id: Digest


Submission = Accepted | RefusedByNode | OutcomeUnknown
Outcome = Committed | RefusedByNetwork | RefusedByNode | OutcomeUnknown


def build_proven_outcome(certified: CertifiedReceipt) -> Committed | RefusedByNetwork:
    """Return the outcome that a verified receipt states."""
    receipt = certified.receipt
    name = Digest(receipt.transaction_id)
    if receipt.rejection is None:
        return Committed(name, certified.height, certified)
    return RefusedByNetwork(name, receipt.rejection, receipt.consumed, certified.height, certified)
