"""A bill that needs no trust: each line is a value of the state, proven under one certificate."""

from dataclasses import dataclass

from meter.answers import AnswerError, ProvenBillAnswer
from meter.proofs import ReceiptVerifier, read_certificate, read_state_proof
from primitives.encoding import DecodeError, decode
from primitives.ids import AccountId, Digest, Height, UnixSeconds
from vm.contracts.energy.records import Line, get_line_key
from vm.state_root import is_state_proof_valid

SLOT_BYTES = 8


class ForgedError(Exception):
    """What a validator showed as proven is not; the message says what in one line."""


@dataclass(frozen=True, slots=True)
class BilledSlot:
    """One proven line of a meter; ``slot_s`` is the slot's UTC start."""

    slot_s: UnixSeconds
    line: Line


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """The proven lines of a meter in the order of time. A validator may leave lines out, but make none up."""

    meter: AccountId
    height: Height
    slots: tuple[BilledSlot, ...]

    @property
    def net_nano(self) -> int:
        """Return what the home pays, in nano-currency (negative: receives)."""
        return sum(slot.line.net_nano for slot in self.slots)

    @property
    def alone_nano(self) -> int:
        """Return what it would pay at grid prices only."""
        return sum(slot.line.alone_nano for slot in self.slots)


def verify_bill(
    verifier: ReceiptVerifier, meter: AccountId, first_s: int, last_s: int, answer: ProvenBillAnswer
) -> VerifiedBill:
    """Return the bill of an answer after checking its certificate and every line.

    Raises:
        ForgedError: a line or the certificate is not what it claims, or was not asked for.
        AnswerError: the answer cannot be read.

    """
    try:
        certificate = read_certificate(answer.certificate)
        entries = [
            (bytes.fromhex(line.key), bytes.fromhex(line.value), read_state_proof(line.proof))
            for line in answer.lines
        ]
        lines = [decode(value, Line) for _, value, _ in entries]
    except (DecodeError, ValueError) as error:
        raise AnswerError(f"the proofs of the bill cannot be read: {error}") from None
    problem = verifier.check_certificate(certificate)
    if problem is not None:
        raise ForgedError(f"showed a forged bill: {problem}")
    slots = []
    root = Digest(certificate.header.state_root)
    for (key, value, proof), line in zip(entries, lines, strict=True):
        slot_s = int.from_bytes(key[-SLOT_BYTES:], "big")
        if key != get_line_key(meter, slot_s) or not first_s <= slot_s <= last_s:
            raise ForgedError("showed a forged bill: a line of another meter or time")
        if not is_state_proof_valid(key, value, proof, root):
            raise ForgedError("showed a forged bill: a line does not stand under the state root")
        slots.append(BilledSlot(UnixSeconds(slot_s), line))
    if any(later.slot_s <= earlier.slot_s for earlier, later in zip(slots, slots[1:], strict=False)):
        raise ForgedError("showed a forged bill: its lines are not in the order of time")
    return VerifiedBill(meter, Height(certificate.header.height), tuple(slots))
