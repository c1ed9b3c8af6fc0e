"""The load is honest: what is due leaves, what stalls is charged, and every transaction has exactly one end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from benchmarks.adapters import open_adapter
from benchmarks.harness.load import LoadOrder, Outcome, Unit, run_load
from benchmarks.harness.session import compute_percentiles

UNITS = [Unit(number.to_bytes(2, "big"), bytes(8)) for number in range(60)]
ORDER = LoadOrder("none", [], "", rate=400.0, drain_s=0.2)


@dataclass
class System:
    """A system of our own making that confirms, refuses, loses and repeats as it is told."""

    refuse: frozenset[int] = frozenset()
    lose: frozenset[int] = frozenset()
    repeat: frozenset[int] = frozenset()
    stall_s: float = 0.0
    taken: list[int] = field(default_factory=list)
    ready: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        refused = {}
        for unit in units:
            number = int.from_bytes(unit.name, "big")
            self.taken.append(number)
            if number in self.refuse:
                refused[unit.name] = "FULL"
            elif number not in self.lose:
                for _ in range(2 if number in self.repeat else 1):
                    self.ready.put_nowait(unit.name)
        return Outcome(refused)

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        await asyncio.sleep(self.stall_s)
        while True:
            on_confirmed(await self.ready.get())


def test_every_transaction_leaves_once_and_has_one_end() -> None:
    system = System(refuse=frozenset({3, 4}), lose=frozenset({7}), repeat=frozenset({9}))
    result = asyncio.run(run_load(system, UNITS, ORDER))
    assert system.taken == list(range(60))
    assert (result.sent, result.confirmed, result.refused, result.lost) == (60, 57, 2, 1)
    assert (result.duplicated, result.refusals) == (1, {"FULL": 2})
    assert len(result.latencies_ms) == 57


def test_a_system_that_stalls_is_charged_for_all_that_was_due_meanwhile() -> None:
    result = asyncio.run(run_load(System(stall_s=0.3), UNITS, ORDER))
    assert result.confirmed == 60
    due_ms = [1000 * int(number / 2) * 2 / 400 for number in range(60)]
    assert all(latency >= 300 - due - 15 for latency, due in zip(result.latencies_ms, due_ms, strict=True))


def test_a_load_ends_when_all_is_heard_and_waits_no_longer() -> None:
    order = LoadOrder("none", [], "", rate=400.0, drain_s=3600.0)
    assert asyncio.run(asyncio.wait_for(run_load(System(), UNITS, order), 60)).lost == 0


def test_one_by_one_each_leaves_when_the_one_before_is_heard_of_or_was_waited_for_in_vain() -> None:
    class Single(System):
        """Takes one, and none while another waits to be confirmed."""

        async def submit(self, units: Sequence[Unit]) -> Outcome:
            assert len(units) == 1
            assert self.ready.empty()
            return await super().submit(units)

    system = Single(refuse=frozenset({3}), lose=frozenset({7}))
    order = LoadOrder("none", [], "", rate=1.0, drain_s=0.05, is_one_by_one=True)
    result = asyncio.run(run_load(system, UNITS, order))
    assert system.taken == list(range(60))
    assert (result.sent, result.confirmed, result.refused, result.lost) == (60, 58, 1, 1)


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(ValueError, match="no adapter 'other'"):
        open_adapter(LoadOrder("other", [], "", 1.0))


def test_percentiles_are_observed_values_and_there_are_none_of_nothing() -> None:
    found = compute_percentiles([float(number) for number in range(1, 201)])
    assert (found[0], found[50], found[99], found[100]) == (1.0, 100.0, 198.0, 200.0)
    assert compute_percentiles([7.0]) == [7.0] * 101
    assert compute_percentiles([]) == []
