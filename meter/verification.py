"""Verifying a receipt, a balance or a bill with nothing but the genesis: the door for everybody who was not there.

``verify`` takes bytes and returns what they prove, or the name of why they prove nothing. It opens no file and no
connection, reads no clock, and imports nothing that could. The format is documented in docs/verification.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

from consensus.messages import Certificate, Handover
from meter.amounts import find_line_problem
from meter.proof_files import (
    BalanceFile,
    BareReceipt,
    BillFile,
    ProofContent,
    ProvenRecord,
    ReceiptFile,
    UnknownKindError,
    read_proof_file,
)
from meter.proofs import (
    CertifiedReceipt,
    build_trust_anchor,
    check_receipt_link,
    follow_to,
)
from primitives.encoding import DecodeError, Struct, decode
from primitives.hashing import compute_transaction_id
from primitives.ids import ACCOUNT_BYTES, Digest, ReplicaId
from vm.contract import decode_call
from vm.contracts.energy.records import Line, Meter, get_line_key, get_meter_key
from vm.contracts.ledger import Asset, Balance, get_balance_key
from vm.contracts.permissions import Account, get_account_key
from vm.genesis import SYSTEM_ACCOUNTS, Genesis, decode_genesis
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.state_root import is_state_proof_valid
from vm.transaction import Transaction, decode_transaction

T = TypeVar("T", bound=Struct)


class Refusal(StrEnum):
    """Why a file proves nothing; in the order in which it is looked at."""

    GENESIS_INVALID = "GENESIS_INVALID"
    UNKNOWN_KIND = "UNKNOWN_KIND"
    MALFORMED = "MALFORMED"
    ACCOUNT_INVALID = "ACCOUNT_INVALID"
    NOTHING_PROVEN = "NOTHING_PROVEN"
    SLOTS_DISORDERED = "SLOTS_DISORDERED"
    TRANSACTION_OTHER = "TRANSACTION_OTHER"
    RECEIPT_NOT_INCLUDED = "RECEIPT_NOT_INCLUDED"
    VALUE_NOT_IN_STATE = "VALUE_NOT_IN_STATE"
    VALUE_UNREADABLE = "VALUE_UNREADABLE"
    AMOUNT_WRONG = "AMOUNT_WRONG"
    HANDOVER_UNPROVEN = "HANDOVER_UNPROVEN"
    CERTIFICATE_UNPROVEN = "CERTIFICATE_UNPROVEN"


@dataclass(frozen=True, slots=True)
class Problem:
    """The file proves nothing: the name of the reason, and one line that says where."""

    name: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class Certification:
    """The block that a quorum signed, its time (UTC milliseconds), its epoch, and the signers' names."""

    network: str
    currency: str
    height: int
    time_ms: int
    epoch: int
    signers: tuple[str, ...]
    validators: int
    quorum: int


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What became of a transaction in the block at ``height``, which may be below the one that was signed.

    ``transaction`` is its content and ``call`` its arguments, where the file brings its bytes and they say something.
    """

    certification: Certification
    height: int
    time_ms: int
    place: int
    receipt: Receipt
    transaction: Transaction | None
    call: Struct | None


@dataclass(frozen=True, slots=True)
class VerifiedBalance:
    """What an account had at the signed height; None where nothing was ever booked, or the file does not show it."""

    certification: Certification
    account: bytes
    name: str
    role: str
    settlement: Balance | None
    coins: Balance | None


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """A home's lines by the start of their slots, each amount computed again.

    ``slots_absent`` counts the slots between the first and the last of them that the file does not show.
    """

    certification: Certification
    meter: bytes
    home: str
    owner: bytes
    slot_s: int
    lines: tuple[tuple[int, Line], ...]
    slots_absent: int

    def sum(self, field: str) -> int:
        """Return the sum of a field over all lines."""
        return sum(getattr(line, field) for _, line in self.lines)


Verified = VerifiedReceipt | VerifiedBalance | VerifiedBill


def verify(data: bytes, genesis: bytes) -> Verified | Problem:
    """Return what a file proves to the holder of a genesis, or why it proves nothing."""
    try:
        constitution = decode_genesis(genesis)
    except DecodeError as error:
        return Problem(Refusal.GENESIS_INVALID, f"the genesis is none: {error}")
    return Verifier(constitution).verify(data)


class _Refused(Exception):  # noqa: N818  # carries the answer out of a check; never leaves this module
    def __init__(self, name: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(name, detail)


class Verifier:
    """What ``verify`` does, for many files of one network."""

    def __init__(self, genesis: Genesis) -> None:
        """Take what is believed beforehand."""
        self._genesis = genesis
        self._anchor = build_trust_anchor(genesis)

    def verify(self, data: bytes) -> Verified | Problem:
        """Return what the file proves, or why it proves nothing.

        In this order, what costs least first: its form; what it is about; each value under the certified header; the
        values themselves; the handovers from the genesis on; the signatures of a quorum.
        """
        try:
            return self._verify(read_proof_file(data))
        except UnknownKindError as error:
            return Problem(Refusal.UNKNOWN_KIND, str(error))
        except DecodeError as error:
            return Problem(Refusal.MALFORMED, str(error))
        except _Refused as refused:
            return refused.problem

    def _verify(self, content: ProofContent) -> Verified:
        match content:
            case ReceiptFile() | BareReceipt():
                return self._verify_receipt(content)
            case BalanceFile():
                return self._verify_balance(content)
            case BillFile():
                return self._verify_bill(content)

    def _verify_receipt(self, content: ReceiptFile | BareReceipt) -> VerifiedReceipt:
        receipt, headers = content.proof.receipt, content.proof.headers
        transaction = call = None
        if isinstance(content, ReceiptFile):
            if compute_transaction_id(content.transaction) != receipt.transaction_id:
                raise _Refused(Refusal.TRANSACTION_OTHER, "the receipt is of another transaction")
            transaction, call = _read_transaction(content.transaction)
        certified = CertifiedReceipt(content.proof, content.certificate)
        problem = check_receipt_link(Digest(receipt.transaction_id), certified)
        if problem is not None:
            raise _Refused(Refusal.RECEIPT_NOT_INCLUDED, problem)
        return VerifiedReceipt(
            certification=self._check_certificate(content.certificate, content.handovers),
            height=headers[0].height,
            time_ms=headers[0].time_ms,
            place=content.proof.inclusion.index,
            receipt=receipt,
            transaction=transaction,
            call=call,
        )

    def _verify_balance(self, content: BalanceFile) -> VerifiedBalance:
        account, read = content.account, partial(_read_record, content.certificate)
        _check_account(account)
        if content.settlement is None and content.coins is None:
            raise _Refused(Refusal.NOTHING_PROVEN, "the file shows no balance")
        name = next((name for name, each in SYSTEM_ACCOUNTS.items() if each == account), "")
        role = "system"
        if content.record is not None:
            record = read("the account", get_account_key(account), content.record, Account)
            name, role = record.name, record.role
        elif not name:
            raise _Refused(Refusal.NOTHING_PROVEN, "the file does not show the account itself")
        balances = [
            None if shown is None else read("the balance", get_balance_key(account, asset), shown, Balance)
            for asset, shown in ((Asset.SETTLEMENT, content.settlement), (Asset.COIN, content.coins))
        ]
        certification = self._check_certificate(content.certificate, content.handovers)
        return VerifiedBalance(certification, account, name, role, *balances)

    def _verify_bill(self, content: BillFile) -> VerifiedBill:
        meter, certificate = content.meter, content.certificate
        slot_s = self._genesis.energy.slot_s
        _check_account(meter)
        if not content.lines:
            raise _Refused(Refusal.NOTHING_PROVEN, "the file shows no line")
        slots = [entry.slot_s for entry in content.lines]
        if sorted(set(slots)) != slots or slots[0] < 0 or any(start % slot_s for start in slots):
            raise _Refused(Refusal.SLOTS_DISORDERED, f"the lines are not of slots of {slot_s} s in order")
        record = _read_record(certificate, "the meter", get_meter_key(meter), content.record, Meter)
        lines = []
        for entry in content.lines:
            what = f"the line of slot {entry.slot_s}"
            line = _read_record(certificate, what, get_line_key(meter, entry.slot_s), entry.line, Line)
            problem = find_line_problem(line)
            if problem is not None:
                raise _Refused(Refusal.AMOUNT_WRONG, f"{what}: {problem}")
            lines.append((entry.slot_s, line))
        return VerifiedBill(
            certification=self._check_certificate(certificate, content.handovers),
            meter=meter,
            home=record.home,
            owner=record.owner,
            slot_s=slot_s,
            lines=tuple(lines),
            slots_absent=(slots[-1] - slots[0]) // slot_s + 1 - len(slots),
        )

    def _check_certificate(self, certificate: Certificate, handovers: tuple[Handover, ...]) -> Certification:
        """Return who signed, after following the handovers from the genesis on."""
        followed = follow_to(self._anchor, certificate, handovers)
        if isinstance(followed, str):
            raise _Refused(Refusal.HANDOVER_UNPROVEN, followed)
        problem = followed.check_certificate(certificate)
        if problem is not None:
            raise _Refused(Refusal.CERTIFICATE_UNPROVEN, problem)
        header, membership = certificate.header, followed.membership
        return Certification(
            network=self._genesis.name,
            currency=self._genesis.currency,
            height=header.height,
            time_ms=header.time_ms,
            epoch=header.epoch,
            signers=tuple(membership.get_name(ReplicaId(each.replica)) for each in certificate.signatures),
            validators=len(membership.validators),
            quorum=membership.quorum,
        )


def _check_account(account: bytes) -> None:
    if len(account) != ACCOUNT_BYTES:
        raise _Refused(
            Refusal.ACCOUNT_INVALID, f"an account has {ACCOUNT_BYTES} bytes, this one {len(account)}"
        )


def _read_record(certificate: Certificate, what: str, key: bytes, shown: ProvenRecord, kind: type[T]) -> T:
    """Return a record that stands under the certificate's state root."""
    if not is_state_proof_valid(key, shown.value, shown.proof, Digest(certificate.header.state_root)):
        raise _Refused(Refusal.VALUE_NOT_IN_STATE, f"{what} does not stand under the certified state root")
    try:
        return decode(shown.value, kind)
    except DecodeError as error:
        raise _Refused(Refusal.VALUE_UNREADABLE, f"{what} cannot be read: {error}") from None


def _read_transaction(raw: bytes) -> tuple[Transaction | None, Struct | None]:
    """Return what a transaction says and asks, as far as it says something: a block may hold what nobody can read."""
    try:
        transaction = decode_transaction(raw).transaction
    except DecodeError:
        return None, None
    contract = CONTRACTS.get(transaction.call.contract)
    if contract is None:
        return transaction, None
    call = decode_call(contract, transaction.call.method, transaction.call.arguments)
    return transaction, None if isinstance(call, Rejection) else call
