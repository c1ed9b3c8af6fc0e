"""Offline verification: what a quorum of the validators signed, checked with nothing but the genesis.

No network, no clock, no state: the same functions serve a meter, `gridbft tx proof --verify` and an auditor's desk.
The validators of the genesis sign who follows them, and those who follow them: whoever holds the genesis and these
handovers can check a certificate of any epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from consensus.certificates import check_certificate, follow_handover
from consensus.membership import Membership
from consensus.messages import Certificate, Handover
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import Digest, Epoch, Height, ReplicaId
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


HANDOVERS_BYTES_MAX = 4 * 1024 * 1024
"""A thousand changes among seven validators, eighty among eighty; a page of them, or those of one proof file."""

EPOCHS_FOLLOWED_MAX = 1024
"""A change of the validators a week for twenty years; 4 MB with seven validators."""


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """All that a verifier believes: the genesis hash, the validators it names, and those who followed them, each
    membership proven by the one before. ``memberships`` are those of the epochs from 0 on.
    """

    genesis_hash: Digest
    memberships: tuple[Membership, ...]

    @property
    def epoch(self) -> Epoch:
        """Return the last epoch whose validators are known."""
        return self.memberships[-1].epoch

    @property
    def membership(self) -> Membership:
        """Return the validators of the last epoch that is known."""
        return self.memberships[-1]

    def get_membership(self, epoch: int) -> Membership | None:
        """Return the validators of an epoch, or None when the anchor was not followed to it."""
        return self.memberships[epoch] if 0 <= epoch < len(self.memberships) else None

    def get_signers(self, certificate: Certificate) -> list[str]:
        """Return the names of those who signed a sound certificate, in its order."""
        membership = self.get_membership(certificate.header.epoch) or self.membership
        return [membership.get_name(ReplicaId(entry.replica)) for entry in certificate.signatures]

    def follow(self, handovers: Iterable[Handover]) -> "TrustAnchor | str":
        """Return the anchor that knows the epochs after these handovers as well, or why one proves nothing.

        Each must end the epoch after the one before it; those of epochs that are known must say what is known.
        """
        memberships = list(self.memberships)
        for handover in handovers:
            epoch = handover.certificate.header.epoch
            if not 0 <= epoch < len(memberships):
                return f"a handover of epoch {epoch}, where that of epoch {len(memberships) - 1} is next"
            following = follow_handover(memberships[epoch], self.genesis_hash, handover)
            if isinstance(following, str):
                return f"the handover of epoch {epoch} proves nothing: {following}"
            if handover.certificate.header.height <= memberships[epoch].start_height:
                return f"epoch {epoch} ends before it begins"
            if epoch + 1 < len(memberships):
                if following != memberships[epoch + 1]:
                    return f"the handover of epoch {epoch} names others than those who are known to follow"
            elif len(memberships) == EPOCHS_FOLLOWED_MAX:
                return f"more than {EPOCHS_FOLLOWED_MAX} epochs"
            else:
                memberships.append(following)
        return TrustAnchor(self.genesis_hash, tuple(memberships))

    def check_certificate(self, certificate: Certificate) -> str | None:
        """Return why the certificate proves nothing, or None when a quorum of its epoch's validators signed it.

        In this order: its epoch is known; its block lies in that epoch, as far as its end is known; the signatures.
        Old keys can be stolen: what they sign about blocks after their time is not believed.
        """
        header = certificate.header
        membership = self.get_membership(header.epoch)
        if membership is None:
            return (
                f"the certificate is of epoch {header.epoch}, and the validators are known up to epoch"
                f" {self.epoch}: the handovers up to it are missing"
            )
        following = self.get_membership(header.epoch + 1)
        is_after = following is not None and header.height > following.start_height
        if is_after or (header.epoch > 0 and header.height <= membership.start_height):
            return f"block {header.height} is not of epoch {header.epoch}"
        return check_certificate(membership, self.genesis_hash, certificate)


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


class ProofFile(Struct, frozen=True):
    """A certified receipt with the handovers from the genesis to its certificate's epoch, one for each."""

    proof: ReceiptProof
    certificate: Certificate
    handovers: tuple[Handover, ...]


PROOF_FILE_MARK = b"\x93"
"""An array of three parts (MessagePack); a proof of epoch 0 is one of two."""


def build_trust_anchor(genesis: Genesis) -> TrustAnchor:
    """Return what a genesis lets its holder verify."""
    return TrustAnchor(genesis.compute_hash(), (Membership(Epoch(0), genesis.validators),))


def check_receipt(anchor: TrustAnchor, transaction_id: Digest, certified: CertifiedReceipt) -> str | None:
    """Return why this proves nothing about the transaction, or None when a quorum signed its result.

    In this order: the receipt is the transaction's; it stands under the first header and the headers are linked; the
    certificate is of the last header; a quorum of its epoch's validators signed it.
    """
    problem = check_receipt_link(transaction_id, certified)
    if problem is not None:
        return problem
    return anchor.check_certificate(certified.certificate)


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
        self.handovers: list[Handover] = []
        """Those that led the anchor on, in order."""
        self._begin = anchor.epoch
        self.certified_height = CertifiedHeight(0)
        """The highest one seen in a sound certificate; genesis needs none."""
        self._sound: dict[Certificate, None] = {}

    def follow(self, handovers: Iterable[Handover]) -> str | None:
        """Learn who validated after the epochs known so far; return why a handover proves nothing, or None."""
        shown = tuple(handovers)
        followed = self.anchor.follow(shown)
        if isinstance(followed, str):
            return followed
        for handover in shown:
            if handover.certificate.header.epoch == self._begin + len(self.handovers):
                self.handovers.append(handover)
        self.anchor = followed
        return None

    def check(self, transaction_id: Digest, certified: CertifiedReceipt) -> str | None:
        """Return what ``check_receipt`` returns."""
        return check_receipt_link(transaction_id, certified) or self.check_certificate(certified.certificate)

    def check_certificate(self, certificate: Certificate) -> str | None:
        """Return why the certificate proves nothing, or None."""
        if certificate in self._sound:
            return None
        problem = self.anchor.check_certificate(certificate)
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

    In this order: the value stands under the header's state root; a quorum of its epoch's validators signed the header.
    """
    if not is_state_proof_valid(key, value, proof, Digest(certificate.header.state_root)):
        return "the value does not stand under the certificate's state root"
    return anchor.check_certificate(certificate)


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


def encode_certified_receipt(certified: CertifiedReceipt, handovers: tuple[Handover, ...] = ()) -> bytes:
    """Return the bytes of a proof file; ``handovers`` lead from the genesis to the certificate's epoch.

    Without them it is the same file that it always was.
    """
    if not handovers:
        return encode(certified)
    return encode(ProofFile(certified.proof, certified.certificate, handovers))


def decode_certified_receipt(data: bytes) -> CertifiedReceipt:
    """Return the content of a proof that carries no handovers; it is not checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > CERTIFIED_RECEIPT_BYTES_MAX:
        raise DecodeError(f"a proof has at most {CERTIFIED_RECEIPT_BYTES_MAX} bytes, this one {len(data)}")
    return decode(data, CertifiedReceipt)


def decode_proof_file(data: bytes) -> tuple[CertifiedReceipt, tuple[Handover, ...]]:
    """Return the content of a proof file, and the handovers that it carries; nothing is checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if data[:1] != PROOF_FILE_MARK:
        return decode_certified_receipt(data), ()
    if len(data) > CERTIFIED_RECEIPT_BYTES_MAX + HANDOVERS_BYTES_MAX:
        raise DecodeError(f"a proof with handovers has at most {HANDOVERS_BYTES_MAX} bytes of them")
    content = decode(data, ProofFile)
    if not content.handovers:
        raise DecodeError("a proof file without handovers has two parts, this one three")
    return CertifiedReceipt(content.proof, content.certificate), content.handovers


def follow_proof(
    anchor: TrustAnchor, certified: CertifiedReceipt, handovers: tuple[Handover, ...]
) -> TrustAnchor | str:
    """Return what ``follow_to`` does for the certificate of a receipt."""
    return follow_to(anchor, certified.certificate, handovers)


def follow_to(
    anchor: TrustAnchor, certificate: Certificate, handovers: tuple[Handover, ...]
) -> TrustAnchor | str:
    """Return the anchor that a proof's handovers lead to, or why they prove nothing or are not the ones needed."""
    epoch = certificate.header.epoch
    if handovers and len(handovers) != epoch:
        return f"{len(handovers)} handovers, and {epoch} lead from the genesis to epoch {epoch}"
    if [handover.certificate.header.epoch for handover in handovers] != list(range(len(handovers))):
        return "the handovers are not in the order of their epochs"
    return anchor.follow(handovers)


def read_handover(data: bytes) -> Handover:
    """Return a handover as a validator answers it; it is not checked here.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > HANDOVERS_BYTES_MAX:
        raise DecodeError(f"a handover has at most {HANDOVERS_BYTES_MAX} bytes")
    return decode(data, Handover)


def read_certified_receipt(proof: bytes, certificate: bytes) -> CertifiedReceipt:
    """Return the certified receipt of the two parts in which a validator answers.

    Raises:
        DecodeError: too large, malformed or not canonical.

    """
    if len(proof) + len(certificate) > CERTIFIED_RECEIPT_BYTES_MAX:
        raise DecodeError(f"a proof has at most {CERTIFIED_RECEIPT_BYTES_MAX} bytes")
    return CertifiedReceipt(decode(proof, ReceiptProof), decode(certificate, Certificate))
