"""Falling behind on a network that lets old blocks go, so that only a snapshot brings a validator back."""

from consensus.replica import describe_phase
from tests.simulation.world import World

KEEP = 4
LIMIT_MS = 120_000


def commit(world: World, among: list[int], count: int = 1) -> None:
    for _ in range(count):
        sealed = world.community.grant(0)
        world.submit(sealed, to=among)
        world.run_until(lambda sealed=sealed: world.is_committed(sealed, among), LIMIT_MS)  # type: ignore[misc]


def is_following(world: World, index: int) -> bool:
    machine = world.machines[index]
    return machine.is_alive and describe_phase(machine.state) == "normal"


def fall_behind(world: World, sleeper: int) -> list[int]:
    """Let the others commit and prune beyond what one knows; return the others."""
    others = [index for index in range(world.size) if index != sleeper]
    commit(world, [*others, sleeper])
    world.kill(sleeper)
    commit(world, others, 3 * KEEP)
    pruned = [world.machines[index].get_chain().get_pruned_height() for index in others]
    assert min(pruned) > world.machines[sleeper].get_chain().get_height()
    return others
