"""A primary that stays just under every time-out is deposed by its rate; one that is merely far away is not."""

import pytest

from consensus.messages import Envelope, PrePrepare
from tests.simulation.byzantine import Liar
from tests.simulation.network import Weather
from tests.simulation.world import World


class Lazy(Liar):
    """Proposes long after it could, and long before anybody's patience ends."""

    name = "lazy"

    def get_delay_ms(self, envelope: Envelope) -> int:
        return (
            self.world.parameters.request_deadline_ms // 2 if isinstance(envelope.message, PrePrepare) else 0
        )


def load(world: World, seconds: int) -> None:
    """Submit a payment five times a second."""
    for _ in range(5 * seconds):
        world.submit(world.community.grant(0, 1))
        world.run(200)


def get_views(world: World) -> set[int]:
    return {machine.state.view for machine in world.machines[1:]}


@pytest.mark.parametrize("validators", [4, 7])
def test_a_primary_just_under_the_time_out_is_deposed_by_its_rate(validators: int) -> None:
    world = World(validators)
    world.set_behaviour(0, Lazy())
    load(world, 10)
    assert min(get_views(world)) >= 1


@pytest.mark.parametrize("delay_ms", [1, 100, 250])
def test_an_honest_primary_stays_however_long_the_links_are(delay_ms: int) -> None:
    world = World(4)
    world.network.weather = Weather(delay_ms=delay_ms, jitter_ms=delay_ms // 2)
    load(world, 30)
    assert get_views(world) == {0}
