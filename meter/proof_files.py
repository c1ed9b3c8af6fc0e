"""Proofs as files: a receipt, a balance or a bill with all that proves it to whoever holds the genesis.

A file is one canonical MessagePack array. Its first element names kind and version; every other byte is bound by a
hash or a signature, so that no byte can change. Keys of the state are derived from what the file is about, never kept.
"""

from typing import TypeVar

from consensus.messages import Certificate, Handover
from meter.proofs import (
    PROOF_FILE_MARK,
    CertifiedReceipt,
    decode_proof_file,
    encode_certified_receipt,
)
from primitives.encoding import DecodeError, Struct, decode, encode
from vm.receipt import ReceiptProof
from vm.state_root import StateProof

T = TypeVar("T")

PROOF_FILE_BYTES_MAX = 8 * 1024 * 1024
"""768 lines of a bill with 3 kB of proof each, and 4 MB of handovers; what is longer is not read."""

BARE_RECEIPT_MARKS = (b"\x92\x93", PROOF_FILE_MARK + b"\x93")
"""How a receipt without its transaction begins: an array of two or three whose first part is an array of three."""


class ProvenRecord(Struct, frozen=True):
    """A record of the state: its value (canonical bytes) and the proof that its key has it."""

    value: bytes
    proof: StateProof


class ProvenLine(Struct, frozen=True):
    """A home's line of the slot that starts at ``slot_s``."""

    slot_s: int
    line: ProvenRecord


class ReceiptFile(Struct, frozen=True, tag="gridbft/receipt/1"):
    """What became of a transaction, with its exact bytes: who asked for what, and whether it was done."""

    transaction: bytes
    proof: ReceiptProof
    certificate: Certificate
    handovers: tuple[Handover, ...]

    @property
    def certified(self) -> CertifiedReceipt:
        """Return the receipt with its certificate."""
        return CertifiedReceipt(self.proof, self.certificate)


class BalanceFile(Struct, frozen=True, tag="gridbft/balance/1"):
    """What an account has. ``record`` is the account itself, None for an account of the ledger.

    A balance on which nothing was ever booked has no record, so it cannot be proven.
    """

    account: bytes
    record: ProvenRecord | None
    settlement: ProvenRecord | None
    coins: ProvenRecord | None
    certificate: Certificate
    handovers: tuple[Handover, ...]


class BillFile(Struct, frozen=True, tag="gridbft/bill/1"):
    """Lines of a meter in the order of their slots; ``record`` is the meter's own, which names its home."""

    meter: bytes
    record: ProvenRecord
    lines: tuple[ProvenLine, ...]
    certificate: Certificate
    handovers: tuple[Handover, ...]


class BareReceipt(Struct, frozen=True):
    """A receipt without its transaction, as `meter.proofs.ProofFile` is one."""

    proof: ReceiptProof
    certificate: Certificate
    handovers: tuple[Handover, ...]

    @property
    def certified(self) -> CertifiedReceipt:
        """Return the receipt with its certificate."""
        return CertifiedReceipt(self.proof, self.certificate)


ProofContent = ReceiptFile | BalanceFile | BillFile | BareReceipt


def encode_receipt(receipt: ReceiptFile | BareReceipt) -> bytes:
    """Return the bytes of a receipt's file."""
    if isinstance(receipt, ReceiptFile):
        return encode(receipt)
    return encode_certified_receipt(receipt.certified, receipt.handovers)


class UnknownKindError(DecodeError):
    """The bytes are no proof, or of a kind or version that this program does not know."""


def read_proof_file(data: bytes) -> ProofContent:
    """Return the content of a proof file of any kind; nothing is checked here but its form.

    Raises:
        UnknownKindError: it does not begin as a proof does.
        DecodeError: too large, malformed or not canonical.

    """
    if len(data) > PROOF_FILE_BYTES_MAX:
        raise DecodeError(f"a proof file has at most {PROOF_FILE_BYTES_MAX} bytes")
    if data.startswith(BARE_RECEIPT_MARKS):
        certified, handovers = decode_proof_file(data)
        return BareReceipt(certified.proof, certified.certificate, handovers)
    return (
        _decode_kind(data, ReceiptFile)
        or _decode_kind(data, BalanceFile)
        or _decode_kind(data, BillFile)
        or _refuse_kind()
    )


def _decode_kind(data: bytes, kind: type[T]) -> T | None:
    """Return the content if the file names this kind, else None."""
    tag = str(kind.__struct_config__.tag).encode()  # type: ignore[attr-defined]  # every kind is a Struct
    begin = bytes([0xA0 + len(tag)]) + tag  # MessagePack's short string, behind the array's head
    return decode(data, kind) if data[1 : 1 + len(begin)] == begin else None


def _refuse_kind() -> ProofContent:
    raise UnknownKindError("no receipt, balance or bill of a version that this program knows")
