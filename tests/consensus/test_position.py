"""What is shown of a replica is what it knows, by name: from real replicas that were told real messages."""

from consensus import messages  # by way of the module: pytest takes a name that begins with Test for tests
from consensus.codec import NONCE_BYTES
from consensus.effects import TimerName
from consensus.messages import Commit, Complaint, Prepare, ViewChange
from consensus.position import OPEN_SHOWN_MAX, Position, Quiet, describe_position
from consensus.replica import Replica
from consensus.window import WINDOW
from tests.consensus.builders import Desk, batch_of, empty_new_view, name, now, pre_prepare, say
from tests.consensus.constitution import START_WALL_MS, build_first_header, build_settings
from tests.simulation.world import World

BATCH = batch_of()
DRIFT_MS = 2_000


def look(desk: Desk, ms: int = 0, **timers_ms: int) -> Position:
    return describe_position(
        desk.replica.view, now(ms), {TimerName(name): left for name, left in timers_ms.items()}
    )


def test_a_new_replica_stands_at_genesis_in_view_0_with_the_whole_window_open() -> None:
    position = look(Desk(1), resend=300)
    assert (position.name, position.primary, position.next_primary) == ("v1", "v0", "v1")
    assert (position.epoch, position.view, position.active, position.phase) == (0, 0, True, "normal")
    assert (position.sequence, position.low_watermark, position.high_watermark) == (0, 0, WINDOW)
    assert (position.executed_height, position.certified_height, position.claimed_height) == (0, 0, 0)
    assert (position.quorum, position.weak_quorum, position.validators) == (3, 2, ("v0", "v1", "v2", "v3"))
    assert (position.open, position.view_changes, position.complaints) == ((), {}, ())
    assert position.timers_ms == {"resend": 300}


def test_a_timer_that_the_replica_stopped_is_not_shown_whatever_its_host_remembers() -> None:
    assert look(Desk(1), resend=300, progress=50, view_change=9).timers_ms == {"resend": 300}


def test_an_open_sequence_names_who_prepared_and_who_committed_the_primary_among_them() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    (proposed,) = look(desk).open
    assert (proposed.sequence, proposed.stage, proposed.transactions) == (1, "proposed", 1)
    assert (proposed.prepared, proposed.committed) == (("v0", "v1"), ())
    desk.hear_votes(Prepare, BATCH, 3)
    (prepared,) = look(desk).open
    assert (prepared.stage, prepared.prepared, prepared.committed) == (
        "prepared",
        ("v0", "v1", "v3"),
        ("v1",),
    )
    desk.hear_votes(Commit, BATCH, 2, 3)
    (committed,) = look(desk).open
    assert (committed.stage, committed.committed) == ("committed", ("v1", "v2", "v3"))
    assert look(desk).executing


def test_votes_for_another_digest_are_not_counted() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    desk.hear_votes(Prepare, batch_of(b"another"), 2, 3)
    assert look(desk).open[0].prepared == ("v0", "v1")


def test_votes_without_their_proposal_are_shown_as_unproposed() -> None:
    desk = Desk(1)
    desk.hear_votes(Prepare, BATCH, 2, 3)
    (each,) = look(desk).open
    assert (each.stage, each.digest, each.prepared) == ("unproposed", "", ("v2", "v3"))


def test_what_was_executed_is_not_open_any_more() -> None:
    world = World(4)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: min(machine.state.executed.height for machine in world.machines) == 1, 2_000)
    position = describe_position(world.machines[1].state, now(), {})
    assert (position.executed_height, position.sequence, position.open) == (1, 1, ())


def test_a_held_batch_says_how_far_beyond_the_accepted_time_it_is_dated() -> None:
    desk = Desk(1)
    ahead = batch_of(time_ms=START_WALL_MS + DRIFT_MS + 500)
    desk.hear(pre_prepare(ahead), ahead)
    (held,) = look(desk).open
    assert (held.stage, held.ahead_ms) == ("held", 500)
    assert look(desk, ms=400).open[0].ahead_ms == 100


def test_complaints_are_shown_while_they_count() -> None:
    desk = Desk(1)
    desk.hear(say(2, Complaint(0, 0)))
    assert look(desk).complaints == ("v2",)
    assert look(desk, ms=4 * desk.settings.resend_ms).complaints == ("v2",)
    assert look(desk, ms=4 * desk.settings.resend_ms + 1).complaints == ()


def test_a_view_change_shows_who_left_for_which_view_and_the_doubling_capped_time_of_the_attempts() -> None:
    desk = Desk(0)
    desk.hear(say(2, ViewChange(0, 1, None, ())))
    assert look(desk).view_changes == {"v2": 1}
    times = []
    for attempt, view in enumerate(
        (1, 2, 3, 5, 6, 7), start=1
    ):  # view 4 is led by this replica, which begins it
        for sender in (2, 3):
            desk.hear(say(sender, ViewChange(0, view, None, ())))
        position = look(desk, view_change=700)
        assert (position.view, position.active, position.phase) == (view, False, "view_change")
        assert position.attempt == attempt
        assert position.view_changes == {"v0": view, "v2": view, "v3": view}
        times.append((position.timeout_ms, position.next_timeout_ms))
    assert times == [
        (1000, 2000),
        (2000, 4000),
        (4000, 8000),
        (8000, 16_000),
        (16_000, 16_000),
        (16_000, 16_000),
    ]


def test_view_changes_of_earlier_views_are_not_shown() -> None:
    desk = Desk(3)
    desk.hear(say(2, ViewChange(0, 1, None, ())))
    desk.hear(empty_new_view(1))
    assert look(desk).view == 1
    assert look(desk).view_changes == {}


def test_a_replica_that_asks_what_it_signed_says_whose_answers_have_come_and_how_many_it_needs() -> None:
    asking = Replica(build_settings(4, 1), build_first_header(), None, nonce=b"n" * NONCE_BYTES)
    desk = Desk(1, asking)
    desk.hear(say(2, messages.Testimony(0, name(1), b"n" * NONCE_BYTES, None, ())))
    position = look(desk)
    assert position.phase == "silent"
    assert position.silence == Quiet(("v2",), 2, None)
    desk.hear(say(3, messages.Testimony(0, name(1), b"n" * NONCE_BYTES, None, ())))
    assert (look(desk).phase, look(desk).silence) == ("normal", None)


def test_its_own_name_is_given_to_a_replica_that_is_no_validator() -> None:
    assert describe_position(Desk(1).replica.view, now(), {}, "node9").name == "node9"


def test_a_flood_of_open_sequences_is_shown_from_the_lowest_and_not_beyond_the_bound() -> None:
    desk = Desk(1)
    for sequence in range(1, 2 * OPEN_SHOWN_MAX):
        desk.hear_votes(Prepare, BATCH, 2, sequence=sequence)
    assert [each.sequence for each in look(desk).open] == list(range(1, OPEN_SHOWN_MAX + 1))
