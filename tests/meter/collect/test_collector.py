"""Observations become one signed reading for each slot, whatever comes between, and whatever dies."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter.collect.collector import Collector, read_entry
from meter.collect.observation import Dropped, DropReason, LinkState, Observation
from meter.collect.slots import Registers
from meter.collect.state import STATE_BYTES_MAX, CollectorState, Gap, Seen, read_state, write_state
from meter.spool import Spool, SpoolState, open_spool
from primitives.ids import UnixSeconds, WattHours
from tests.meter.collect.homes import FACTS, OPENING_S, SLOT_S, Home, observe
from tests.meter.networks import ANCHOR, METER


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def spool(home: Home) -> Iterator[Spool]:
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as opened:
        yield opened


@pytest.fixture
def collector(home: Home, spool: Spool) -> Collector:
    return home.start(spool)


def list_registers(spool: Spool) -> list[Registers | None]:
    return [read_entry(entry) for entry in spool.get_due(1000)]


def at(slot: int, import_wh: int, export_wh: int = 400_000) -> Registers:
    return Registers(UnixSeconds(OPENING_S + slot * SLOT_S), WattHours(import_wh), WattHours(export_wh))


def test_of_many_observations_the_first_after_each_slots_end_is_signed(
    collector: Collector, spool: Spool
) -> None:
    for second in range(2 * SLOT_S + 120):
        collector.take(observe(0, 1_000_000 + second, late_ms=1000 * second))
    assert list_registers(spool) == [at(1, 1_000_900), at(2, 1_001_800)]
    assert collector.state.observations == 2 * SLOT_S + 120
    assert collector.state.readings == 2


def test_the_slot_of_the_opening_is_not_signed_again(collector: Collector, spool: Spool) -> None:
    collector.take(observe(0, 1_000_000))
    assert list_registers(spool) == []


def test_after_a_death_nothing_is_signed_twice_though_the_registers_have_moved(home: Home) -> None:
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        home.start(spool).take(observe(1, 1_000_500))
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        again = home.start(spool)
        again.take(observe(1, 1_000_510, late_ms=20_000))
        again.take(observe(2, 1_001_000))
        assert list_registers(spool) == [at(1, 1_000_500), at(2, 1_001_000)]
        assert [entry.transaction.transaction.nonce for entry in spool.get_due(9)] == [1, 2]


def test_what_died_before_it_was_on_disk_is_in_the_next_register(home: Home) -> None:
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        home.start(spool).take(observe(1, 1_000_500))
    # The second slot's telegram never reached the disk.
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        collector = home.start(spool)
        collector.take(observe(3, 1_002_000))
        assert list_registers(spool) == [at(1, 1_000_500), at(3, 1_002_000)]
        assert collector.state.last_gap == Gap(OPENING_S + SLOT_S, OPENING_S + 3 * SLOT_S)
        assert collector.state.gaps == 1


def test_a_new_spool_begins_behind_what_the_ledger_has(home: Home, spool: Spool) -> None:
    facts = msgspec.structs.replace(
        FACTS, latest_s=OPENING_S + 2 * SLOT_S, latest_import_wh=1_002_000, latest_export_wh=400_000
    )
    collector = home.start(spool, facts)
    collector.take(observe(2, 1_002_001))
    collector.take(observe(3, 1_003_000))
    assert list_registers(spool) == [at(3, 1_003_000)]


@pytest.mark.parametrize(
    ("import_wh", "export_wh", "reason"),
    [
        (999_999, 400_000, DropReason.REGISTER_DECREASED),
        (120, 3, DropReason.REGISTER_RESET),
        (1_000_000 + 10_751, 400_000, DropReason.ABOVE_LIMIT),
    ],
)
def test_what_cannot_be_true_is_not_signed_and_counted_by_name(
    collector: Collector, spool: Spool, import_wh: int, export_wh: int, reason: DropReason
) -> None:
    collector.take(observe(1, import_wh, export_wh))
    assert list_registers(spool) == []
    assert collector.state.dropped == {reason.value: 1}
    assert collector.state.last_dropped == reason.value
    # A later observation of the same slot that may be true is taken.
    collector.take(observe(1, 1_000_100, late_ms=9_000))
    assert list_registers(spool) == [at(1, 1_000_100)]


def test_a_reading_of_times_to_come_is_not_signed_and_ends_nothing(
    collector: Collector, spool: Spool, home: Home
) -> None:
    home.clock.move_to(OPENING_S + 2 * SLOT_S)
    collector.take(observe(30, 1_000_500))
    assert collector.state.dropped == {"TIME_AHEAD": 1}
    collector.take(observe(2, 1_000_500))
    assert list_registers(spool) == [at(2, 1_000_500)]


def test_another_meter_is_not_believed_until_the_ledger_has_its_registers(home: Home, spool: Spool) -> None:
    collector = home.start(spool)
    collector.take(observe(1, 1_000_500, equipment="OLD"))
    collector.take(observe(2, 1_000_600, equipment="NEW"))
    assert collector.state.dropped == {"METER_CHANGED": 1}
    assert collector.is_swap_suspected
    told = msgspec.structs.replace(
        FACTS, latest_s=OPENING_S + 3 * SLOT_S, latest_import_wh=7, latest_export_wh=0
    )
    collector.learn(told)
    collector.take(observe(4, 400, 0, equipment="NEW"))
    assert list_registers(spool) == [at(1, 1_000_500), at(4, 400, 0)]
    assert collector.state.equipment == "NEW"
    assert not collector.is_swap_suspected


def test_a_full_spool_is_told_by_name_and_the_next_register_contains_what_was_lost(
    collector: Collector, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.take(observe(1, 1_000_100))
    monkeypatch.setattr("meter.spool.OPEN_MAX", 1)
    collector.take(observe(2, 1_000_200))
    assert collector.state.dropped == {"SPOOL_FULL": 1}
    monkeypatch.setattr("meter.spool.OPEN_MAX", 2)
    collector.take(observe(3, 1_000_300))
    assert list_registers(spool) == [at(1, 1_000_100), at(3, 1_000_300)]


def test_what_a_source_dropped_is_counted_by_name(collector: Collector, home: Home) -> None:
    for reason in (DropReason.CRC_WRONG, DropReason.NOISE, DropReason.CRC_WRONG):
        collector.take(Dropped(reason))
    collector.write()
    assert home.read().dropped == {"CRC_WRONG": 2, "NOISE": 1}


def test_a_link_that_breaks_and_comes_back_is_told(collector: Collector, home: Home) -> None:
    collector.take(LinkState())
    assert home.read().link_problem == ""
    collector.take(LinkState("Connection refused"))
    assert (home.read().link_problem, home.read().reconnects) == ("Connection refused", 1)
    collector.take(LinkState("Connection refused"))
    collector.take(LinkState())
    assert (home.read().link_problem, home.read().reconnects) == ("", 1)


def test_the_first_registers_of_a_link_are_told_at_once_and_later_ones_once_a_minute(
    collector: Collector, home: Home
) -> None:
    collector.take(LinkState())
    collector.take(observe(0, 1_000_010, late_ms=100_000))
    assert home.read().last_seen == Seen(OPENING_S + 100, 1_000_010, 400_000)
    collector.take(observe(0, 1_000_020, late_ms=110_000))
    assert home.read().observations == 1
    home.clock.move_to(home.clock.now_ms / 1000 + 60)
    collector.take(observe(0, 1_000_030, late_ms=160_000))
    assert home.read().observations == 3


def test_the_state_tells_what_waits_and_since_when(collector: Collector, home: Home, spool: Spool) -> None:
    collector.take(observe(1, 1_000_500))
    collector.take(observe(2, 1_000_900))
    state = home.read()
    assert (state.waiting, state.oldest_waiting_s) == (2, OPENING_S + SLOT_S)
    assert state.last_reading == Seen(OPENING_S + 2 * SLOT_S, 1_000_900, 400_000)
    assert spool.count()[SpoolState.QUEUED] == 2


def test_a_damaged_state_file_costs_the_counts_and_nothing_else(home: Home) -> None:
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        home.start(spool).take(observe(1, 1_000_500))
    home.state_path.write_bytes(b"{\x00")
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        collector = home.start(spool)
        assert collector.state.readings == 0
        collector.take(observe(1, 1_000_501, late_ms=30_000))
        assert list_registers(spool) == [at(1, 1_000_500)]


def test_a_state_with_every_reason_stays_far_below_its_bound(home: Home) -> None:
    counts = {reason.value: 10**9 for reason in DropReason}
    write_state(home.state_path, CollectorState("alder", facts=FACTS, dropped=counts, refused=counts))
    assert home.state_path.stat().st_size < STATE_BYTES_MAX // 4
    assert read_state(home.state_path, "alder").dropped == counts
    assert read_state(home.state_path, "birch") == CollectorState("birch")


Event = tuple[int, int, int]


@given(events=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40), st.integers(0, 3000)), max_size=40))
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_the_signed_readings_grow_in_time_and_registers(
    events: list[Event], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        collector = home.start(spool)
        for slot, late_s, wh in events:
            collector.take(observe(slot, 999_900 + wh * slot, late_ms=late_s * 1000))
        found = [entry for entry in list_registers(spool) if entry is not None]
    assert all(b.time_s > a.time_s and b.import_wh >= a.import_wh for a, b in pairwise(found))
    assert all(entry.import_wh >= 1_000_000 for entry in found)


def test_the_account_of_the_facts_is_the_signers() -> None:
    assert FACTS.account == METER.hex()
    assert isinstance(observe(1, 1), Observation)
