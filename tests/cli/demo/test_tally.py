"""The tally believes proofs only: what may be applied needs a sound receipt, what nobody took has none."""

from msgspec import structs

from cli.demo.tally import Tally
from meter.outcomes import Committed, OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.proofs import CertifiedReceipt
from primitives.ids import Digest, Height
from tests.meter.networks import ANCHOR, prove
from vm.receipt import Receipt

APPLIED, REFUSED, SPOILT, UNTAKEN, UNKNOWN = (Digest(bytes([number]) * 32) for number in range(5))
RECEIPTS = (Receipt(APPLIED, None, True), Receipt(REFUSED, "nonce-used", False), Receipt(SPOILT, None, True))


def prove_one(index: int) -> CertifiedReceipt:
    return prove(RECEIPTS, index)


def test_a_refusal_that_is_proven_or_that_never_entered_the_ledger_is_no_failed_receipt() -> None:
    tally = Tally()
    tally.record(Committed(APPLIED, Height(7), prove_one(0)), 12)
    tally.record(RefusedByNetwork(REFUSED, "nonce-used", False, Height(8), prove_one(1)), 14)
    tally.record(RefusedByNode(UNTAKEN, "nonce-used", ""), 3)
    assert tally.verify_receipts(ANCHOR) == (2, 0)
    counts = tally.count()
    assert (counts.submitted, counts.committed, counts.refused) == (3, 1, 2)
    assert tally.height == 8
    assert tally.latencies_ms == [12, 14]


def test_a_transaction_without_a_sound_receipt_that_may_be_applied_is_a_failed_one() -> None:
    tally = Tally()
    tally.record(OutcomeUnknown(UNKNOWN, "nobody proved anything"), 60_000)
    sound = prove_one(2)
    spoilt = CertifiedReceipt(sound.proof, structs.replace(sound.certificate, signatures=()))
    tally.record(Committed(SPOILT, Height(7), spoilt), 12)
    assert tally.verify_receipts(ANCHOR) == (0, 2)
    tally.record(Committed(SPOILT, Height(7), sound), 15)
    assert tally.verify_receipts(ANCHOR) == (1, 1)
