from consensus.effects import Deliver, StartTimer, TimerName, ViewChangeStarted
from consensus.events import Overdue, TimerFired
from consensus.messages import Commit, Complaint, NewView, Prepare, Status, ViewChange
from consensus.replica import START_GENERATION
from consensus.timers import COMPLAINT_PERIODS
from tests.consensus.builders import (
    Desk,
    batch_of,
    empty_new_view,
    found,
    now,
    pre_prepare,
    prepared,
    said,
    say,
)
from tests.simulation.network import Frame, Kind
from tests.simulation.world import World

BATCH = batch_of()
HUGE = 2**60


def test_one_replica_that_waits_complains_and_stays() -> None:
    desk = Desk(2)
    effects = desk.tell(Overdue(now()))
    assert said(effects, Complaint)
    assert not found(effects, ViewChangeStarted)


def test_f_plus_1_complaints_start_a_view_change() -> None:
    desk = Desk(2)
    desk.tell(Overdue(now()))
    effects = desk.hear(say(3, Complaint(0, 0)))
    assert said(effects, ViewChange) == [ViewChange(0, 1, None, ())]


def test_one_replica_that_complains_often_counts_once() -> None:
    desk = Desk(2)
    assert not any(found(desk.hear(say(3, Complaint(0, 0))), ViewChangeStarted) for _ in range(9))


def test_old_complaints_expire() -> None:
    desk = Desk(2)
    desk.tell(Overdue(now(0)))
    late = COMPLAINT_PERIODS * 500 + 1
    assert not found(desk.hear(say(3, Complaint(0, 0)), ms=late), ViewChangeStarted)


def test_complaints_of_another_view_do_not_count() -> None:
    desk = Desk(2)
    desk.tell(Overdue(now()))
    assert not found(desk.hear(say(3, Complaint(0, 1))), ViewChangeStarted)


def test_a_replica_that_left_counts_as_one_that_complains() -> None:
    desk = Desk(2)
    desk.hear(say(3, ViewChange(0, 1, None, ())))
    assert found(desk.tell(Overdue(now())), ViewChangeStarted)


def test_f_plus_1_view_changes_are_joined_at_the_view_that_a_correct_replica_reached() -> None:
    desk = Desk(2)
    desk.hear(say(0, ViewChange(0, HUGE, None, ())))
    effects = desk.hear(say(3, ViewChange(0, 7, None, ())))
    assert [message.view for message in said(effects, ViewChange)] == [7]  # type: ignore[union-attr]


def test_a_huge_view_again_and_again_moves_nobody() -> None:
    desk = Desk(2)
    for number in range(100):
        desk.hear(say(3, ViewChange(0, HUGE + number, None, ())))
        desk.hear(say(3, Complaint(0, HUGE + number)))
        desk.hear(say(3, Status(0, HUGE, HUGE, HUGE)))
        desk.hear(say((HUGE + number) % 4, NewView(0, HUGE + number, (), ())))
    state = desk.replica.view
    assert (state.view, state.active) == (0, True)
    assert len(state.view_changes) == 1


def test_a_view_change_names_what_was_prepared() -> None:
    desk = Desk(2)
    desk.hear(pre_prepare(BATCH), BATCH)
    desk.hear_votes(Prepare, BATCH, 1)
    desk.tell(Overdue(now()))
    effects = desk.hear(say(3, Complaint(0, 0)))
    (message,) = said(effects, ViewChange)
    assert isinstance(message, ViewChange)
    assert message.prepared == (prepared(BATCH),)


def test_nothing_is_voted_in_a_view_that_was_left() -> None:
    desk = Desk(2)
    desk.tell(Overdue(now()))
    desk.hear(say(3, Complaint(0, 0)))
    assert not said(desk.hear(pre_prepare(BATCH), BATCH), Prepare)
    assert not desk.hear(empty_new_view(0))


def test_the_new_view_has_its_time_from_the_moment_that_a_quorum_waits() -> None:
    desk = Desk(3)
    desk.hear(say(0, ViewChange(0, 1, None, ())))
    effects = desk.hear(say(2, ViewChange(0, 1, None, ())))
    timers = [each for each in found(effects, StartTimer) if isinstance(each, StartTimer)]
    assert [timer.delay_ms for timer in timers if timer.name is TimerName.VIEW_CHANGE] == [1000]


def test_the_time_out_doubles_up_to_its_cap_and_never_beyond() -> None:
    desk = Desk(3, view_timeout_ms=1000, view_timeout_max_ms=16_000)
    delays = []
    for view in range(1, 12):
        for sender in (0, 1, 2):
            desk.hear(say(sender, ViewChange(0, view, None, ())))
        if desk.replica.view.active:  # it leads this view itself
            desk.tell(Overdue(now()))
            continue
        generation = desk.replica.view.timers[TimerName.VIEW_CHANGE]
        started = [each for each in desk.effects if isinstance(each, StartTimer)]
        delays += [each.delay_ms for each in started if each.generation == generation]
    assert delays[0] == 1000
    assert max(delays) == 16_000
    assert sorted(delays) == delays


def test_a_new_view_that_does_not_come_in_time_is_given_up_for_the_next() -> None:
    desk = Desk(3)
    for sender in (0, 2):
        desk.hear(say(sender, ViewChange(0, 1, None, ())))
    generation = desk.replica.view.timers[TimerName.VIEW_CHANGE]
    assert desk.tell(TimerFired(now(1000), "view_change", generation - 1)) == []
    effects = desk.tell(TimerFired(now(1000), "view_change", generation))
    assert said(effects, ViewChange) == [ViewChange(0, 2, None, ())]


def test_the_own_view_change_is_repeated_while_its_new_view_is_missing() -> None:
    desk = Desk(3)
    for sender in (0, 2):
        desk.hear(say(sender, ViewChange(0, 1, None, ())))
    again = desk.tell(TimerFired(now(500), "resend", desk.replica.view.timers[TimerName.RESEND]))
    assert said(again, ViewChange) == [ViewChange(0, 1, None, ())]


def test_who_is_behind_is_given_the_new_view_once_a_period() -> None:
    desk = Desk(3)
    desk.hear(empty_new_view(1))
    assert said(desk.hear(say(2, Status(0, 0, 0, 0))), NewView)
    assert not said(desk.hear(say(2, ViewChange(0, 1, None, ()))), NewView)
    assert said(desk.hear(say(2, ViewChange(0, 1, None, ())), ms=500), NewView)


def test_a_timer_of_no_name_or_an_old_generation_is_ignored() -> None:
    desk = Desk(3)
    assert desk.tell(TimerFired(now(), "nothing", 1)) == []
    assert desk.tell(TimerFired(now(), "resend", START_GENERATION + 99)) == []


def test_an_executed_block_resets_the_time_out() -> None:
    desk = Desk(3)
    desk.hear(pre_prepare(BATCH), BATCH)
    desk.hear_votes(Prepare, BATCH, 1, 2)
    (deliver,) = found(desk.hear_votes(Commit, BATCH, 0, 1), Deliver)
    desk.replica.view.attempt = 5
    assert isinstance(deliver, Deliver)
    desk.execute(deliver)
    assert desk.replica.view.attempt == 0


def test_a_replica_that_waits_alone_in_the_next_view_is_joined_after_a_capped_time_out() -> None:
    world = World(4)
    before, meanwhile, afterwards = (world.community.grant(member) for member in range(3))
    world.submit(before)
    world.run_until(lambda: world.is_committed(before), 5_000)
    world.kill(0)

    def may_pass(_source: int, target: int, frame: Frame) -> bool:
        envelope = world.memory.decode(frame.payload) if frame.kind is Kind.MESSAGE else None
        return not (target == 3 and isinstance(getattr(envelope, "message", None), NewView))

    world.network.may_pass = may_pass
    world.submit(meanwhile)
    first = world.machines[1].state
    world.run_until(lambda: first.view == 1 and first.active, 10_000)
    world.restart(0)
    waiting = world.machines[3].state
    world.run_until(lambda: waiting.view == 2 and world.is_committed(meanwhile), 20_000)
    world.network.may_pass = None
    states = [machine.state for machine in world.machines]
    assert [(state.view, state.active) for state in states] == [(1, True), (1, True), (1, True), (2, False)]
    world.run_until(lambda: all(state.active and state.view >= 2 for state in states), 30_000)
    world.submit(afterwards)
    world.run_until(lambda: world.is_committed(afterwards), 5_000)
    world.check()
