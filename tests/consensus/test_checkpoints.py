from msgspec.structs import replace

from consensus.effects import Broadcast, Certified, Deliver, Diverged, Effect, Equivocation, Send
from consensus.events import TimerFired
from consensus.messages import Checkpoint, Commit, Prepare
from consensus.replica import START_GENERATION
from consensus.window import CHECKPOINT_AHEAD
from primitives.header import BlockHeader
from tests.consensus.builders import (
    Desk,
    batch_of,
    build_header,
    found,
    header_chain,
    now,
    pre_prepare,
    said,
    say,
)

BATCH = batch_of()


def reach_height_1(desk: Desk) -> list[Effect]:
    desk.hear(pre_prepare(BATCH), BATCH)
    desk.hear_votes(Prepare, BATCH, 2, 3)
    delivered = found(desk.hear_votes(Commit, BATCH, 0, 2), Deliver)[0]
    assert isinstance(delivered, Deliver)
    return desk.execute(delivered)


def altered(header: BlockHeader) -> BlockHeader:
    return replace(header, state_root=b"\x07" * 32)


def test_an_executed_block_is_signed_and_a_quorum_makes_it_stable() -> None:
    desk = Desk(1)
    assert said(reach_height_1(desk), Checkpoint) == [Checkpoint(desk.header)]
    assert not found(desk.hear(say(0, Checkpoint(desk.header))), Certified)
    assert found(desk.hear(say(2, Checkpoint(desk.header))), Certified)
    assert desk.replica.view.instances == {}
    assert desk.replica.view.batches == {}


def test_checkpoints_that_came_first_count_when_the_block_is_executed() -> None:
    desk = Desk(1)
    header = build_header(BATCH)
    desk.hear(say(0, Checkpoint(header)))
    desk.hear(say(2, Checkpoint(header)))
    assert found(reach_height_1(desk), Certified)


def test_f_forged_headers_change_nothing() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    desk.hear(say(3, Checkpoint(altered(desk.header))))
    desk.hear(say(0, Checkpoint(desk.header)))
    assert found(desk.hear(say(2, Checkpoint(desk.header))), Certified)


def test_another_header_of_a_quorum_halts_for_ever() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    for voter in (0, 2):
        desk.hear(say(voter, Checkpoint(altered(desk.header))))
    assert found(desk.hear(say(3, Checkpoint(altered(desk.header)))), Diverged)
    second = batch_of(b"second")
    assert desk.hear(pre_prepare(second, 2), second) == []
    assert desk.tell(TimerFired(now(), "resend", START_GENERATION)) == []


def test_a_header_that_a_quorum_contradicts_already_is_never_signed() -> None:
    desk = Desk(1)
    for voter in (0, 2, 3):
        desk.hear(say(voter, Checkpoint(altered(build_header(BATCH)))))
    effects = reach_height_1(desk)
    assert found(effects, Diverged)
    assert not said(effects, Checkpoint)


def test_two_headers_of_one_replica_are_evidence() -> None:
    desk = Desk(1)
    header = build_header(BATCH)
    desk.hear(say(2, Checkpoint(header)))
    assert found(desk.hear(say(2, Checkpoint(altered(header)))), Equivocation)


def test_who_repeats_its_checkpoint_is_given_the_whole_certificate_once_a_period() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    for voter in (0, 2, 3):
        desk.hear(say(voter, Checkpoint(desk.header)))
    again = say(3, Checkpoint(desk.header))
    answers = [effect for effect in desk.hear(again, ms=500) if isinstance(effect, Send)]
    assert len(answers) == 3
    assert {effect.to for effect in answers} == {again.sender}
    assert desk.hear(again, ms=500) == []
    assert len([effect for effect in desk.hear(again, ms=1000) if isinstance(effect, Send)]) == 3


def test_nobody_is_given_a_certificate_whose_signatures_are_still_on_their_way() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    for voter in (0, 2, 3):
        desk.hear(say(voter, Checkpoint(desk.header)))
    again = say(3, Checkpoint(desk.header))
    assert desk.hear(again) == []
    assert desk.hear(again, ms=desk.settings.resend_ms - 1) == []
    assert (
        len([effect for effect in desk.hear(again, ms=desk.settings.resend_ms) if isinstance(effect, Send)])
        == 3
    )


def test_the_own_checkpoint_is_repeated_until_it_is_certified() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    effects = desk.tell(TimerFired(now(600), "resend", START_GENERATION))
    assert said(effects, Checkpoint) == [Checkpoint(desk.header)]


def test_after_a_restart_the_executed_header_is_signed_again_and_no_other() -> None:
    desk = Desk(1)
    reach_height_1(desk)
    effects = desk.restart().effects
    assert [e.envelope.message for e in effects if isinstance(e, Broadcast)].count(
        Checkpoint(desk.header)
    ) == 1


def test_a_flood_of_heights_is_bounded() -> None:
    desk = Desk(1)
    for height in range(1, 1000):
        header = replace(header_chain(0)[0], height=height)
        desk.hear(say(2, Checkpoint(header)))
    assert len(desk.replica.view.checkpoints) <= CHECKPOINT_AHEAD
