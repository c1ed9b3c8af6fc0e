"""What nodes ask each other for: transactions by id, a batch by digest, certified blocks by height, handovers by epoch.

Snapshots have their own questions, in ``node.snapshots.parts``.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

from consensus.certificates import check_certificate
from consensus.membership import Membership
from consensus.messages import Certificate, Handover
from primitives.batch import Batch, is_batch_whole
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.header import Block
from primitives.ids import DIGEST_BYTES, Digest, Epoch, Height
from primitives.limits import BATCH_TRANSACTIONS_MAX, FRAME_BYTES_MAX

ANSWER_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""An answer leaves room for its certificate and frame."""

BLOCKS_PER_ANSWER_MAX = 64
"""Each answer brings one certificate, and a receipt's proof follows at most so many headers up to one."""

HANDOVERS_PER_ANSWER_MAX = 16
"""With 80 validators one takes 100 kB and 6 ms to check; validators change a few times a year."""

EPOCHS_MAX = 2**63
"""Numbers of epochs have eight bytes in the store."""

NO_ANSWER = b""
"""The asked node does not have it."""


class RequestKind(IntEnum):
    """The questions."""

    TRANSACTIONS = 1
    BATCH = 2
    BLOCKS = 3
    HANDOVERS = 4
    SNAPSHOT = 5
    SNAPSHOT_BUCKETS = 6
    SNAPSHOT_PAIRS = 7
    SUBMIT = 8


class BlocksAnswer(Struct, frozen=True, tag=1):
    """Consecutive blocks of one epoch; the certificate is of the last one."""

    blocks: tuple[Block, ...]
    certificate: Certificate


class PrunedAnswer(Struct, frozen=True, tag=2):
    """The asked node keeps no blocks up to this height, and the question was about one of them."""

    height: int


def encode_transactions_request(names: Sequence[bytes]) -> bytes:
    """Return the question for these ids."""
    return encode(tuple(names))


def decode_transactions_request(payload: bytes) -> tuple[bytes, ...]:
    """Return the ids asked for.

    Raises:
        DecodeError: not a list of at most a batch's ids.

    """
    names = decode(payload, tuple[bytes, ...])
    if len(names) > BATCH_TRANSACTIONS_MAX or any(len(name) != DIGEST_BYTES for name in names):
        raise DecodeError("not a list of transaction ids")
    return names


def encode_height(height: Height) -> bytes:
    """Return the question for blocks from this height."""
    return encode(int(height))


def decode_height(payload: bytes) -> Height:
    """Return the height asked for.

    Raises:
        DecodeError: not a height.

    """
    height = decode(payload, int)
    if height < 1:
        raise DecodeError("blocks begin at height 1")
    return Height(height)


def decode_raw_transactions(payload: bytes) -> tuple[bytes, ...]:
    """Return the raw transactions of an answer.

    Raises:
        DecodeError: not a list of byte strings.

    """
    return decode(payload, tuple[bytes, ...])


def decode_batch(payload: bytes) -> Batch:
    """Return the batch of an answer.

    Raises:
        DecodeError: not a batch.

    """
    return decode(payload, Batch)


def decode_blocks(payload: bytes) -> BlocksAnswer | PrunedAnswer:
    """Return the blocks of an answer, or up to where the asked node has none any more.

    Raises:
        DecodeError: neither of the two.

    """
    return decode(payload, BlocksAnswer | PrunedAnswer)  # type: ignore[arg-type]  # a union is no type to mypy


def encode_epoch(epoch: Epoch) -> bytes:
    """Return the question for how the epochs from this one on ended."""
    return encode(int(epoch))


def decode_epoch(payload: bytes) -> Epoch:
    """Return the epoch asked for.

    Raises:
        DecodeError: not an epoch.

    """
    epoch = decode(payload, int)
    if not 0 <= epoch < EPOCHS_MAX:
        raise DecodeError("not an epoch")
    return Epoch(epoch)


def select_handovers(handovers: Iterable[Handover]) -> bytes:
    """Return the encoded answer with as many of ``handovers``, in order, as fit."""
    chosen: list[Handover] = []
    size = 0
    for handover in handovers:
        size += len(encode(handover))
        if chosen and (size > ANSWER_BYTES_MAX or len(chosen) == HANDOVERS_PER_ANSWER_MAX):
            break
        chosen.append(handover)
    return encode(tuple(chosen))


def decode_handovers(payload: bytes) -> tuple[Handover, ...]:
    """Return the handovers of an answer.

    Raises:
        DecodeError: not a list of handovers, or more than an answer holds.

    """
    handovers = decode(payload, tuple[Handover, ...])
    if len(handovers) > HANDOVERS_PER_ANSWER_MAX:
        raise DecodeError("more handovers than an answer holds")
    return handovers


def select_blocks(
    first: Height,
    height: Height,
    get_block: Callable[[Height], Block | None],
    get_certificate: Callable[[Height], Certificate | None],
) -> bytes:
    """Return the encoded answer with as many blocks from ``first`` as fit and end at a certificate.

    It never goes beyond the end of the first one's epoch, because the next one's members are known only then.
    """
    blocks: list[Block] = []
    best: tuple[int, Certificate] | None = None
    size = 0
    for number in range(first, min(height, first + BLOCKS_PER_ANSWER_MAX - 1) + 1):
        block = get_block(Height(number))
        if block is None or (blocks and block.header.epoch != blocks[0].header.epoch):
            break
        size += (
            sum(map(len, block.batch.transactions)) + (DIGEST_BYTES + 8) * len(block.batch.transactions) + 512
        )
        if size > ANSWER_BYTES_MAX and blocks:
            break
        blocks.append(block)
        certificate = get_certificate(Height(number))
        if certificate is not None:
            best = (len(blocks), certificate)
    if best is None:
        return NO_ANSWER
    return encode(BlocksAnswer(tuple(blocks[: best[0]]), best[1]))


def check_batch(digest: Digest, batch: Batch) -> str | None:
    """Return why a batch is not the one asked for, or None; its transactions' signatures are checked elsewhere."""
    if batch.header.compute_digest() != digest or not is_batch_whole(batch):
        return "another batch than was asked for"
    return None


def check_blocks(membership: Membership, genesis_hash: Digest, answer: BlocksAnswer) -> str | None:
    """Return why blocks prove nothing, or None: the certificate holds, and every block has its own batch."""
    problem = check_certificate(membership, genesis_hash, answer.certificate)
    if problem is not None:
        return problem
    if any(block.header.epoch != membership.epoch for block in answer.blocks):
        return "blocks of another epoch than their certificate"
    if not all(
        block.header.batch_digest == block.batch.header.compute_digest() and is_batch_whole(block.batch)
        for block in answer.blocks
    ):
        return "a block without its batch"
    return None


def as_digest(payload: bytes) -> Digest:
    """Return a digest asked for.

    Raises:
        DecodeError: not 32 bytes.

    """
    if len(payload) != DIGEST_BYTES:
        raise DecodeError("a digest has 32 bytes")
    return Digest(payload)
