"""Files that prove nothing: each a good one with one thing spoiled, under the name of its refusal."""

from collections.abc import Sequence

from msgspec import structs

from consensus.authentication import sign_envelope
from consensus.certificates import build_certificate
from consensus.messages import Certificate, Checkpoint, Handover
from meter.proof_files import (
    BalanceFile,
    BareReceipt,
    BillFile,
    ProofContent,
    ProvenLine,
    ProvenRecord,
    ReceiptFile,
)
from meter.verification import Refusal
from primitives.encoding import decode, encode
from primitives.header import BlockHeader
from primitives.ids import Digest, ReplicaId
from primitives.signing import SecretKey
from tests.node.community import KEYS
from tests.vectors.street import HOME, NEIGHBOUR, SLOTS, encode_proof
from vm.contracts.energy.records import Line, get_line_key, get_meter_key
from vm.state_root import build_tree, prove, update_tree

STRANGER = SecretKey(b"s" * 32)
FUTURE_KIND = "gridbft/bill/2"


class Spoiler:
    """Good files by name, and what can be done to them."""

    def __init__(self, good: dict[str, ProofContent], genesis_hash: Digest) -> None:
        self.good = good
        self.genesis_hash = genesis_hash

    def take(self, name: str) -> ReceiptFile:
        found = self.good[name]
        assert isinstance(found, ReceiptFile)
        return found

    def take_bare(self) -> BareReceipt:
        found = self.good["receipt-without-transaction-after-two-changes"]
        assert isinstance(found, BareReceipt)
        return found

    def take_balance(self, name: str = "balance") -> BalanceFile:
        found = self.good[name]
        assert isinstance(found, BalanceFile)
        return found

    def take_bill(self, name: str = "bill") -> BillFile:
        found = self.good[name]
        assert isinstance(found, BillFile)
        return found

    def certify(self, header: BlockHeader, keys: Sequence[SecretKey] = KEYS[:3]) -> Certificate:
        votes = {
            ReplicaId(key.public): sign_envelope(key, self.genesis_hash, Checkpoint(header)) for key in keys
        }
        return build_certificate(header, votes)

    def certify_line(self, value: bytes) -> BillFile:
        """A bill of a state that a quorum signed and that no ledger makes: these validators all lie."""
        bill, slot_s = self.take_bill(), SLOTS[0]
        state = {get_meter_key(HOME): bill.record.value, get_line_key(HOME, slot_s): value}
        changes: dict[bytes, tuple[bytes | None, bytes | None]] = {
            key: (None, each) for key, each in state.items()
        }
        tree, writes = update_tree(build_tree([]), lambda _: b"", changes)
        record, line = (
            ProvenRecord(each, prove(tree, lambda index: writes.buckets.get(index, b""), key))
            for key, each in state.items()
        )
        header = structs.replace(bill.certificate.header, state_root=tree.root)
        return BillFile(HOME, record, (ProvenLine(slot_s, line),), self.certify(header), ())


def flip(data: bytes, place: int = -1) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def build_spoiled(good: dict[str, ProofContent], genesis_hash: Digest) -> dict[str, bytes]:
    """Return files that prove nothing; each name begins with that of its refusal."""
    spoiler = Spoiler(good, genesis_hash)
    found = [
        *_spoil_form(spoiler),
        *_spoil_subjects(spoiler),
        *_spoil_receipts(spoiler),
        *_spoil_values(spoiler),
        *_spoil_handovers(spoiler),
        *_spoil_certificates(spoiler),
    ]
    return {
        f"{refusal.lower().replace('_', '-')}-{what}": content
        if isinstance(content, bytes)
        else encode_proof(content)
        for refusal, what, content in found
    }


Spoiled = list[tuple[Refusal, str, ProofContent | bytes]]


def _spoil_form(spoiler: Spoiler) -> Spoiled:
    bill = encode(spoiler.take_bill())
    slot = b"\xce" + SLOTS[1].to_bytes(4, "big")
    assert bill.count(slot) == 1
    return [
        (Refusal.UNKNOWN_KIND, "nothing", b""),
        (Refusal.UNKNOWN_KIND, "json", b'{"meter":"home-0"}'),
        (Refusal.UNKNOWN_KIND, "later-version", bill.replace(b"gridbft/bill/1", FUTURE_KIND.encode())),
        (Refusal.MALFORMED, "cut", bill[:-1]),
        (Refusal.MALFORMED, "a-byte-behind", bill + b"\0"),
        (Refusal.MALFORMED, "longer-number", bill.replace(slot, b"\xcf" + SLOTS[1].to_bytes(8, "big"))),
        (Refusal.MALFORMED, "empty-handovers", _bare(spoiler)),
    ]


def _bare(spoiler: Spoiler) -> bytes:
    """A bare receipt's two parts and an empty list of handovers, which a file of two parts leaves out."""
    bare = spoiler.good["receipt-without-transaction"]
    assert isinstance(bare, BareReceipt)
    return b"\x93" + encode(bare.proof) + encode(bare.certificate) + b"\x90"


def _spoil_subjects(spoiler: Spoiler) -> Spoiled:
    bill, balance = spoiler.take_bill(), spoiler.take_balance()
    first, second, third = bill.lines
    return [
        (Refusal.ACCOUNT_INVALID, "bill", structs.replace(bill, meter=HOME[:-1])),
        (Refusal.ACCOUNT_INVALID, "balance", structs.replace(balance, account=HOME + b"\0")),
        (Refusal.NOTHING_PROVEN, "no-line", structs.replace(bill, lines=())),
        (Refusal.NOTHING_PROVEN, "no-balance", structs.replace(balance, settlement=None, coins=None)),
        (Refusal.NOTHING_PROVEN, "no-account", structs.replace(balance, record=None)),
        (Refusal.SLOTS_DISORDERED, "swapped", structs.replace(bill, lines=(second, first, third))),
        (Refusal.SLOTS_DISORDERED, "twice", structs.replace(bill, lines=(first, first))),
        (
            Refusal.SLOTS_DISORDERED,
            "no-slot",
            structs.replace(bill, lines=(structs.replace(first, slot_s=first.slot_s + 1),)),
        ),
    ]


def _spoil_receipts(spoiler: Spoiler) -> Spoiled:
    receipt, other = spoiler.take("receipt"), spoiler.take("receipt-of-a-grant")
    refused = spoiler.take("receipt-of-a-refusal")
    applied = structs.replace(refused.proof.receipt, rejection=None)
    first, second = refused.proof.headers
    moved = structs.replace(receipt.proof.inclusion, index=1)

    def with_proof(**changes: object) -> ReceiptFile:
        return structs.replace(refused, proof=structs.replace(refused.proof, **changes))

    return [
        (
            Refusal.TRANSACTION_OTHER,
            "another",
            structs.replace(receipt, transaction=other.transaction),
        ),
        (Refusal.TRANSACTION_OTHER, "none", structs.replace(receipt, transaction=b"")),
        (Refusal.RECEIPT_NOT_INCLUDED, "rejection-removed", with_proof(receipt=applied)),
        (Refusal.RECEIPT_NOT_INCLUDED, "no-headers", with_proof(headers=())),
        (Refusal.RECEIPT_NOT_INCLUDED, "headers-cut", with_proof(headers=(first,))),
        (Refusal.RECEIPT_NOT_INCLUDED, "headers-turned", with_proof(headers=(second, first))),
        (
            Refusal.RECEIPT_NOT_INCLUDED,
            "another-place",
            structs.replace(receipt, proof=structs.replace(receipt.proof, inclusion=moved)),
        ),
        (
            Refusal.RECEIPT_NOT_INCLUDED,
            "certificate-of-another-block",
            structs.replace(receipt, certificate=other.certificate),
        ),
    ]


def _spoil_values(spoiler: Spoiler) -> Spoiled:
    bill, balance = spoiler.take_bill(), spoiler.take_balance()
    first = bill.lines[0]
    neighbour = spoiler.take_bill("bill-with-a-slot-not-shown")
    cheaper = structs.replace(first.line, value=flip(first.line.value, 1))
    assert balance.coins is not None
    richer = structs.replace(balance.coins, value=flip(balance.coins.value, 1))
    honest = structs.replace(bill, lines=(first,))
    return [
        (
            Refusal.VALUE_NOT_IN_STATE,
            "line-changed",
            structs.replace(honest, lines=(ProvenLine(first.slot_s, cheaper),)),
        ),
        (Refusal.VALUE_NOT_IN_STATE, "line-of-a-neighbour", structs.replace(bill, lines=neighbour.lines)),
        (
            Refusal.VALUE_NOT_IN_STATE,
            "line-of-another-slot",
            structs.replace(bill, lines=(ProvenLine(SLOTS[1], first.line),)),
        ),
        (Refusal.VALUE_NOT_IN_STATE, "meter-of-another", structs.replace(honest, record=neighbour.record)),
        (Refusal.VALUE_NOT_IN_STATE, "coins-changed", structs.replace(balance, coins=richer)),
        (Refusal.VALUE_NOT_IN_STATE, "account-of-another", structs.replace(balance, account=NEIGHBOUR)),
        (
            Refusal.VALUE_NOT_IN_STATE,
            "state-of-another-block",
            structs.replace(honest, certificate=spoiler.take("receipt").certificate),
        ),
        (Refusal.VALUE_UNREADABLE, "no-line", spoiler.certify_line(b"\x90")),
        (Refusal.AMOUNT_WRONG, "a-nano-more", spoiler.certify_line(_raise_price(first.line.value))),
    ]


def _raise_price(value: bytes) -> bytes:
    line = decode(value, Line)
    return encode(structs.replace(line, net_nano=line.net_nano + 1))


def _spoil_handovers(spoiler: Spoiler) -> Spoiled:
    receipt, bare = spoiler.take("receipt-after-two-changes"), spoiler.take_bare()
    first, second = receipt.handovers
    forged = Handover(spoiler.certify(first.certificate.header, KEYS[:2]), first.validators)
    own = structs.replace(first.validators[0], public_key=STRANGER.public)
    return [
        (Refusal.HANDOVER_UNPROVEN, "one-missing", structs.replace(receipt, handovers=(first,))),
        (Refusal.HANDOVER_UNPROVEN, "turned", structs.replace(receipt, handovers=(second, first))),
        (Refusal.HANDOVER_UNPROVEN, "without-quorum", structs.replace(receipt, handovers=(forged, second))),
        (
            Refusal.HANDOVER_UNPROVEN,
            "other-validators",
            structs.replace(
                receipt, handovers=(Handover(first.certificate, (own, *first.validators[1:])), second)
            ),
        ),
        (
            Refusal.HANDOVER_UNPROVEN,
            "not-needed",
            structs.replace(spoiler.take("receipt"), handovers=(first,)),
        ),
        (
            Refusal.HANDOVER_UNPROVEN,
            "bare-turned",
            BareReceipt(bare.proof, bare.certificate, (second, first)),
        ),
    ]


def _spoil_certificates(spoiler: Spoiler) -> Spoiled:
    bill = structs.replace(spoiler.take_bill(), lines=spoiler.take_bill().lines[:1])
    header = bill.certificate.header
    signatures = bill.certificate.signatures
    broken = structs.replace(signatures[-1], signature=flip(signatures[-1].signature))
    later = spoiler.take("receipt-after-two-changes")

    def with_certificate(certificate: Certificate) -> BillFile:
        return structs.replace(bill, certificate=certificate)

    return [
        (Refusal.CERTIFICATE_UNPROVEN, "two-of-four", with_certificate(spoiler.certify(header, KEYS[:2]))),
        (
            Refusal.CERTIFICATE_UNPROVEN,
            "a-stranger",
            with_certificate(spoiler.certify(header, (*KEYS[:2], STRANGER))),
        ),
        (
            Refusal.CERTIFICATE_UNPROVEN,
            "signature-broken",
            with_certificate(Certificate(header, (*signatures[:-1], broken))),
        ),
        (
            Refusal.CERTIFICATE_UNPROVEN,
            "signers-unsorted",
            with_certificate(Certificate(header, signatures[::-1])),
        ),
        (
            Refusal.CERTIFICATE_UNPROVEN,
            "one-counted-twice",
            with_certificate(Certificate(header, (signatures[0], *signatures[:2]))),
        ),
        (
            Refusal.CERTIFICATE_UNPROVEN,
            "of-another-network",
            with_certificate(Spoiler(spoiler.good, Digest(b"n" * 32)).certify(header)),
        ),
        (Refusal.CERTIFICATE_UNPROVEN, "handovers-missing", structs.replace(later, handovers=())),
    ]
