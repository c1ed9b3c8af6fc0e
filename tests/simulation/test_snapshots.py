"""Old blocks are let go while the network runs; who slept, lost its disk or is new comes by a snapshot, lies or not."""

import pytest

from tests.simulation.lying import LyingServer
from tests.simulation.mutants.snapshot_scenes import SNAPSHOT_SCENES
from tests.simulation.returning import KEEP, LIMIT_MS, commit, fall_behind, is_following
from tests.simulation.world import World


def test_blocks_are_let_go_while_the_network_runs_and_nothing_else_changes() -> None:
    world = World(4, keep_blocks=KEEP)
    commit(world, [0, 1, 2, 3], 4 * KEEP)
    for machine in world.machines:
        chain = machine.get_chain()
        assert chain.get_height() - chain.get_pruned_height() <= KEEP + 2
    world.kill(2)
    world.restart(2)
    commit(world, [0, 1, 2, 3])
    world.check()


def test_who_slept_while_the_others_pruned_comes_back_by_a_snapshot_and_votes() -> None:
    world = World(4, keep_blocks=KEEP)
    others = fall_behind(world, 3)
    world.restart(3)
    world.run_until(lambda: is_following(world, 3), LIMIT_MS)
    assert world.hits["snapshot_installed"] == 1
    world.kill(others[0])
    commit(world, [*others[1:], 3])  # a quorum of four needs the returned one's vote
    world.check()


@pytest.mark.parametrize("seed", range(12))
def test_a_byzantine_server_never_gets_a_wrong_state_installed(seed: int) -> None:
    world = World(4, seed=seed, keep_blocks=KEEP)
    others = fall_behind(world, 3)
    liar = others[seed % 3]
    world.set_behaviour(liar, LyingServer())
    world.restart(3)
    honest = [index for index in others if index != liar]
    world.run_until(lambda: is_following(world, 3), 4 * LIMIT_MS)
    commit(world, [*honest, 3])
    assert world.hits["snapshot_installed"] >= 1
    world.check()


@pytest.mark.parametrize("operations", [0, 1, 2, 5, 9])
def test_a_crash_while_it_comes_back_only_delays_it(operations: int) -> None:
    world = World(4, seed=operations, keep_blocks=KEEP)
    others = fall_behind(world, 3)
    world.restart(3)
    world.crash_at(3, operations)
    world.run(3000)
    if not world.machines[3].is_alive:
        world.restart(3)
    world.run_until(lambda: is_following(world, 3), LIMIT_MS)
    commit(world, [*others, 3])
    world.check()


def test_a_new_member_begins_with_a_snapshot_of_an_epoch_that_its_genesis_does_not_know() -> None:
    world = World(4, candidates=2, keep_blocks=KEEP)
    members = [0, 1, 2, 3]
    world.kill(4)
    world.kill(5)
    for epoch, index in enumerate((4, 5), 1):
        world.cast(world.community.add(index))
        world.run_until(lambda epoch=epoch: world.machines[0].state.epoch == epoch, LIMIT_MS)  # type: ignore[misc]
        commit(world, members, 2 * KEEP)
    world.restart(4)
    world.restart(5)
    world.run_until(lambda: is_following(world, 4) and is_following(world, 5), LIMIT_MS)
    assert world.hits["snapshot_installed"] == 2
    assert world.machines[4].state.epoch == 2
    world.kill(0)
    commit(world, [1, 2, 3, 4, 5])
    world.check()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SNAPSHOT_SCENES)
def test_the_best_lies_fail_and_who_comes_back_is_right_in_the_end(name: str, seed: int) -> None:
    assert SNAPSHOT_SCENES[name](seed) is None
