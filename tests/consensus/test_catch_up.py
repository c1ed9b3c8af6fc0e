from msgspec.structs import replace

from consensus.effects import (
    Certified,
    Deliver,
    Diverged,
    Effect,
    FetchBlocks,
    FetchSnapshot,
    SignedHeader,
    StartTimer,
    TimerName,
)
from consensus.events import BlocksFetched, BlocksPruned, TimerFired
from consensus.messages import Certificate, Checkpoint, Status
from consensus.replica import Replica
from primitives.header import Block, BlockHeader
from primitives.ids import Epoch, Height, Sequence
from tests.consensus.builders import (
    Desk,
    batch_of,
    certificate,
    found,
    now,
    say,
)
from tests.consensus.constitution import build_first_header, build_settings, execute


def blocks_to(height: int) -> list[Block]:
    """Build the blocks of heights 1 to ``height``."""
    blocks: list[Block] = []
    parent = build_first_header()
    for number in range(1, height + 1):
        batch = batch_of(b"block %d" % number)
        parent = execute(parent, Deliver(Epoch(0), Sequence(number), Height(number), batch))
        blocks.append(Block(parent, batch))
    return blocks


CHAIN = blocks_to(8)


def fetched(blocks: list[Block], proof: Certificate | None = None) -> BlocksFetched:
    return BlocksFetched(now(), tuple(blocks), proof or certificate(blocks[-1].header))


def execute_all(desk: Desk, effects: list[Effect]) -> list[Effect]:
    """Execute what is delivered until nothing is."""
    seen = list(effects)
    while delivered := [effect for effect in effects if isinstance(effect, Deliver)]:
        effects = desk.execute(delivered[0])
        seen += effects
    return seen


def claim(desk: Desk, height: int, *senders: int) -> list[Effect]:
    return [e for sender in senders for e in desk.hear(say(sender, Status(0, 0, height, height)))]


def test_certified_blocks_are_executed_in_order_and_stabilise_the_last() -> None:
    desk = Desk(1)
    effects = execute_all(desk, desk.tell(fetched(CHAIN)))
    assert [deliver.height for deliver in found(effects, Deliver)] == list(range(1, 9))  # type: ignore[attr-defined]
    assert found(effects, Certified)
    assert desk.replica.view.stable_height == 8
    assert desk.replica.view.fetched_certificate is None


def test_the_claim_of_one_replica_is_not_followed() -> None:
    desk = Desk(1)
    assert not found(claim(desk, 2**60, 2), FetchBlocks)
    assert TimerName.CATCH_UP not in desk.replica.view.timers


def test_f_plus_1_claims_are_followed_to_the_lowest_of_them() -> None:
    desk = Desk(1)
    claim(desk, 2**60, 2)
    (fetch,) = found(claim(desk, 8, 3), FetchBlocks)
    assert isinstance(fetch, FetchBlocks)
    assert fetch.first == 1
    assert desk.replica.view.catch_up_target == 8


def test_a_small_gap_is_given_time_to_close() -> None:
    desk = Desk(1)
    effects = claim(desk, 1, 2, 3)
    assert not found(effects, FetchBlocks)
    (timer,) = found(effects, StartTimer)
    assert isinstance(timer, StartTimer)
    assert found(desk.tell(TimerFired(now(250), timer.name, timer.generation)), FetchBlocks)


def test_nothing_fetched_is_asked_for_again() -> None:
    desk = Desk(1)
    effects = claim(desk, 8, 2, 3)
    for _ in range(3):
        (timer,) = [each for each in effects if isinstance(each, StartTimer)]
        effects = desk.tell(TimerFired(now(), timer.name, timer.generation))
        assert found(effects, FetchBlocks)


def test_who_calls_blocks_pruned_holds_nobody_up_that_has_them() -> None:
    desk = Desk(1)
    claim(desk, 8, 2, 3)
    assert found(desk.tell(BlocksPruned(now())), FetchSnapshot)
    asked = desk.tell(TimerFired(now(500), "catch_up", desk.replica.view.timers[TimerName.CATCH_UP]))
    assert found(asked, FetchBlocks)
    timers = [each for each in found(desk.effects, StartTimer) if each.name == TimerName.CATCH_UP]  # type: ignore[attr-defined]
    assert max(each.delay_ms for each in timers) <= desk.settings.resend_ms  # type: ignore[attr-defined]


def test_a_snapshot_is_asked_for_again_when_it_had_its_time_and_not_before() -> None:
    desk = Desk(1)
    assert found(claim(desk, 10_000, 2, 3), FetchSnapshot)
    assert not found(desk.tell(BlocksPruned(now())), FetchSnapshot)
    desk.tell(TimerFired(now(60_000), "snapshot", desk.replica.view.timers[TimerName.SNAPSHOT]))
    assert found(desk.tell(BlocksPruned(now(60_000))), FetchSnapshot)


def test_a_quorum_of_checkpoints_far_ahead_is_followed() -> None:
    desk = Desk(1)
    effects = [e for sender in (0, 2, 3) for e in desk.hear(say(sender, Checkpoint(CHAIN[7].header)))]
    assert found(effects, FetchBlocks)


def spoil_header(block: Block, **changes: object) -> Block:
    return replace(block, header=replace(block.header, **changes))


def test_blocks_that_prove_nothing_are_ignored() -> None:
    another_batch = replace(CHAIN[2], batch=batch_of(b"a lie"))
    spoilt = {
        "unlinked": [*CHAIN[:3], *CHAIN[4:]],
        "with another batch": [*CHAIN[:2], another_batch, *CHAIN[3:]],
        "altered": [*CHAIN[:2], spoil_header(CHAIN[2], state_root=bytes(32)), *CHAIN[3:]],
        "too far ahead": CHAIN[1:],
        "of another epoch": [spoil_header(block, epoch=1) for block in CHAIN],
    }
    for what, blocks in spoilt.items():
        desk = Desk(1)
        effects = desk.tell(fetched(blocks))
        assert not found(effects, Deliver), what
        assert not found(effects, Diverged), what
    assert not found(Desk(1).tell(fetched(CHAIN, certificate(CHAIN[3].header))), Deliver)
    assert not found(Desk(1).tell(BlocksFetched(now(), (), certificate(CHAIN[3].header))), Deliver)


def test_an_answer_may_be_partial_and_the_rest_is_asked_for() -> None:
    desk = Desk(1)
    claim(desk, 8, 2, 3)
    effects = execute_all(desk, desk.tell(fetched(CHAIN[:3])))
    fetches = [each for each in found(effects, FetchBlocks) if isinstance(each, FetchBlocks)]
    assert [fetch.first for fetch in fetches] == [4]
    execute_all(desk, desk.tell(fetched(CHAIN[3:])))
    assert desk.replica.view.executed == CHAIN[-1].header


def test_blocks_known_already_are_passed_over() -> None:
    desk = Desk(1)
    execute_all(desk, desk.tell(fetched(CHAIN[:3])))
    assert desk.tell(fetched(CHAIN[:3])) == []
    effects = execute_all(desk, desk.tell(fetched(CHAIN)))
    assert [deliver.height for deliver in found(effects, Deliver)] == [4, 5, 6, 7, 8]  # type: ignore[attr-defined]


def diverged(header: BlockHeader) -> BlockHeader:
    return replace(header, state_root=b"\x09" * 32)


def test_a_certified_chain_that_leaves_out_the_own_block_halts() -> None:
    replica = Replica(build_settings(4, 1), diverged(CHAIN[2].header), None)
    desk = Desk(1, replica)
    assert found(desk.tell(fetched(CHAIN)), Diverged)
    assert desk.tell(fetched(CHAIN)) == []


def test_a_fetched_block_that_executes_to_another_header_halts() -> None:
    desk = Desk(1)
    desk.tell(fetched(CHAIN))
    desk.header = replace(desk.header, time_ms=desk.header.time_ms + 10**9)
    (deliver, *_) = found(desk.effects, Deliver)
    assert isinstance(deliver, Deliver)
    assert found(desk.execute(deliver), Diverged)


def test_a_fetched_block_is_held_to_the_header_that_was_signed_before_a_store_lost_it() -> None:
    for height in (3, 8):
        digest = bytes(CHAIN[height - 1].header.compute_digest())
        kept = Replica(build_settings(4, 1), build_first_header(), None, [SignedHeader(height, digest)])
        desk = Desk(1, kept)
        execute_all(desk, desk.tell(fetched(CHAIN)))
        assert desk.replica.view.executed == CHAIN[-1].header
        assert not found(desk.effects, Diverged)
        broken = Replica(build_settings(4, 1), build_first_header(), None, [SignedHeader(height, bytes(32))])
        desk = Desk(1, broken)
        execute_all(desk, desk.tell(fetched(CHAIN)))
        (diverged_at,) = found(desk.effects, Diverged)
        assert isinstance(diverged_at, Diverged)
        assert diverged_at.height == height
        assert desk.replica.view.executed.height == height
