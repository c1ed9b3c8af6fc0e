"""Validators come and go by ballots while others crash, and nobody forks, forgets or stands still."""

import pytest

from consensus.effects import EpochStarted, Notice
from consensus.replica import describe_phase
from primitives.encoding import Struct
from tests.simulation.members import CHANGES, main, run_seed
from tests.simulation.world import Machine, World

LIMIT_MS = 60_000


def reach_epoch(world: World, epoch: int, members: list[int]) -> None:
    """Let time pass until every member works in an epoch and is up to date."""

    def is_there() -> bool:
        machines = [world.machines[index] for index in members]
        return all(
            m.is_alive and m.state.epoch == epoch and describe_phase(m.state) == "normal" for m in machines
        )

    world.run_until(is_there, LIMIT_MS)


def commit(world: World, members: list[int]) -> None:
    """Let a payment be committed by all members."""
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed, members), LIMIT_MS)


def test_four_become_seven_and_four_again_and_every_one_of_them_agrees() -> None:
    world = World(4, candidates=3)
    members = [0, 1, 2, 3]
    steps: list[tuple[Struct, int | None, int | None]] = [
        *((world.community.add(index), index, None) for index in (4, 5, 6)),
        *((world.community.remove(index), None, index) for index in (0, 5, 2)),
    ]
    for epoch, (change, added, removed) in enumerate(steps, 1):
        world.cast(change)
        members = [index for index in [*members, added] if index not in (None, removed)]
        reach_epoch(world, epoch, members)
        commit(world, members)
    assert members == [1, 3, 4, 6]
    assert {len(world.checker.memberships[epoch].replicas) for epoch in range(7)} == {4, 5, 6, 7}
    world.check()


def test_a_replaced_key_votes_in_the_old_place_and_the_old_one_no_more() -> None:
    world = World(4, candidates=1)
    world.cast(world.community.replace(1, by=4))
    reach_epoch(world, 1, [0, 4, 2, 3])
    world.community.take_over(1, by=4)
    assert describe_phase(world.machines[1].state) == "observing"
    world.kill(0)
    commit(world, [4, 2, 3])  # a quorum of four needs the new one's vote
    world.restart(0)
    world.cast(world.community.replace(4, by=1))
    world.run(3000)
    assert world.machines[0].state.epoch == 1, "a key that served an account once serves none again"


def test_a_member_that_slept_through_two_changes_wakes_up_in_the_present() -> None:
    world = World(5, candidates=2)
    world.kill(4)
    for epoch, index in enumerate((5, 6), 1):
        world.cast(world.community.add(index))
        reach_epoch(world, epoch, [0, 1, 2, 3])
    commit(world, [0, 1, 2, 3])
    world.restart(4)
    reach_epoch(world, 2, [0, 1, 2, 3, 4, 5, 6])
    commit(world, [0, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("victim", range(4))
def test_a_crash_of_all_at_the_boundary_leaves_nobody_in_another_epoch(victim: int) -> None:
    world = World(4, candidates=1, seed=victim)
    started: list[int] = []
    tell = world.note_notice

    def crash_when_the_first_begins(machine: Machine, notice: Notice) -> None:
        tell(machine, notice)
        if isinstance(notice, EpochStarted) and not started:
            started.append(machine.index)
            world.timeline.call(0, crash)

    def crash() -> None:
        for index in (*range(victim, 4), *range(victim)):
            if world.machines[index].is_alive:
                world.kill(index)
                world.restart(index)

    world.note_notice = crash_when_the_first_begins  # type: ignore[method-assign]
    world.cast(world.community.add(4))
    reach_epoch(world, 1, [0, 1, 2, 3, 4])
    assert started
    commit(world, [0, 1, 2, 3, 4])
    world.check()


def test_a_newcomer_finds_its_way_although_everybody_it_knew_has_left() -> None:
    world = World(4, candidates=5)
    members = [0, 1, 2, 3]
    for epoch, (old, new) in enumerate(((0, 4), (1, 5), (2, 6), (3, 7)), 1):
        world.cast(world.community.replace(old, by=new))
        members[old] = new
        reach_epoch(world, epoch, members)
        world.community.take_over(old, by=new)
        commit(world, members)
        world.kill(old)
    world.cast(world.community.add(8))
    reach_epoch(world, 5, [*members, 8])
    world.kill(4)
    commit(world, [5, 6, 7, 8])  # a quorum of five needs the newcomer's vote


FOUND = (1029, 1195)
"""Seeds in which a newcomer knew nobody but a silent liar, kept for ever."""


@pytest.mark.parametrize("seed", [*range(14), *FOUND])
def test_members_change_while_others_crash_and_lie_and_everybody_agrees_in_the_end(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.violation is None
    assert 3 <= outcome.epochs <= CHANGES


def test_a_wrong_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "7"]) == 2
    assert "half-open range" in capsys.readouterr().err
