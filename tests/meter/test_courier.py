"""Readings go from the spool to the ledger exactly once, whatever dies in between."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter.client import open_client
from meter.courier import Courier, Delivery
from meter.outcomes import Committed, OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.reading import MeterStatus, Reading, compute_pagination, parse_status
from meter.signer import MeterClock, Signer, build_reading_call, spool_readings
from meter.spool import Spool, SpoolEntry, SpoolState, open_spool
from meter.validators import ClientSettings
from primitives.encoding import decode
from primitives.ids import Digest, Height, UnixSeconds, WattHours
from tests.meter.networks import ANCHOR, METER, METER_KEY, Ledger
from tests.meter.stand_in import StandIn, serve
from vm.contracts.energy.calls import METER_STATUS_CODES, SubmitReading
from vm.transaction import is_transaction_signed

QUICK = ClientSettings(
    request_timeout_s=30.0, rounds=2, pause_first_s=0.01, pause_max_s=0.02, resend_after_s=0.1
)
LONG_S = 30.0
"""For what must succeed: what is slow on a busy machine is not wrong."""
SIGNER = Signer(METER_KEY, METER, ANCHOR.genesis_hash, horizon_blocks=10)
CLOCK = MeterClock(UnixSeconds(7200), 3600)


def build_readings(count: int) -> list[Reading]:
    return [
        Reading(UnixSeconds(10_800 + 3600 * number), WattHours(1000 + 10 * number), WattHours(500))
        for number in range(count)
    ]


def put(spool: Spool, count: int, known_height: int = 0) -> list[SpoolEntry]:
    return spool_readings(spool, SIGNER, CLOCK, build_readings(count), Height(known_height))


def carry(
    spool: Spool, *stand_ins: StandIn, timeout_s: float = LONG_S, is_past: bool = False
) -> list[Delivery]:
    async def work() -> list[Delivery]:
        async with serve(*stand_ins) as urls, open_client(urls, ANCHOR, QUICK) as client:
            courier = Courier(spool, client, {METER: SIGNER}, is_past=lambda _: is_past)
            return await courier.deliver_due(timeout_s)

    return asyncio.run(work())


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with open_spool(path, ANCHOR.genesis_hash) as opened:
        yield opened


def test_a_reading_is_signed_as_the_contract_expects_it(spool: Spool) -> None:
    (entry,) = put(spool, 1)
    transaction = entry.transaction.transaction
    assert is_transaction_signed(entry.transaction, ANCHOR.genesis_hash)
    assert (transaction.call.contract, transaction.call.method) == ("energy", "submit_reading")
    assert decode(transaction.call.arguments, SubmitReading) == SubmitReading(10_800, 1000, 500, "G", 1)
    assert (transaction.nonce, transaction.valid_until, transaction.account) == (1, 10, METER)


def test_readings_are_numbered_by_their_slot_so_that_a_late_one_fits_between() -> None:
    numbers = [compute_pagination(UnixSeconds(time_s), UnixSeconds(0), 900) for time_s in (900, 1800, 9000)]
    assert numbers == [1, 2, 10]


def test_every_status_is_a_letter_that_the_contract_knows() -> None:
    assert {status.value for status in MeterStatus} == METER_STATUS_CODES
    assert all(parse_status(status.name.lower()) is status for status in MeterStatus)
    assert all(parse_status(status.value) is status for status in MeterStatus)
    assert parse_status("") is MeterStatus.GOOD
    assert parse_status("excellent") is None


def test_the_status_of_a_reading_reaches_the_call() -> None:
    reading = Reading(UnixSeconds(10_800), WattHours(1), WattHours(2), MeterStatus.SUBSTITUTE)
    assert decode(build_reading_call(reading, CLOCK).arguments, SubmitReading).status == "S"


def test_what_is_due_is_delivered_and_its_proofs_are_kept(spool: Spool, ledger: Ledger) -> None:
    entries = put(spool, 24)
    deliveries = carry(spool, StandIn(ledger))
    assert [delivery.entry.number for delivery in deliveries] == [entry.number for entry in entries]
    assert all(isinstance(delivery.outcome, Committed) for delivery in deliveries)
    assert spool.count()[SpoolState.COMMITTED] == 24
    assert all(spool.get_proof(entry.number) is not None for entry in entries)
    assert carry(spool, StandIn(ledger)) == []


def test_the_same_readings_given_again_are_not_sent_again(spool: Spool, ledger: Ledger) -> None:
    put(spool, 5)
    carry(spool, StandIn(ledger))
    put(spool, 6)
    assert len(carry(spool, StandIn(ledger))) == 1
    assert len(ledger.applied) == len(set(ledger.applied)) == 6


def test_without_a_network_everything_stays_and_goes_out_later_unchanged(path: Path, ledger: Ledger) -> None:
    with open_spool(path, ANCHOR.genesis_hash) as spool:
        entries = put(spool, 3)
        deliveries = carry(spool, StandIn(ledger, status=500), timeout_s=0.3)
        assert all(isinstance(delivery.outcome, OutcomeUnknown) for delivery in deliveries)
        assert all(delivery.entry.state is SpoolState.SENT for delivery in deliveries)
    node = StandIn(ledger)
    with open_spool(path, ANCHOR.genesis_hash) as spool:
        assert all(isinstance(delivery.outcome, Committed) for delivery in carry(spool, node))
    assert node.received == [entry.transaction.raw for entry in entries]


def test_what_was_applied_before_the_process_died_is_found_and_not_applied_again(
    spool: Spool, ledger: Ledger
) -> None:
    entries = put(spool, 3)
    ledger.execute([Digest(entries[0].transaction_id)])  # sent, applied, and the sender died before it knew
    carry(spool, StandIn(ledger))
    assert spool.count()[SpoolState.COMMITTED] == 3
    assert len(ledger.applied) == 3


def test_a_proven_refusal_ends_an_entry_with_its_reason(spool: Spool, ledger: Ledger) -> None:
    (entry,) = put(spool, 1)
    ledger.execute([Digest(entry.transaction_id)], "READING_NOT_INCREASING")
    (delivery,) = carry(spool, StandIn(ledger))
    assert isinstance(delivery.outcome, RefusedByNetwork)
    assert (delivery.entry.state, delivery.entry.reason) == (SpoolState.REFUSED, "READING_NOT_INCREASING")


def test_what_validators_whose_clocks_are_behind_called_the_future_is_signed_and_sent_again(
    spool: Spool, ledger: Ledger
) -> None:
    (entry,) = put(spool, 1)
    ledger.execute([Digest(entry.transaction_id)], "READING_OF_FUTURE")
    (delivery,) = carry(spool, StandIn(ledger), is_past=True)
    assert isinstance(delivery.outcome, RefusedByNetwork)
    assert (delivery.entry.state, delivery.entry.reason) == (SpoolState.QUEUED, "READING_OF_FUTURE")
    (again,) = carry(spool, StandIn(ledger), is_past=True)
    assert isinstance(again.outcome, Committed)
    assert again.entry.transaction.transaction.call == entry.transaction.transaction.call
    assert again.entry.transaction.transaction.nonce == 2
    assert ledger.applied == [entry.transaction_id, again.entry.transaction_id]  # the first with a refusal


def test_of_many_such_readings_the_oldest_asks_until_it_is_taken(spool: Spool, ledger: Ledger) -> None:
    entries = put(spool, 5)
    ledger.execute([Digest(entry.transaction_id) for entry in entries], "READING_OF_FUTURE")
    assert len(carry(spool, StandIn(ledger), is_past=True)) == 5
    for nonce in (6, 11):
        (probe,) = spool.get_due(1)
        assert probe.transaction.transaction.nonce == nonce
        ledger.execute([Digest(probe.transaction_id)], "READING_OF_FUTURE")
        assert [each.entry.number for each in carry(spool, StandIn(ledger), is_past=True)] == [probe.number]
    (taken,) = carry(spool, StandIn(ledger), is_past=True)
    assert isinstance(taken.outcome, Committed)
    assert len(carry(spool, StandIn(ledger), is_past=True)) == 4
    assert spool.count()[SpoolState.COMMITTED] == 5


def test_what_expired_with_such_a_refusal_is_signed_under_the_next_nonce_too(
    spool: Spool, ledger: Ledger
) -> None:
    (entry,) = put(spool, 1)
    ledger.execute([Digest(entry.transaction_id)], "READING_OF_FUTURE")
    (delivery,) = carry(spool, StandIn(ledger, certified_height=11), is_past=True)
    assert isinstance(delivery.outcome, Committed)
    assert delivery.entry.transaction.transaction.nonce == 2


def test_what_is_of_the_future_by_the_senders_own_clock_is_refused_for_good(
    spool: Spool, ledger: Ledger
) -> None:
    (entry,) = put(spool, 1)
    ledger.execute([Digest(entry.transaction_id)], "READING_OF_FUTURE")
    (delivery,) = carry(spool, StandIn(ledger), is_past=False)
    assert (delivery.entry.state, delivery.entry.reason) == (SpoolState.REFUSED, "READING_OF_FUTURE")


def test_the_word_of_validators_is_noted_and_ends_nothing(spool: Spool, ledger: Ledger) -> None:
    put(spool, 1)
    (delivery,) = carry(spool, StandIn(ledger, refuse_all="METER_UNKNOWN"))
    assert isinstance(delivery.outcome, RefusedByNode)
    assert (delivery.entry.state, delivery.entry.reason) == (SpoolState.SENT, "METER_UNKNOWN")
    (delivery,) = carry(spool, StandIn(ledger))
    assert isinstance(delivery.outcome, Committed)


def test_an_expired_transaction_goes_out_again_under_the_same_nonce(spool: Spool, ledger: Ledger) -> None:
    (entry,) = put(spool, 1)
    node = StandIn(ledger, certified_height=11)
    (delivery,) = carry(spool, node)
    assert isinstance(delivery.outcome, Committed)
    assert delivery.entry.transaction_id != entry.transaction_id
    assert delivery.entry.transaction.transaction.nonce == 1
    assert delivery.entry.transaction.transaction.valid_until == 21
    assert ledger.applied == [delivery.entry.transaction_id]


def test_an_expired_transaction_that_was_applied_is_not_signed_again(spool: Spool, ledger: Ledger) -> None:
    (entry,) = put(spool, 1)
    ledger.execute([Digest(entry.transaction_id)])
    assert carry(spool, StandIn(ledger, certified_height=11)) == []
    current = spool.get_entry(entry.number)
    assert (current.state, current.transaction_id) == (SpoolState.COMMITTED, entry.transaction_id)
    assert spool.get_transaction_ids(entry.number) == [entry.transaction_id]


def test_a_claimed_height_without_a_certificate_renews_nothing(spool: Spool, ledger: Ledger) -> None:
    (entry,) = put(spool, 1)
    ledger.height = 0
    node = StandIn(ledger, is_dropping=True)
    ledger.height = 10_000  # told in the status; the block shown below is certified at height 3
    node.certified_height = 3
    carry(spool, node, timeout_s=0.3)
    assert spool.get_transaction_ids(entry.number) == [entry.transaction_id]


def test_when_an_earlier_transaction_of_the_nonce_was_applied_its_proof_counts(
    spool: Spool, ledger: Ledger
) -> None:
    (entry,) = put(spool, 1)
    node = StandIn(ledger, certified_height=11, is_dropping=True)
    carry(spool, node, timeout_s=0.3)
    renewed = spool.get_entry(entry.number)
    assert renewed.transaction_id != entry.transaction_id
    ledger.execute([Digest(entry.transaction_id)])  # shown only now: validators had kept silent about it
    node.refusals[renewed.transaction_id] = "NONCE_USED"
    (delivery,) = carry(spool, node)
    assert delivery.entry.state is SpoolState.COMMITTED


def test_an_expired_transaction_that_nobody_will_ever_take_is_given_up(spool: Spool, ledger: Ledger) -> None:
    (entry,) = put(spool, 1)
    carry(spool, StandIn(ledger, refuse_all="READING_NOT_INCREASING"))
    assert carry(spool, StandIn(ledger, certified_height=11)) == []
    assert spool.get_entry(entry.number).reason == "given up: READING_NOT_INCREASING"
    assert ledger.applied == []
