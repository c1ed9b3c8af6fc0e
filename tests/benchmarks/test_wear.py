"""The benchmark of what a validator writes, on a real network that is small and idle for a moment."""

import asyncio

import pytest

from benchmarks import wear


@pytest.mark.slow
def test_a_slot_is_written_and_a_day_is_made_of_its_slots_and_of_idle_time() -> None:
    found = asyncio.run(wear.measure(3, idle_s=0.5))
    slots = found["bytes_per_slot"]
    assert isinstance(slots, list)
    assert len(slots) == wear.BURSTS
    assert min(slots) > 0
    assert float(str(found["readings_mb_per_day"])) > float(str(found["idle_mb_per_day"]))
