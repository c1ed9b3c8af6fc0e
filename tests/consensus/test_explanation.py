"""Each reason why a replica commits nothing, told from what it knows: who is missing, what comes next, what to do."""

from dataclasses import replace

import pytest
from msgspec import structs

from consensus.effects import Effect, StartTimer, TimerName
from consensus.events import Event
from consensus.explanation import (
    NOTHING_LOST,
    Cause,
    Contact,
    Explanation,
    Surroundings,
    explain,
    tell_duration,
)
from consensus.position import OpenSequence, Position, Quiet, describe_position
from tests.simulation.community import PARAMETERS
from tests.simulation.world import World

NAMES = ("node0", "node1", "node2", "node3")
IDLE = Position(
    name="node3",
    validators=NAMES,
    quorum=3,
    weak_quorum=2,
    epoch=0,
    view=0,
    active=True,
    phase="normal",
    primary="node0",
    next_primary="node1",
    attempt=0,
    sequence=5,
    low_watermark=5,
    high_watermark=69,
    executed_height=5,
    certified_height=5,
    claimed_height=5,
    executing=False,
    open=(),
    view_changes={},
    complaints=(),
    timers_ms={"resend": 120},
    timeout_ms=1000,
    next_timeout_ms=1000,
)
LINKED = tuple(
    Contact(name, is_linked=True, since_ms=60_000, heard_ms=100, voted_ms=100) for name in NAMES[:3]
)
CALM = Surroundings(
    contacts=LINKED, pending=0, waited_ms=0, silence_ms=25_000, silent_ms=3_000, patience_ms=2_000
)
LATE = replace(CALM, pending=3, waited_ms=9_000, silence_ms=25_000)
CHANGING = replace(
    IDLE,
    view=1,
    active=False,
    phase="view_change",
    primary="node1",
    next_primary="node2",
    attempt=1,
    view_changes={"node1": 1, "node2": 1, "node3": 1},
    timers_ms={"view_change": 400},
    timeout_ms=1000,
    next_timeout_ms=2000,
)


def without(*gone: str, error: str = "connection refused", around: Surroundings = CALM) -> Surroundings:
    """Return surroundings in which some validators have been away for four seconds."""
    contacts = tuple(
        Contact(each.name, is_linked=False, since_ms=4_000, heard_ms=4_300, voted_ms=9_000, error=error)
        if each.name in gone
        else each
        for each in around.contacts
    )
    return replace(around, contacts=contacts)


def silent(*names: str, silence_ms: int, around: Surroundings = CALM) -> Surroundings:
    """Return surroundings in which some validators are linked and say nothing."""
    contacts = tuple(
        replace(each, heard_ms=silence_ms) if each.name in names else each for each in around.contacts
    )
    return replace(around, contacts=contacts)


def is_calm(explanation: Explanation) -> bool:
    return (explanation.cause, explanation.summary, explanation.advice) == (Cause.NONE, None, "")


def test_an_idle_network_is_no_stall_however_old_its_last_block() -> None:
    told = explain(IDLE, CALM)
    assert is_calm(told)
    assert (
        told.story[-1] == "Nothing is wrong: it waits for something to order; the last block came 25 s ago."
    )


def test_what_came_just_now_is_on_its_way_however_old_the_last_block() -> None:
    told = explain(IDLE, replace(CALM, pending=1, waited_ms=1_999))
    assert is_calm(told)
    assert told.story[-1] == "Nothing is wrong: what waits is on its way."


def test_what_waits_long_while_blocks_come_is_no_stall() -> None:
    assert is_calm(explain(IDLE, replace(LATE, silence_ms=300)))


def test_one_missing_validator_of_four_stops_nothing_and_is_told_in_the_story() -> None:
    told = explain(IDLE, without("node1"))
    assert is_calm(told)
    assert [each.name for each in told.missing] == ["node1"]
    assert "Missing is node1 (for 4.3 s, heard 4.3 s ago: connection refused)." in told.story


def test_without_a_quorum_it_says_who_is_missing_since_when_why_and_how_many_must_come_back() -> None:
    told = explain(IDLE, without("node1", "node2"))
    assert told.cause is Cause.QUORUM_MISSING
    assert told.headline == "only 2 of 4 validators are connected and 3 are needed"
    assert [(each.name, each.for_ms, each.reason) for each in told.missing] == [
        ("node1", 4_300, "connection refused"),
        ("node2", 4_300, "connection refused"),
    ]
    assert told.advice.startswith("bring 1 of them back: node1, node2: read the last line of its log")
    assert told.summary is not None
    assert told.summary.endswith(NOTHING_LOST)


def test_of_very_many_missing_validators_the_one_sentence_names_the_first_and_counts_the_others() -> None:
    names = tuple(f"node{index}" for index in range(80))
    gone = tuple(
        Contact(name, is_linked=False, since_ms=1_000, error="connection refused") for name in names[1:]
    )
    large = replace(IDLE, name="node0", validators=names, quorum=54, weak_quorum=27)
    told = explain(large, replace(CALM, contacts=gone))
    assert len(told.missing) == 79
    assert told.summary is not None
    assert "node8 (for 1.0 s: connection refused), 71 more;" in told.summary


def test_the_last_one_of_four_needs_two_others_back() -> None:
    told = explain(IDLE, without("node0", "node1", "node2"))
    assert told.headline == "only 1 of 4 validators are connected and 3 are needed"
    assert told.advice.startswith("bring 2 of them back: ")
    assert "It hears 0 of the 3 others." in told.story


def test_a_linked_validator_that_says_nothing_is_missing_too() -> None:
    told = explain(IDLE, silent("node0", "node1", silence_ms=3_001))
    assert told.cause is Cause.QUORUM_MISSING
    assert [(each.name, each.for_ms, each.is_linked) for each in told.missing] == [
        ("node0", 3_001, True),
        ("node1", 3_001, True),
    ]
    assert "is the process frozen" in told.advice
    assert is_calm(explain(IDLE, silent("node0", "node1", silence_ms=3_000)))


def test_a_link_that_has_just_come_up_is_given_time_to_speak() -> None:
    fresh = tuple(replace(each, since_ms=500, heard_ms=90_000) for each in LINKED)
    assert explain(IDLE, replace(CALM, contacts=fresh)).missing == ()
    never = tuple(replace(each, since_ms=3_500, heard_ms=None, voted_ms=None) for each in LINKED)
    assert [each.heard_ms for each in explain(IDLE, replace(CALM, contacts=never)).missing] == [None] * 3


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("connection refused", "read the last line of its log, mend what it says (a full disk?)"),
        ("the peer closed the link", "read the last line of its log"),
        (
            "no answer to a ping",
            "check that its machine runs, that its process is not frozen, and that the network reaches",
        ),
        ("the peer runs another genesis: abcd", "compare its genesis.bin and keys with yours"),
        ("banned for 40 s more: a forged message", "it sent what no correct validator sends"),
    ],
)
def test_what_to_do_about_a_missing_validator_follows_from_why_it_is(error: str, advice: str) -> None:
    assert f"node1, node2: {advice}" in explain(IDLE, without("node1", "node2", error=error)).advice


def test_a_view_change_names_view_primary_attempt_and_the_next_attempt_in_seconds() -> None:
    told = explain(CHANGING, without("node0"))
    assert told.cause is Cause.VIEW_CHANGE
    assert told.headline == (
        "the validators change to view 1, led by node1 (attempt 1); if it does not begin, the next attempt, led by"
        " node2, follows in 0.4 s and has 2.0 s"
    )
    assert told.outlook == (
        "view 1, led by node1, attempt 1 of 1.0 s; the next attempt follows in 0.4 s and has 2.0 s"
        " (view 2, led by node2)"
    )
    assert (told.attempt, told.next_attempt_ms, told.next_primary) == (1, 400, "node2")


def test_a_view_whose_next_primary_is_missing_too_says_so_and_the_doubled_time_of_the_next_attempt() -> None:
    third = replace(
        CHANGING, attempt=5, timers_ms={"view_change": 12_000}, timeout_ms=16_000, next_timeout_ms=16_000
    )
    told = explain(third, without("node1"))
    assert "led by node1, who is missing (attempt 5)" in told.headline
    assert "follows in 12 s and has 16 s" in told.headline
    assert told.advice.startswith("wait; node1: read the last line of its log")


def test_a_view_change_that_waits_for_a_quorum_says_who_has_not_left_yet_and_when_it_is_tried_again() -> None:
    waiting = replace(CHANGING, view_changes={"node2": 1, "node3": 1, "node1": 0}, timers_ms={"resend": 350})
    told = explain(waiting, CALM)
    assert told.next_attempt_ms == 350
    assert told.headline.endswith(
        "2 of the 3 validators that it needs wait for it (node2, node3), not yet node0, node1;"
        " it is tried again in 0.3 s"
    )
    assert told.outlook.endswith("; tried again in 0.3 s, it begins when 3 validators wait for it")
    assert explain(replace(waiting, timers_ms={}), CALM).next_attempt_ms is None


def test_a_missing_quorum_explains_a_view_change_and_the_story_still_tells_the_attempt() -> None:
    waiting = replace(CHANGING, view_changes={"node3": 1}, timers_ms={})
    told = explain(waiting, without("node0", "node1"))
    assert told.cause is Cause.QUORUM_MISSING
    assert any(
        line.startswith("It works in view 1, led by node1, attempt 1 of 1.0 s;") for line in told.story
    )


def test_a_validator_that_catches_up_says_how_far_and_that_nothing_is_to_be_done() -> None:
    told = explain(replace(IDLE, phase="catching_up", claimed_height=90), LATE)
    assert told.headline == "this validator fetches blocks that it missed (it has block 5, others have 90)"
    assert told.advice == "wait; it votes again by itself when it is up to date"


def test_a_silent_validator_says_how_many_answers_it_waits_for_or_which_certificate() -> None:
    asking = replace(IDLE, phase="silent", silence=Quiet(("node1",), 2, None))
    assert explain(asking, CALM).headline == (
        "this validator does not vote before it knows what its key has signed:"
        " 1 of the 2 answers that it needs have come"
    )
    silenced = replace(IDLE, phase="silent", silence=Quiet(("node0", "node1", "node2"), 3, 261))
    told = explain(silenced, CALM)
    assert told.headline == (
        "the key of this validator has signed more than its journal holds: it does not vote until sequence 261 has its"
        " certificate; the last one that has is 5"
    )
    assert "if a copy of its home runs somewhere else, stop that one for good" in told.advice


def test_who_is_not_among_the_validators_follows_them_and_that_is_no_stall() -> None:
    observing = replace(IDLE, name="node9", phase="observing")
    told = explain(observing, CALM)
    assert is_calm(told)
    assert "It is not among the validators of this epoch: it follows them and does not vote." in told.story
    assert explain(observing, without("node0", "node1")).cause is Cause.QUORUM_MISSING


def test_a_halted_validator_comes_before_everything_else() -> None:
    told = explain(replace(IDLE, phase="halted"), without("node0", "node1", "node2"))
    assert told.cause is Cause.HALTED
    assert "keep data/journal" in told.advice


def test_a_phase_that_has_no_sentence_of_its_own_is_named() -> None:
    told = explain(replace(IDLE, phase="in_a_new_phase"), CALM)
    assert told.cause is Cause.PHASE
    assert told.headline == "this validator is in a new phase and does not vote"


def test_a_batch_from_the_future_names_both_clocks() -> None:
    held = OpenSequence(sequence=6, stage="held", ahead_ms=58_000)
    told = explain(replace(IDLE, open=(held,)), CALM)
    assert told.cause is Cause.CLOCK
    assert told.headline == (
        "the batch of node0, who leads, is dated 58 s beyond what this validator's clock allows"
    )
    assert told.advice == "set the clocks of node0 and of node3 (timedatectl)"


def test_a_batch_ahead_of_its_turn_is_no_fault_of_a_clock() -> None:
    held = OpenSequence(sequence=7, stage="held")
    assert explain(replace(IDLE, open=(held,)), LATE).cause is Cause.PRIMARY_SILENT


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("unproposed", "sequence 6 has votes, but the proposal of node0 has not come, for 25 s"),
        ("fetching", "sequence 6 waits for its batch, which is asked of the others, for 25 s"),
        (
            "proposed",
            "sequence 6 has been prepared by 2 of the 3 it needs; not by node1, node2, for 25 s",
        ),
        (
            "prepared",
            "sequence 6 is prepared and has been committed by 2 of the 3 it needs; not by node0, node1, for 25 s",
        ),
    ],
)
def test_an_open_sequence_says_whose_votes_are_missing(stage: str, said: str) -> None:
    each = OpenSequence(6, stage, "abcd", 3, prepared=("node0", "node3"), committed=("node2", "node3"))
    told = explain(replace(IDLE, open=(each,)), LATE)
    assert told.cause is Cause.VOTES_MISSING
    assert told.headline == said


def test_a_primary_that_proposes_nothing_is_named_with_the_complaints_that_depose_it() -> None:
    told = explain(replace(IDLE, complaints=("node3",)), LATE)
    assert told.cause is Cause.PRIMARY_SILENT
    assert told.headline == "node0, who leads, has made no block for 25 s although something waits"
    assert told.advice == "wait, the primary is replaced by itself"
    assert "Of node0 complain node3; 2 complaints start a view change." in told.story
    assert told.outlook == (
        "view 0, led by node0; what is open is said again in 0.1 s; 1 of the 2 complaints that change it to"
        " view 1, led by node1"
    )


def test_a_block_that_is_still_executed_is_no_fault_of_the_primary() -> None:
    told = explain(replace(IDLE, executing=True), LATE)
    assert told.headline == "block 6 has been executing for 25 s"


def test_every_cause_but_none_has_a_summary_with_what_to_do_and_that_nothing_is_lost() -> None:
    held = (OpenSequence(6, "held", ahead_ms=1),)
    proposed = (OpenSequence(6, "proposed"),)
    told = [
        explain(replace(IDLE, phase="halted"), CALM),
        explain(replace(IDLE, phase="abstaining"), CALM),
        explain(IDLE, without("node0", "node1")),
        explain(replace(IDLE, phase="catching_up"), CALM),
        explain(replace(IDLE, phase="silent"), CALM),
        explain(CHANGING, CALM),
        explain(replace(IDLE, open=held), CALM),
        explain(replace(IDLE, executing=True), LATE),
        explain(replace(IDLE, open=proposed), LATE),
        explain(IDLE, LATE),
    ]
    assert {each.cause for each in told} == set(Cause) - {Cause.NONE}
    for each in told:
        assert each.summary is not None
        assert each.advice in each.summary
        assert each.headline in each.summary
        assert NOTHING_LOST in each.summary
        assert each.story[-2] == f"What to do: {each.advice}."


@pytest.mark.parametrize(
    ("duration_ms", "said"),
    [
        (0, "0.0 s"),
        (3_250, "3.2 s"),
        (10_000, "10 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_200_000, "2 h"),
    ],
)
def test_a_duration_is_told_as_a_person_says_it(duration_ms: int, said: str) -> None:
    assert tell_duration(duration_ms) == said


def test_with_one_primary_after_the_other_missing_the_time_of_an_attempt_doubles_and_ends_at_16_s() -> None:
    world = World(16, parameters=structs.replace(PARAMETERS, view_timeout_max_ms=16_000))
    due_ms: dict[TimerName, int] = {}
    told: dict[int, tuple[str, int, str]] = {}

    def watch(now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
        if index != 15:
            return
        for effect in effects:
            if isinstance(effect, StartTimer):
                due_ms[effect.name] = now_ms + effect.delay_ms
        left = {name: due - now_ms for name, due in due_ms.items()}
        position = describe_position(world.machines[15].state, event.now, left)
        if position.timers_ms.get("view_change") == position.timeout_ms:
            found = explain(position, CALM)
            told[found.attempt] = (position.primary, found.next_attempt_ms or 0, found.next_primary)

    world.run(100)
    world.told = watch
    for primary in range(5):
        world.kill(primary)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 60_000)
    assert told == {
        1: ("v1", 1_000, "v2"),
        2: ("v2", 2_000, "v3"),
        3: ("v3", 4_000, "v4"),
        4: ("v4", 8_000, "v5"),
        5: ("v5", 16_000, "v6"),
    }
