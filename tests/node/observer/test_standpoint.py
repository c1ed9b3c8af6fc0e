"""An observer takes blocks that continue its chain under a quorum's certificate, and nothing else."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.membership import Membership
from consensus.messages import Certificate, Signature
from node.exchange import BlocksAnswer, PrunedAnswer, RequestKind, decode_blocks, encode_height
from node.observer.standpoint import Flaw, Standpoint, advance, begin_epoch, check_continuation
from primitives.batch import Batch
from primitives.header import Block
from primitives.ids import Epoch, Height
from tests.node.snapshots.source import Source

Spoil = Callable[[BlocksAnswer], BlocksAnswer]


@pytest.fixture(scope="module")
def source() -> Source:
    source = Source()
    for name in ("a", "b", "c"):
        source.register(1, name)
    return source


def ask(source: Source, first: int) -> BlocksAnswer:
    answer = decode_blocks(source.answers.answer(RequestKind.BLOCKS, encode_height(Height(first))))
    assert not isinstance(answer, PrunedAnswer)
    return answer


def stand(source: Source, height: int = 0) -> Standpoint:
    header = source.chain.get_header(Height(height))
    assert header is not None
    return Standpoint(Membership(Epoch(0), source.genesis.validators), header)


def check(source: Source, standpoint: Standpoint, answer: BlocksAnswer) -> tuple[Block, ...] | Flaw:
    return check_continuation(standpoint, source.genesis_hash, answer)


@pytest.mark.parametrize("height", [0, 1, 2])
def test_certified_blocks_from_the_next_height_on_are_taken(source: Source, height: int) -> None:
    blocks = check(source, stand(source, height), ask(source, height + 1))
    assert not isinstance(blocks, Flaw)
    assert [block.header.height for block in blocks] == list(range(height + 1, 4))


def test_blocks_that_are_executed_already_are_not_executed_again(source: Source) -> None:
    standpoint = Standpoint(stand(source).membership, stand(source, 2).executed, stand(source).membership)
    assert standpoint.first == 2  # it ends its epoch, as far as is known here
    blocks = check(source, standpoint, ask(source, 2))
    assert not isinstance(blocks, Flaw)
    assert [block.header.height for block in blocks] == [3]


def drop_signature(answer: BlocksAnswer) -> BlocksAnswer:
    certificate = answer.certificate
    return replace(answer, certificate=replace(certificate, signatures=certificate.signatures[1:]))


def forge_signature(answer: BlocksAnswer) -> BlocksAnswer:
    first, *others = answer.certificate.signatures
    forged = Signature(first.replica, bytes(64))
    return replace(answer, certificate=replace(answer.certificate, signatures=(forged, *others)))


def repeat_signer(answer: BlocksAnswer) -> BlocksAnswer:
    first, _, *others = answer.certificate.signatures
    return replace(answer, certificate=replace(answer.certificate, signatures=(first, first, *others)))


def alter_last(answer: BlocksAnswer, **changes: object) -> BlocksAnswer:
    *blocks, last = answer.blocks
    header = replace(last.header, **changes)
    certificate = Certificate(header, answer.certificate.signatures)
    return BlocksAnswer((*blocks, replace(last, header=header)), certificate)


def swap_batch(answer: BlocksAnswer) -> BlocksAnswer:
    first, second, *others = answer.blocks
    return replace(answer, blocks=(replace(first, batch=second.batch), second, *others))


def lose_transaction(answer: BlocksAnswer) -> BlocksAnswer:
    first, *others = answer.blocks
    batch = Batch(first.batch.header, first.batch.transactions[1:])
    return replace(answer, blocks=(replace(first, batch=batch), *others))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda answer: replace(answer, blocks=()), "do not end with the certificate's"),
        (lambda answer: replace(answer, blocks=answer.blocks[:-1]), "do not end with the certificate's"),
        (lambda answer: replace(answer, blocks=answer.blocks[1:]), "blocks from 2 where those from 1"),
        (lambda answer: replace(answer, blocks=answer.blocks[::2]), "not linked"),
        (drop_signature, "2 signatures are fewer than the 3 needed"),
        (forge_signature, "the signature of v"),
        (repeat_signer, "not distinct"),
        (lambda answer: alter_last(answer, state_root=bytes(32)), "the signature of v"),
        (lambda answer: alter_last(answer, epoch=1), "of epoch 1"),
        (lambda answer: alter_last(answer, parent=bytes(32)), "not linked"),
        (swap_batch, "without its batch"),
        (lose_transaction, "without its batch"),
    ],
)
def test_what_no_certificate_covers_is_refused_by_name(source: Source, spoil: Spoil, reason: str) -> None:
    flaw = check(source, stand(source), spoil(ask(source, 1)))
    assert isinstance(flaw, Flaw)
    assert reason in flaw.reason
    assert not flaw.is_fork


def test_a_certified_chain_that_does_not_continue_the_own_one_is_a_fork(source: Source) -> None:
    other = Source(time_s=source.time_s + 3600)
    other.register(2, "other")
    standpoint = Standpoint(stand(source).membership, other.header)
    flaw = check(source, standpoint, ask(source, 2))
    assert isinstance(flaw, Flaw)
    assert flaw.is_fork


def test_an_epoch_begins_with_the_certificate_of_its_last_block_and_not_before() -> None:
    source = Source()
    source.add_validator("v4")
    handover = source.chain.get_handover(Epoch(0))
    assert handover is not None
    last = handover.certificate.header
    following = Membership(Epoch(1), handover.validators)
    before = stand(source, last.height - 1)
    with pytest.raises(ValueError, match="ends no epoch"):
        begin_epoch(before, handover)
    ended = advance(before, last, following)
    assert ended.first == last.height
    begun = begin_epoch(ended, handover)
    assert (begun.membership, begun.following, begun.first) == (following, None, last.height + 1)


def test_the_members_of_an_epoch_certify_nothing_of_the_next() -> None:
    source = Source()
    source.add_validator("v4")
    last = source.height
    source.register(1)
    flaw = check(source, stand(source, last), ask(source, last + 1))
    assert isinstance(flaw, Flaw)
    assert "of epoch 1, the membership of 0" in flaw.reason
