"""What a collector signed goes to the validators, and its state tells what became of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter.client import open_client
from meter.collect.collector import Collector
from meter.collect.delivery import Delivering, Patience
from meter.collect.state import CollectorState
from meter.signer import Signer
from meter.spool import Spool, SpoolState, open_spool
from meter.validators import ClientSettings
from primitives.ids import Digest
from tests.integration.validator import until
from tests.meter.collect.homes import FACTS, OPENING_S, SLOT_S, Clock, observe
from tests.meter.networks import ANCHOR, METER, METER_KEY, Ledger
from tests.meter.stand_in import StandIn, serve

QUICK = ClientSettings(
    request_timeout_s=30.0, rounds=1, pause_first_s=0.01, pause_max_s=0.02, resend_after_s=0.1
)
EAGER = Patience(attempt_s=30.0, pause_first_s=0.01, pause_max_s=0.05, look_s=0.05)
HURRIED = Patience(attempt_s=0.3, pause_first_s=0.01, pause_max_s=0.05, look_s=0.05)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with open_spool(tmp_path / "alder.db", ANCHOR.genesis_hash) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector(spool: Spool, tmp_path: Path, clock: Clock) -> Collector:
    signer = Signer(METER_KEY, METER, ANCHOR.genesis_hash, horizon_blocks=10)
    state = CollectorState("alder", facts=FACTS)
    return Collector(spool, signer, state, tmp_path / "alder.json", clock=clock)


def attempt(collector: Collector, *nodes: StandIn, patience: Patience = EAGER) -> bool:
    async def work() -> bool:
        async with serve(*nodes) as urls, open_client(urls, ANCHOR, QUICK) as client:
            return await Delivering(collector, client, patience).attempt()

    return asyncio.run(work())


def test_what_is_committed_is_counted_with_its_proof_and_who_was_reached(collector: Collector) -> None:
    collector.take(observe(1, 1_000_100))
    collector.take(observe(2, 1_000_200))
    assert attempt(collector, StandIn(Ledger()))
    state = collector.state
    assert (state.committed, state.waiting, state.oldest_waiting_s, state.network_problem) == (2, 0, None, "")
    assert state.reached is not None
    assert state.reached.name == "node0"
    assert state.last_proof is not None
    assert (state.last_proof.height, state.last_proof.reading_s) == (2, OPENING_S + 2 * SLOT_S)
    assert collector.facts.height == 2  # the next transaction is valid from there on


def test_without_a_network_the_state_says_why_and_everything_waits(collector: Collector) -> None:
    collector.take(observe(1, 1_000_100))
    assert not attempt(collector, StandIn(Ledger(), status=500), patience=HURRIED)
    assert collector.state.waiting == 1
    assert collector.state.oldest_waiting_s == OPENING_S + SLOT_S
    assert "no validator answered" in collector.state.network_problem


def test_a_proven_refusal_is_counted_by_the_ledgers_name(collector: Collector, spool: Spool) -> None:
    collector.take(observe(1, 1_000_100))
    ledger = Ledger()
    ledger.execute([Digest(spool.get_due(1)[0].transaction_id)], "READING_EXISTS")
    attempt(collector, StandIn(ledger))
    assert collector.state.refused == {"READING_EXISTS": 1}
    assert collector.state.waiting == 0


def test_a_reading_that_validators_with_slow_clocks_refuse_waits_and_is_taken_later(
    collector: Collector, spool: Spool
) -> None:
    collector.take(observe(1, 1_000_100))
    ledger = Ledger()
    ledger.execute([Digest(spool.get_due(1)[0].transaction_id)], "READING_OF_FUTURE")
    assert not attempt(collector, StandIn(ledger))
    assert collector.state.network_problem == "READING_OF_FUTURE: not taken for now"
    assert (collector.state.refused, collector.state.early, collector.state.waiting) == ({}, 1, 1)
    assert attempt(collector, StandIn(ledger))
    assert (collector.state.network_problem, collector.state.committed) == ("", 1)


def test_a_reading_of_the_collectors_own_future_is_refused_for_good(
    collector: Collector, spool: Spool, clock: Clock
) -> None:
    collector.take(observe(1, 1_000_100))
    clock.move_to(OPENING_S)
    ledger = Ledger()
    ledger.execute([Digest(spool.get_due(1)[0].transaction_id)], "READING_OF_FUTURE")
    assert attempt(collector, StandIn(ledger))
    assert (collector.state.refused, collector.state.waiting) == ({"READING_OF_FUTURE": 1}, 0)


def test_what_nobody_takes_is_told_and_counted_by_name_when_it_is_given_up(
    collector: Collector, spool: Spool
) -> None:
    collector.take(observe(1, 1_000_100))
    ledger = Ledger()
    attempt(collector, StandIn(ledger, refuse_all="READING_ABOVE_LIMIT"))
    assert collector.state.network_problem == "READING_ABOVE_LIMIT: not taken for now"
    assert attempt(collector, StandIn(ledger, certified_height=11))
    assert collector.state.refused == {"READING_ABOVE_LIMIT": 1}
    assert spool.count()[SpoolState.REFUSED] == 1


def test_what_is_spooled_while_it_rests_is_delivered_at_once(collector: Collector) -> None:
    patience = Patience(look_s=3600.0)

    async def work() -> None:
        async with (
            asyncio.timeout(30),
            serve(StandIn(Ledger())) as urls,
            open_client(urls, ANCHOR, QUICK) as client,
            asyncio.TaskGroup() as tasks,
        ):
            running = tasks.create_task(Delivering(collector, client, patience).run())
            for slot in (1, 2):
                collector.take(observe(slot, 1_000_000 + slot))
                await until(lambda slot=slot: collector.state.committed == slot, "it is committed")  # type: ignore[misc]
            running.cancel()

    asyncio.run(work())
