"""How a validator packs its blocks is its own matter: the others agree to what it proposes."""

from node.packing import Packing
from tests.simulation.world import World


def test_validators_that_pack_differently_agree_whoever_leads() -> None:
    world = World(4, is_started=False)
    for machine, packing in zip(world.machines, Packing, strict=True):
        machine.packing = packing
        world.restart(machine.index)
    for leader in range(4):
        assert {machine.state.view for machine in world.machines} == {leader}
        sealed = [world.community.grant(member) for member in (0, 1, 0, 2, 0)]
        for each in sealed:
            world.submit(each)
        world.run_until(lambda sent=sealed: all(map(world.is_committed, sent)), 2_000)  # type: ignore[misc]
        world.kill(leader)
        lost = world.community.grant(3)
        world.submit(lost)
        world.run_until(lambda sent=lost: world.is_committed(sent), 6_000)  # type: ignore[misc]
        world.restart(leader)
        world.run(2_000)
    world.check()
