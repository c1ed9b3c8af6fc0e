"""Faults and coming back, on one real network: what was sent stands in the chain once, and who was away follows."""

import asyncio

import pytest

from benchmarks.catch_up import Away, be_away
from benchmarks.faults import FaultRun, break_and_look
from benchmarks.harness.session import open_session

RATE = 40.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_primary_loses_and_doubles_nothing_and_who_was_away_comes_back() -> None:
    async def run() -> tuple[FaultRun, Away]:
        async with open_session(4, 5) as session:
            fault = await break_and_look(session, "primary", RATE, 1.0, 0.3)
            return fault, await be_away(session, RATE, 0.5)

    fault, away = asyncio.run(run())
    assert len(fault.killed) == 1
    assert fault.applied == fault.result.confirmed == fault.result.sent == RATE
    assert (fault.missing, fault.twice, fault.result.lost, fault.same_state) == (0, 0, 0, True)
    assert fault.views >= 1
    assert away.blocks >= 1
    assert away.transactions == RATE / 2
