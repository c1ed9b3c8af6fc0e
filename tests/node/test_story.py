"""The last lines of the transcript: what matters stays, what repeats is counted, what beats as a pulse is left out."""

from consensus.effects import (
    Broadcast,
    Deliver,
    Effect,
    EpochStarted,
    Report,
    StartTimer,
    StopTimer,
    TimerName,
    ViewChangeStarted,
)
from consensus.events import Overdue, Received, TimerFired
from consensus.messages import Certificate, Complaint, Handover, Status
from node.story import LINES_MAX, UNREAD_MAX, Story
from primitives.ids import Epoch, Height, Sequence, View
from tests.consensus.builders import Desk, batch_of, now, say
from tests.consensus.constitution import START_WALL_MS, build_membership

COMPLAINT = say(1, Complaint(0, 0))
STATUS = say(1, Status(0, 0, 0, 0))


def build() -> Story:
    return Story(build_membership(4))


def lines(story: Story) -> list[str]:
    return [each.line for each in story.get_lines()]


def test_an_event_and_its_effects_are_told_in_order_in_the_words_of_the_transcript() -> None:
    story = build()
    effects: list[Effect] = [
        Report(ViewChangeStarted(Epoch(0), View(1), "no new-view in time")),
        StartTimer(TimerName.VIEW_CHANGE, 7, 2000),
    ]
    story.tell(Overdue(now()), effects)
    assert lines(story) == [
        "overdue",
        "view_change_started view=1 reason=no new-view in time",
        "start_timer name=view_change delay_ms=2000",
    ]


def test_the_pulse_is_left_out() -> None:
    story = build()
    pulse: list[Effect] = [
        Broadcast(STATUS),
        StartTimer(TimerName.RESEND, 3, 400),
        StopTimer(TimerName.RESEND),
    ]
    story.tell(TimerFired(now(), TimerName.RESEND, 2), pulse)
    story.tell(Received(now(), STATUS), [])
    assert lines(story) == []


def test_a_line_that_comes_again_is_counted_and_moves_to_the_end_with_its_new_time() -> None:
    story = build()
    story.tell(Received(now(), COMPLAINT), [])
    story.tell(Overdue(now(100)), [])
    story.tell(Received(now(200), COMPLAINT), [])
    told = [(each.line, each.times, each.time_ms - START_WALL_MS) for each in story.get_lines()]
    assert told == [("overdue", 1, 100), ("received from=v1 complaint view=0", 2, 200)]


def test_beyond_its_bound_the_oldest_lines_go() -> None:
    story = build()
    batch = batch_of()
    for height in range(1, LINES_MAX + 11):
        story.tell(Overdue(now(20 * height)), [Deliver(Epoch(0), Sequence(height), Height(height), batch)])
    told = lines(story)
    assert len(told) == LINES_MAX
    assert f"deliver height={LINES_MAX + 10} sequence={LINES_MAX + 10} transactions=1" in told
    assert "deliver height=11 sequence=11 transactions=1" not in told


def test_of_a_busy_replica_the_end_is_kept_whatever_it_was_told_in_between() -> None:
    story = build()
    batch = batch_of()
    story.tell(Received(now(), COMPLAINT), [])
    assert lines(story) == ["received from=v1 complaint view=0"]
    for height in range(1, 10 * UNREAD_MAX + 1):
        story.tell(Overdue(now(height)), [Deliver(Epoch(0), Sequence(height), Height(height), batch)])
    told = lines(story)
    assert told[0] == "received from=v1 complaint view=0"
    assert [int(line.split()[1].removeprefix("height=")) for line in told if line.startswith("deliver")] == [
        *range(9 * UNREAD_MAX + 1, 10 * UNREAD_MAX + 1)
    ]


def test_what_comes_after_the_end_of_an_epoch_is_told_with_the_names_of_the_next() -> None:
    story = Story(build_membership(4))
    following = build_membership(5)
    handover = Handover(Certificate(Desk(1).header, ()), following.validators)
    story.tell(Overdue(now()), [Report(EpochStarted(following, handover))])
    story.tell(Received(now(1), say(4, Complaint(0, 0))), [])
    assert lines(story)[-1] == "received from=v4 complaint view=0"


def test_everything_a_replica_does_can_be_told() -> None:
    desk, story = Desk(2), build()
    for _ in range(2):
        event = Overdue(now())
        story.tell(event, desk.tell(event))
    assert lines(story) == ["overdue", "broadcast complaint view=0"]
