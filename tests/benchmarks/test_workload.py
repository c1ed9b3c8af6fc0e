"""The unit of work is a real meter reading: unique, and applied by the ledger without settling anything."""

from benchmarks.harness.network import CORRECTION_S
from benchmarks.harness.workload import SLOT_S, Meters, choose_opening
from tests.vm.ledger import START_S, Chain, make_energy, make_genesis
from vm.contracts.energy.records import Slot, get_slot_key
from vm.state import read_record

ENERGY = make_energy(slot_s=SLOT_S, grace_s=CORRECTION_S, correction_s=CORRECTION_S)


def test_every_reading_is_unique_and_is_applied_and_no_slot_settles() -> None:
    chain = Chain(make_genesis(ENERGY))
    meters = Meters(3, choose_opening(START_S * 1000, 4), chain.genesis_hash)
    utility = chain.utility
    registrations = [each.raw for each in meters.sign_registrations(utility.key, utility.account, 1)]
    readings = [each.raw for each in meters.sign_readings(0, 12)]
    assert len(registrations) == 4
    assert len(set(readings)) == 12
    assert readings[5:] == [each.raw for each in meters.sign_readings(5, 7)]
    for raws in (registrations, readings):
        result = chain.prepare(*raws)
        assert [receipt.rejection for receipt in result.receipts] == [None] * len(raws)
        chain.state.commit(result)
        chain.header, chain.tree = result.header, result.tree
    for slot in range(4):
        record = read_record(chain.state, get_slot_key(meters.opening_s + slot * SLOT_S), Slot)
        assert record is not None
        assert (record.settled, record.received, record.expected) == (False, 3, 4)


def test_a_meter_opens_at_a_slot_boundary_in_the_past() -> None:
    opening_s = choose_opening(1_700_000_123_456, 96)
    assert opening_s % SLOT_S == 0
    assert 96 * SLOT_S <= 1_700_000_123 - opening_s < 97 * SLOT_S
