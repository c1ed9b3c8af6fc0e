"""Offline verification: what a quorum of the validators signed, checked with nothing but the genesis.

No network, no clock, no state: the same functions serve a meter, `gridbft tx proof --verify` and an auditor's desk.
Membership is the genesis validators (epoch 0).
"""

from dataclasses import dataclass
from typing import NewType

from consensus.certificates import check_certificate
from consensus.membership import Membership
from consensus.messages import Certificate
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import Digest, Epoch, Height
from vm.genesis import Genesis
from vm.receipt import Receipt, ReceiptProof, is_receipt_included
from vm.state_root import StateProof, is_state_proof_valid

CERTIFIED_RECEIPT_BYTES_MAX = 256 * 1024
"""A certificate of 80 validators has 13 kB, a header 0.2 kB: room for a thousand linked headers."""

STATE_PROOF_BYTES_MAX = 192 * 1024
"""A bucket of 4,096 leaves and four nodes of 16 children."""
CERTIFICATES_REMEMBERED_MAX = 64
"""A thousand transactions of one submission lie in a few blocks; 64 certificates take at most 0.9 MB."""

CertifiedHeight = NewType("CertifiedHeight", int)
"""A height whose header a quorum signed, as verified here; never one that a node merely claims."""


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """All that a verifier believes beforehand: the genesis hash and the validators it names."""

    genesis_hash: Digest
    membership: Membership


class CertifiedReceipt(Struct, frozen=True):
    """A receipt with everything needed to check it; the file format of `tx proof`."""

    proof: ReceiptProof
    certificate: Certificate

    @property
    def receipt(self) -> Receipt:
        """Return what became of the transaction."""
        return self.proof.receipt

    @property
    def height(self) -> Height:
        """Return the height of the receipt's block (0 when there is no header, which no check lets pass)."""
        return Height(self.proof.headers[0].height if self.proof.headers else 0)


def build_trust_anchor(genesis: Genesis) -> TrustAnchor:
    """Return what a genesis lets its holder verify."""
    return TrustAnchor(genesis.compute_hash(), Membership(Epoch(0), genesis.validators))


def check_receipt(anchor: TrustAnchor, transaction_id: Digest, certified: CertifiedReceipt) -> str | None:
    """Return why this proves nothing about the transaction, or None when a quorum signed its result.

    In this order: the receipt is the transaction's; it stands under the first header and the headers are linked; the
    certificate is of the last header; a quorum of the genesis validators signed it.
    """
    problem = check_receipt_link(transaction_id, certified)
    if problem is not None:
        return problem
    return check_certificate(anchor.membership, anchor.genesis_hash, certified.certificate)


def check_receipt_link(transaction_id: Digest, certified: CertifiedReceipt) -> str | None:
    """Return why the receipt does not belong under its certificate's header, or None; signatures are not checked."""
    proof = certified.proof
    if proof.receipt.transaction_id != transaction_id:
        return "the receipt is of another transaction"
    if not is_receipt_included(proof):
        return "the receipt does not stand under its header"
    if proof.headers[-1] != certified.certificate.header:
        return "the certificate is of another header"
    return None


class ReceiptVerifier:
    """Checks many receipts and each certificate only once; mutable, and bounded in what it remembers."""

    def __init__(self, anchor: TrustAnchor) -> None:
        """Take what is believed beforehand."""
        self.anchor = anchor
        self.certified_height = CertifiedHeight(0)
        """The highest one seen in a sound certificate; genesis needs none."""
        self._sound: dict[Certificate, None] = {}

    def check(self, transaction_id: Digest, certified: CertifiedReceipt) -> str | None:
        """Return what ``check_receipt`` returns."""
        return check_receipt_link(transaction_id, certified) or self.check_certificate(certified.certificate)

    def check_certificate(self, certificate: Certificate) -> str | None:
        """Return why the certificate proves nothing, or None."""
        if certificate in self._sound:
            return None
        problem = check_certificate(self.anchor.membership, self.anchor.genesis_hash, certificate)
        if problem is not None:
            return problem
        if len(self._sound) == CERTIFICATES_REMEMBERED_MAX:
            del self._sound[next(iter(self._sound))]
        self._sound[certificate] = None
        self.certified_height = max(self.certified_height, CertifiedHeight(certificate.header.height))
        return None


def check_state_value(
    anchor: TrustAnchor, key: bytes, value: bytes, proof: StateProof, certificate: Certificate
) -> str | None:
    """Return why this proves nothing about the key, or None when it has the value at the certificate's height.

    In this order: the value stands under the header's state root; a quorum of the genesis validators signed the header.
    """
    if not is_state_proof_valid(key, value, proof, Digest(certificate.header.state_root)):
        return "the value does not stand under the certificate's state root"
    return check_certificate(anchor.membership, anchor.genesis_hash, certificate)


def read_state_proof(data: bytes) -> StateProof:
    """Return a state proof as a validator answers it; it is not checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > STATE_PROOF_BYTES_MAX:
        raise DecodeError(f"a state proof has at most {STATE_PROOF_BYTES_MAX} bytes, this one {len(data)}")
    return decode(data, StateProof)


def read_certificate(data: bytes) -> Certificate:
    """Return a certificate as a validator answers it; it is not checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > CERTIFIED_RECEIPT_BYTES_MAX:
        raise DecodeError(f"a certificate has at most {CERTIFIED_RECEIPT_BYTES_MAX} bytes")
    return decode(data, Certificate)


def encode_certified_receipt(certified: CertifiedReceipt) -> bytes:
    """Return the bytes of a proof file."""
    return encode(certified)


def decode_certified_receipt(data: bytes) -> CertifiedReceipt:
    """Return the content of a proof file; it is not checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > CERTIFIED_RECEIPT_BYTES_MAX:
        raise DecodeError(f"a proof has at most {CERTIFIED_RECEIPT_BYTES_MAX} bytes, this one {len(data)}")
    return decode(data, CertifiedReceipt)


def read_certified_receipt(proof: bytes, certificate: bytes) -> CertifiedReceipt:
    """Return the certified receipt of the two parts in which a validator answers.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(proof) + len(certificate) > CERTIFIED_RECEIPT_BYTES_MAX:
        raise DecodeError(f"a proof has at most {CERTIFIED_RECEIPT_BYTES_MAX} bytes")
    return CertifiedReceipt(decode(proof, ReceiptProof), decode(certificate, Certificate))
