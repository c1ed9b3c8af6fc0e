"""A leader that waits for company ends its rest by itself: no look of the watch has to come by."""

import pytest

from node.batching import REST_MS_MAX
from primitives.ids import Height
from tests.simulation.process import Process
from tests.simulation.world import World


def test_a_rest_ends_by_its_own_timer_and_lasts_no_longer_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Process, "_plan_watch", lambda _: None)  # nobody looks
    world = World(4, is_started=False)
    world.worth_a_block = 128
    for machine in world.machines:
        world.restart(machine.index)
    for each in [world.community.grant(member) for member in (0, 1)]:
        world.submit(each)
    leader = world.machines[0]
    block_ms = world.run_until(lambda: leader.get_chain().get_height() == 1, 2_000)
    assert len(leader.get_chain().get_receipts(Height(1))) == 2
    late = world.community.grant(3)
    world.submit(late)
    batcher = leader.get_process().host._batcher
    rest_ms = world.run_until(lambda: not batcher.is_asked, 2_000)
    assert 0 < rest_ms <= REST_MS_MAX
    world.run_until(lambda: world.is_committed(late), block_ms + REST_MS_MAX)
    world.check()
