"""Few states are held for peers, no longer than they are read, and who holds a gone one is told so."""

import pytest

from node.exchange import NO_ANSWER
from node.snapshots.parts import (
    BucketsQuestion,
    Manifest,
    PairsQuestion,
    decode_buckets_question,
    decode_pairs_question,
)
from node.snapshots.server import IDLE_BLOCKS, PINS_MAX, RENEW_BLOCKS
from primitives.encoding import DecodeError, decode, encode
from tests.node.snapshots.source import Source
from vm.state_root import GROUPS


def pass_blocks(source: Source, count: int) -> None:
    for _ in range(count):
        source.execute()


def ask_height(source: Source) -> int:
    return decode(source.server.answer_manifest(), Manifest).certificate.header.height


def test_nothing_is_held_before_anybody_asks() -> None:
    source = Source()
    source.execute()
    assert source.server.heights == ()


def test_before_the_first_certificate_there_is_no_snapshot() -> None:
    assert Source().server.answer_manifest() == NO_ANSWER


def test_every_asker_gets_the_held_state_until_it_is_old() -> None:
    source = Source()
    pass_blocks(source, 2)
    assert ask_height(source) == 2
    for _ in range(RENEW_BLOCKS // IDLE_BLOCKS):
        pass_blocks(source, IDLE_BLOCKS)
        assert ask_height(source) == 2
    pass_blocks(source, 1)
    assert ask_height(source) == RENEW_BLOCKS + 3
    assert source.server.heights == (2, RENEW_BLOCKS + 3)


def test_no_more_states_are_held_than_the_bound_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.snapshots.server.RENEW_BLOCKS", 0)
    source = Source()
    for height in range(1, 5):
        pass_blocks(source, 1)
        assert ask_height(source) == height
    assert source.server.heights == (3, 4)
    assert len(source.server.heights) == PINS_MAX
    assert source.server.answer_pairs(PairsQuestion(2, b"")) == NO_ANSWER
    assert source.server.answer_buckets(BucketsQuestion(2, 0)) == NO_ANSWER
    assert source.server.answer_pairs(PairsQuestion(3, b"")) != NO_ANSWER


def test_a_state_that_nobody_reads_is_let_go_and_one_that_is_read_stays() -> None:
    source = Source()
    pass_blocks(source, 1)
    assert ask_height(source) == 1
    pass_blocks(source, IDLE_BLOCKS)
    assert source.server.answer_pairs(PairsQuestion(1, b"")) != NO_ANSWER
    pass_blocks(source, IDLE_BLOCKS)
    assert list(source.server.heights) == [1]
    pass_blocks(source, 1)
    assert list(source.server.heights) == []


def test_a_held_state_does_not_change_while_blocks_come() -> None:
    source = Source()
    source.register(2)
    before = (source.server.answer_manifest(), source.server.answer_pairs(PairsQuestion(1, b"")))
    source.register(2, "later")
    after = (source.server.answer_manifest(), source.server.answer_pairs(PairsQuestion(1, b"")))
    assert before == after


def test_after_the_end_nothing_is_held() -> None:
    source = Source()
    pass_blocks(source, 1)
    ask_height(source)
    source.server.close()
    assert source.server.heights == ()


@pytest.mark.parametrize("first", [-1, GROUPS, 2**62])
def test_a_question_for_a_group_that_does_not_exist_is_refused(first: int) -> None:
    with pytest.raises(DecodeError, match="no such group"):
        decode_buckets_question(encode(BucketsQuestion(1, first)))


def test_a_question_for_a_key_longer_than_any_is_refused() -> None:
    with pytest.raises(DecodeError, match="longer than any"):
        decode_pairs_question(encode(PairsQuestion(1, bytes(5000))))
