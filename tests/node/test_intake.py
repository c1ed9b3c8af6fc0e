"""What may wait: of an own client's transaction all is looked at, of a gossiped one what its account may send."""

import asyncio

from node.clock import SystemClock
from node.intake import Intake, SubmitStatus
from node.mempool import Mempool, MempoolLimits
from node.verifier import open_verifier
from primitives.ids import Digest
from tests.node.snapshots.source import Source
from tests.vm.ledger import make_wallet
from vm.contract import LedgerContext
from vm.contracts.energy.calls import SubmitReading
from vm.receipt import Rejection
from vm.transaction import SealedTransaction


def admit(
    source: Source, sealed: SealedTransaction, *, is_own: bool
) -> tuple[SubmitStatus, Rejection | None]:
    """Return what becomes of a correctly signed transaction at a fresh door of ``source``'s chain."""

    async def scenario() -> tuple[SubmitStatus, Rejection | None]:
        genesis_hash = Digest(source.genesis_hash)
        async with open_verifier(genesis_hash) as verifier:
            ledger = LedgerContext(source.genesis, genesis_hash)
            mempool = Mempool(MempoolLimits(100, 10**6, 100))
            intake = Intake(ledger, source.chain, mempool, verifier, SystemClock(), lambda: source.header)
            result = intake.admit(sealed, is_own=is_own)
            return result.status, result.rejection

    return asyncio.run(scenario())


def build_reading(source: Source) -> SealedTransaction:
    """Return a reading of an account that has no meter."""
    source.register(1)
    return source.sign(make_wallet("home-0"), SubmitReading(source.time_s, 1, 0, "G", 1))


def test_a_clients_transaction_whose_call_cannot_succeed_is_refused_at_the_door() -> None:
    source = Source()
    reading = build_reading(source)
    assert admit(source, reading, is_own=True) == (SubmitStatus.REFUSED, Rejection.METER_UNKNOWN)


def test_a_gossiped_one_waits_and_its_author_gets_a_receipt_that_says_so() -> None:
    source = Source()
    reading = build_reading(source)
    assert admit(source, reading, is_own=False) == (SubmitStatus.ACCEPTED, None)
    (receipt,) = source.execute_raw(reading.raw).receipts
    assert (receipt.rejection, receipt.consumed) == (Rejection.METER_UNKNOWN, True)


def test_whose_nonce_is_used_is_refused_wherever_it_comes_from() -> None:
    source = Source()
    reading = build_reading(source)
    source.execute_raw(reading.raw)
    for is_own in (True, False):
        assert admit(source, reading, is_own=is_own) == (SubmitStatus.REFUSED, Rejection.NONCE_USED)
