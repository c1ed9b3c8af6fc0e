"""The world by hand: progress, crashes and restarts, cuts, torn disks."""

from random import Random

import pytest

from primitives.quorum import get_fault_tolerance
from tests.simulation.campaign import compute_progress_bound_ms
from tests.simulation.community import PARAMETERS
from tests.simulation.disk import JOURNAL
from tests.simulation.network import Weather
from tests.simulation.timeline import StuckError
from tests.simulation.world import World

SIZES = (4, 5, 6, 7, 10, 13)


@pytest.mark.parametrize("validators", SIZES)
def test_what_is_submitted_to_one_is_committed_by_all(validators: int) -> None:
    world = World(validators)
    sealed = [world.community.grant(member) for member in range(3)]
    for each in sealed:
        world.submit(each, to=[1])
    world.run_until(lambda: all(world.is_committed(each) for each in sealed), 2_000)
    world.run(500)
    world.check()


@pytest.mark.parametrize("validators", SIZES)
def test_a_dead_primary_is_replaced_and_comes_back(validators: int) -> None:
    world = World(validators)
    world.kill(0)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 6_000)
    assert all(machine.state.view >= 1 for machine in world.machines[1:])
    world.restart(0)
    world.run_until(lambda: world.is_committed(sealed) and world.machines[0].state.view >= 1, 5_000)
    world.check()


@pytest.mark.parametrize("validators", [4, 7, 10, 13])
def test_with_f_primaries_in_a_row_dead_progress_comes_within_the_bound(validators: int) -> None:
    world = World(validators)
    world.run(100)
    faulty = get_fault_tolerance(validators)
    for index in range(faulty):
        world.kill(index)
    sealed = world.community.grant(0)
    world.submit(sealed)
    took = world.run_until(lambda: world.is_committed(sealed), compute_progress_bound_ms(PARAMETERS, faulty))
    assert took > PARAMETERS.request_deadline_ms


def test_all_lose_power_together_and_go_on() -> None:
    world = World(4)
    before = world.community.grant(0)
    world.submit(before)
    world.run_until(lambda: world.is_committed(before), 2_000)
    for index in range(4):
        world.kill(index)
    for index in range(4):
        assert world.restart(index)
    assert world.is_committed(before)
    after = world.community.grant(1)
    world.submit(after)
    world.run_until(lambda: world.is_committed(after), 6_000)
    world.check()


def test_without_a_quorum_nothing_is_committed_and_with_it_everything_is() -> None:
    world = World(4)
    world.network.cut_between({0, 1}, {2, 3})
    sealed = world.community.grant(0)
    world.submit(sealed)
    with pytest.raises(StuckError):
        world.run_until(lambda: world.is_committed(sealed), 20_000)
    world.network.heal()
    world.run_until(lambda: world.is_committed(sealed), 16_000)
    world.check()


@pytest.mark.parametrize("operations", range(12))
def test_the_power_may_go_at_any_operation_of_a_disk(operations: int) -> None:
    world = World(4, seed=operations)
    world.crash_at(1, operations)
    for member in range(4):
        world.submit(world.community.grant(member))
        world.run(50)
    assert not world.machines[1].is_alive
    assert world.restart(1)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 6_000)
    world.check()


def test_a_failing_sync_stops_a_validator_before_it_speaks() -> None:
    world = World(4)
    world.machines[2].disk.fail_in = 0
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 3_000)
    assert not world.machines[2].is_alive
    world.machines[2].disk.fail_in = None
    assert world.restart(2)
    world.run_until(lambda: world.is_committed(sealed), 6_000)


def test_a_flipped_bit_of_the_journal_is_healed_or_refused() -> None:
    answers = set()
    for seed in range(20):
        world = World(4, seed)
        world.submit(world.community.grant(0))
        world.run(300)
        world.stop(3)
        files = world.machines[3].disk.files
        data = files.get(JOURNAL)
        assert data is not None
        files.flip(JOURNAL, Random(seed).randrange(len(data)), seed % 8)
        world.machines[3].is_damaged = True
        answers.add(world.restart(3))
        if not world.machines[3].is_alive:
            assert "JournalCorrupt" in str(world.machines[3].refused_start)
    assert answers == {True, False}


def test_a_lost_store_is_fetched_again_and_the_journal_still_binds() -> None:
    world = World(4)
    sealed = [world.community.grant(member) for member in range(4)]
    for each in sealed:
        world.submit(each)
        world.run(200)
    world.kill(1)
    world.machines[1].disk.replace_store()
    world.machines[1].is_damaged = True
    assert world.restart(1)
    world.run_until(lambda: all(world.is_committed(each) for each in sealed), 8_000)
    world.check()


def test_bad_weather_delays_and_splits_nothing() -> None:
    world = World(5, seed=3)
    world.network.weather = Weather(loss=0.3, doubling=0.1, straggling=0.1)
    sealed = [world.community.grant(member) for member in range(4)]
    for each in sealed:
        world.submit(each)
        world.run(700)
    world.network.heal()
    world.run_until(lambda: all(world.is_committed(each) for each in sealed), 20_000)
    world.check()
    assert world.hits["loss"]
    assert world.hits["doubling"]
    assert world.hits["reordering"]
