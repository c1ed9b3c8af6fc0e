"""A bill checked offline: every line under the state root that a quorum signed, and every sum recomputed.

Used by `gridbft bill --verify` and by the demonstration; needs the genesis and the answer, no node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consensus.messages import Certificate
from meter.amounts import find_line_problem
from meter.answers import BillAnswer, BillLineAnswer
from meter.proofs import TrustAnchor, read_certificate, read_state_proof
from primitives.encoding import DecodeError, decode
from primitives.ids import Digest
from vm.contracts.energy.records import Line, get_line_key, get_line_slot
from vm.state_root import is_state_proof_valid


class BillProblem(Exception):  # noqa: N818  # what is the case with a bill
    """The answer is no bill, or it proves nothing; the message is one line."""


@dataclass(frozen=True)
class Bill:
    """A meter's lines by slot, in order. ``certificate`` is the verified one, or None when nothing was checked."""

    meter: bytes
    home: str
    height: int
    lines: Mapping[int, Line]
    certificate: Certificate | None

    def sum(self, field: str) -> int:
        """Return the sum of a field over all lines."""
        return sum(getattr(line, field) for line in self.lines.values())


def read_bill(answer: BillAnswer) -> Bill:
    """Return the bill that a validator claims, unchecked.

    Raises:
        BillProblem: it is no bill.

    """
    meter = _parse_hex(answer.meter, "meter")
    lines = dict(sorted(_read_line(meter, entry) for entry in answer.lines))
    if len(lines) != len(answer.lines):
        raise BillProblem("two lines of one slot")
    return Bill(meter, answer.home, answer.height, lines, None)


def verify_bill(anchor: TrustAnchor, meter: bytes, slots_s: Sequence[int], answer: BillAnswer) -> Bill:
    """Return the bill of ``meter`` over ``slots_s`` when everything in it is proven.

    In this order: a quorum of its epoch's validators signed the certificate; it is of the answer's height; the lines
    are the meter's and of these slots; each stands under the certificate's state root; each adds up by itself.

    Raises:
        BillProblem: with the first thing that is wrong.

    """
    if answer.certificate is None:
        raise BillProblem("the validator gave no certificate")
    try:
        certificate = read_certificate(answer.certificate)
    except DecodeError as error:
        raise BillProblem(f"the certificate cannot be read: {error}") from None
    problem = anchor.check_certificate(certificate)
    if problem is not None:
        raise BillProblem(f"the certificate proves nothing: {problem}")
    if certificate.header.height != answer.height:
        raise BillProblem(f"the certificate is of block {certificate.header.height}, not {answer.height}")
    bill = read_bill(answer)
    if bill.meter != meter:
        raise BillProblem("the bill is of another meter")
    wanted = frozenset(slots_s)
    for (slot_s, line), entry in zip(bill.lines.items(), sorted(answer.lines, key=_get_key), strict=True):
        if slot_s not in wanted:
            raise BillProblem(f"a line of a slot that was not asked for: {slot_s}")
        _check_line_proof(Digest(certificate.header.state_root), entry)
        problem = find_line_problem(line)
        if problem is not None:
            raise BillProblem(f"slot {slot_s}: {problem}")
    return Bill(bill.meter, bill.home, bill.height, bill.lines, certificate)


def _get_key(entry: BillLineAnswer) -> str:
    return entry.key


def _read_line(meter: bytes, entry: BillLineAnswer) -> tuple[int, Line]:
    key = _parse_hex(entry.key, "key of a line")
    slot_s = get_line_slot(key)
    if key != get_line_key(meter, slot_s):
        raise BillProblem("a line of another meter")
    try:
        return slot_s, decode(_parse_hex(entry.value, "value of a line"), Line)
    except DecodeError as error:
        raise BillProblem(f"a line cannot be read: {error}") from None


def _check_line_proof(root: Digest, entry: BillLineAnswer) -> None:
    if entry.proof is None:
        raise BillProblem("a line without proof")
    try:
        proof = read_state_proof(entry.proof)
    except DecodeError as error:
        raise BillProblem(f"the proof of a line cannot be read: {error}") from None
    if not is_state_proof_valid(bytes.fromhex(entry.key), bytes.fromhex(entry.value), proof, root):
        raise BillProblem("a line does not stand under the certified state root")


def _parse_hex(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BillProblem(f"the {what} is not hexadecimal") from None
