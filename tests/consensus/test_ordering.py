import pytest

from consensus.effects import (
    Broadcast,
    Deliver,
    Equivocation,
    Persist,
    PreparedRecord,
    Refused,
    WantBatch,
)
from consensus.events import Now, Proposed, Received, TimerFired
from consensus.messages import Commit, Prepare, PrePrepare, Proposal
from consensus.replica import START_GENERATION, Replica
from consensus.window import WINDOW
from primitives.ids import Epoch, MonotonicMs, Sequence, UnixMs, View
from tests.consensus.builders import (
    NULL,
    Desk,
    batch_of,
    digest_of,
    empty_new_view,
    found,
    now,
    pre_prepare,
    said,
    say,
)
from tests.consensus.constitution import START_WALL_MS, build_first_header, build_settings

BATCH = batch_of()
OTHER = batch_of(b"something else")


def agree(desk: Desk, sequence: int = 1) -> list[object]:
    """Let a backup hear everything that commits one batch."""
    batch = batch_of(b"batch %d" % sequence)
    effects = desk.hear(pre_prepare(batch, sequence), batch)
    effects += desk.hear_votes(Prepare, batch, 2, 3, sequence=sequence)
    effects += desk.hear_votes(Commit, batch, 0, 2, sequence=sequence)
    return list(effects)


def test_a_backup_prepares_a_fresh_proposal_after_it_is_durable() -> None:
    effects = Desk(1).hear(pre_prepare(BATCH), BATCH)
    assert said(effects, Prepare) == [Prepare(0, 0, 1, digest_of(BATCH))]
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Persist) < kinds.index(Broadcast)


def test_prepared_is_durable_before_the_commit_leaves_and_a_quorum_of_commits_delivers() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    assert said(desk.hear_votes(Prepare, BATCH, 2), Commit) == [Commit(0, 0, 1, digest_of(BATCH))]
    records = [effect.record for effect in desk.effects if isinstance(effect, Persist)]
    assert any(isinstance(record, PreparedRecord) for record in records)
    assert not found(desk.hear_votes(Commit, BATCH, 0), Deliver)
    assert found(desk.hear_votes(Commit, BATCH, 2), Deliver)


def test_votes_before_the_proposal_count() -> None:
    desk = Desk(1)
    desk.hear_votes(Prepare, BATCH, 2, 3)
    desk.hear_votes(Commit, BATCH, 2, 3)
    assert found(desk.hear(pre_prepare(BATCH), BATCH), Deliver)


def test_votes_for_another_digest_do_not_count() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    assert not said(desk.hear_votes(Prepare, OTHER, 2, 3), Commit)


@pytest.mark.parametrize(("kind", "first", "late"), [(Prepare, (2,), 3), (Commit, (0, 2), 3)])
def test_a_vote_beyond_the_quorum_is_not_worth_a_check_unless_it_names_another_digest(
    kind: type, first: tuple[int, ...], late: int
) -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    if kind is Commit:
        desk.hear_votes(Prepare, BATCH, 2)
    vote = say(late, kind(0, 0, 1, digest_of(BATCH)))
    *before, last = first
    desk.hear_votes(kind, BATCH, *before)
    assert desk.replica.is_wanted(vote)
    desk.hear_votes(kind, BATCH, last)
    assert not desk.replica.is_wanted(vote)
    assert desk.replica.is_wanted(say(late, kind(0, 0, 1, digest_of(OTHER))))
    assert desk.hear(vote) == []


def test_a_second_digest_is_reported_and_never_voted_for() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    effects = desk.hear(pre_prepare(OTHER), OTHER)
    assert found(effects, Equivocation)
    assert not said(effects, Prepare)
    assert not said(desk.hear_votes(Prepare, OTHER, 2, 3), Commit)


def test_contradictions_of_one_replica_are_reported_a_bounded_number_of_times() -> None:
    desk = Desk(1)
    reports = [desk.hear(say(2, Prepare(0, 0, 1, bytes([n]) * 32))) for n in range(100)]
    assert sum(len(found(effects, Equivocation)) for effects in reports) == 16


def test_a_repeated_proposal_is_ignored() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    assert desk.hear(pre_prepare(BATCH), BATCH) == []


def test_only_the_primary_proposes() -> None:
    batch = batch_of(proposer=2)
    proposal = Proposal(0, 0, 1, digest_of(batch))
    assert not said(Desk(1).hear(say(2, PrePrepare(proposal, batch.header)), batch), Prepare)


def test_the_primary_must_have_built_a_fresh_batch_itself() -> None:
    batch = batch_of(proposer=2)
    effects = Desk(1).hear(pre_prepare(batch), batch)
    assert found(effects, Refused)
    assert not said(effects, Prepare)


def test_the_null_batch_is_never_fresh() -> None:
    message = PrePrepare(Proposal(0, 0, 1, NULL), BATCH.header)
    effects = Desk(1).hear(say(0, message), BATCH)
    assert found(effects, Refused)
    assert not said(effects, Prepare)


def test_a_prepare_of_the_primary_is_refused() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    assert found(desk.hear_votes(Prepare, BATCH, 0), Refused)
    assert not said(desk.effects, Commit)


def test_messages_of_a_lower_view_are_dropped() -> None:
    desk = Desk(2)
    desk.hear(empty_new_view(1))
    assert desk.hear(pre_prepare(BATCH), BATCH) == []
    assert not desk.hear_votes(Prepare, BATCH, 0, 3)


def test_messages_of_a_later_view_wait_for_its_new_view() -> None:
    desk = Desk(2)
    batch = batch_of(proposer=1)
    desk.hear(pre_prepare(batch, view=1), batch)
    desk.hear_votes(Prepare, batch, 0, 3, view=1)
    assert said(desk.effects, Prepare) == []
    effects = desk.hear(empty_new_view(1))
    assert said(effects, Prepare) == [Prepare(0, 1, 1, digest_of(batch))]
    assert said(effects, Commit) == [Commit(0, 1, 1, digest_of(batch))]


def test_a_flood_of_later_views_is_bounded_for_each_sender() -> None:
    desk = Desk(1)
    for number in range(1000):
        desk.hear_votes(Prepare, bytes([7]) * 32, 2, sequence=1 + number % WINDOW, view=2**60 + number)
        batch = batch_of(proposer=3)
        desk.hear(pre_prepare(batch, view=3 + 4 * number), batch)
    kept = desk.replica.view.future
    assert sum(map(len, kept.values())) <= 64 + 4
    assert desk.replica.view.instances == {}


def test_a_later_view_is_proposed_by_its_own_primary_only() -> None:
    desk = Desk(1)
    batch = batch_of(proposer=3)
    desk.hear(say(3, PrePrepare(Proposal(0, 2, 1, digest_of(batch)), batch.header)), batch)
    assert desk.replica.view.future == {}


def test_a_jump_ahead_is_held_until_its_predecessor_is_proposed() -> None:
    desk = Desk(1)
    second = batch_of(b"second")
    assert not said(desk.hear(pre_prepare(second, 2), second), Prepare)
    effects = desk.hear(pre_prepare(BATCH, 1), BATCH)
    assert [vote.sequence for vote in said(effects, Prepare)] == [1, 2]  # type: ignore[union-attr]


def test_nothing_beyond_the_window_is_kept() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH, WINDOW + 1), BATCH)
    desk.hear_votes(Prepare, BATCH, 2, sequence=WINDOW + 1)
    desk.hear_votes(Commit, BATCH, 2, sequence=2**60)
    assert desk.replica.view.instances == {}
    assert desk.replica.view.held == {}


def test_a_flood_of_prepares_for_many_sequences_is_bounded_by_the_window() -> None:
    desk = Desk(1)
    for sequence in range(1000):
        desk.hear_votes(Prepare, BATCH, 2, sequence=sequence)
    assert len(desk.replica.view.instances) == WINDOW


def test_the_upper_half_of_the_window_goes_one_by_one() -> None:
    # A gap there could leave only null batches, which make no block that would move the watermarks.
    desk = Desk(1)
    for sequence in range(1, WINDOW + 1):
        batch = batch_of(b"%d" % sequence)
        desk.hear(pre_prepare(batch, sequence), batch)
    assert len(said(desk.effects, Prepare)) == WINDOW // 2


def test_a_time_ahead_of_the_clock_is_held_and_released_when_it_came() -> None:
    desk = Desk(1)
    early = batch_of(time_ms=START_WALL_MS + 10_000)
    assert not said(desk.hear(pre_prepare(early), early), Prepare)
    generation = desk.replica.view.timers["resend"]  # type: ignore[index]
    assert not said(desk.tell(TimerFired(now(7000), "resend", generation)), Prepare)
    generation = desk.replica.view.timers["resend"]  # type: ignore[index]
    assert said(desk.tell(TimerFired(now(8000), "resend", generation)), Prepare)


def test_a_long_uptime_does_not_let_a_batch_lie_in_the_future() -> None:
    # The monotonic clock counts from the machine's start, not from the parent block.
    uptime = 100 * 24 * 3_600_000
    clocks = Now(MonotonicMs(uptime), UnixMs(START_WALL_MS))
    replica = Replica(build_settings(4, 1), build_first_header(), None)
    replica.step(TimerFired(clocks, "resend", START_GENERATION))
    early = batch_of(time_ms=START_WALL_MS + uptime)
    assert not said(replica.step(Received(clocks, pre_prepare(early), early)), Prepare)


def test_a_primary_asks_for_as_many_batches_as_the_depth() -> None:
    desk = Desk(0)
    asked = found(desk.effects, WantBatch)
    for sequence in (1, 2):
        batch = batch_of(b"%d" % sequence)
        asked += found(desk.tell(Proposed(now(), Epoch(0), View(0), Sequence(sequence), batch)), WantBatch)
    assert [want.sequence for want in asked] == [1, 2]  # type: ignore[attr-defined]
    assert len(said(desk.effects, PrePrepare)) == 2


def test_an_answer_to_no_open_question_is_ignored() -> None:
    desk = Desk(0)
    assert not said(desk.tell(Proposed(now(), Epoch(0), View(0), Sequence(2), BATCH)), PrePrepare)
    assert not said(desk.tell(Proposed(now(), Epoch(0), View(4), Sequence(1), BATCH)), PrePrepare)
    desk.tell(Proposed(now(), Epoch(0), View(0), Sequence(1), BATCH))
    effects = desk.tell(Proposed(now(), Epoch(0), View(0), Sequence(1), OTHER))
    assert not said(effects, PrePrepare)


def test_batches_are_delivered_one_at_a_time_in_order() -> None:
    desk = Desk(1)
    effects = agree(desk, 1) + agree(desk, 2)
    delivered = found(effects, Deliver)  # type: ignore[arg-type]
    assert [deliver.sequence for deliver in delivered] == [1]  # type: ignore[attr-defined]
    after = desk.execute(delivered[0])  # type: ignore[arg-type]
    assert [deliver.sequence for deliver in found(after, Deliver)] == [2]  # type: ignore[attr-defined]


def test_nothing_fresh_is_accepted_at_an_executed_sequence() -> None:
    desk = Desk(2)
    batch = batch_of(b"batch 1")
    desk.hear(pre_prepare(batch), batch)
    desk.hear_votes(Prepare, batch, 1, 3)
    desk.execute(found(desk.hear_votes(Commit, batch, 0, 1), Deliver)[0])  # type: ignore[arg-type]
    desk.hear(empty_new_view(1))
    other = batch_of(b"other", proposer=1)
    assert not said(desk.hear(pre_prepare(other, 1, view=1), other), Prepare)


def test_own_messages_that_come_back_are_ignored() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    assert desk.hear(say(1, Prepare(0, 0, 1, digest_of(OTHER)))) == []


def test_a_message_of_another_epoch_is_ignored() -> None:
    desk = Desk(1)
    assert desk.hear(say(2, Prepare(1, 0, 1, digest_of(BATCH)))) == []
    assert desk.replica.view.instances == {}


def test_own_votes_are_repeated_until_a_certificate_covers_them() -> None:
    desk = Desk(1)
    agree(desk)
    effects = desk.tell(TimerFired(now(5000), "resend", START_GENERATION))
    assert said(effects, Prepare)
    assert said(effects, Commit)
