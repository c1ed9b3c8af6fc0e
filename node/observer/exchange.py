"""What an observer and a validator say to each other beside the questions that nodes have: a height, a submission."""

from collections.abc import Sequence

from node.api.services import SubmitOutcome
from node.intake import SubmitResult, SubmitStatus
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import Digest, Height
from primitives.limits import BATCH_TRANSACTIONS_MAX
from primitives.text import to_line
from vm.receipt import Rejection

ANNOUNCEMENT_BYTES_MAX = 9
"""A number of MessagePack."""

SUBMISSION_BYTES_MAX = 48 * 1024
"""Of transactions passed on with one question, which holds 64 kB."""

DETAIL_CHARACTERS_MAX = 300
"""What is shown of a validator's sentence: two lines of a terminal."""


class _Outcome(Struct, frozen=True):
    status: str
    rejection: str
    detail: str


def encode_announcement(height: Height) -> bytes:
    """Return what a validator says when a block has its certificate; it proves nothing and asks to be asked."""
    return encode(int(height))


def decode_announcement(payload: bytes) -> Height:
    """Return the height announced.

    Raises:
        DecodeError: not a height.

    """
    if len(payload) > ANNOUNCEMENT_BYTES_MAX:
        raise DecodeError("an announcement is a height")
    height = decode(payload, int)
    if height < 0:
        raise DecodeError("a height is not negative")
    return Height(height)


def encode_submission(raws: Sequence[bytes]) -> bytes:
    """Return the question that passes transactions on."""
    return encode(tuple(raws))


def decode_submission(payload: bytes) -> tuple[bytes, ...]:
    """Return the transactions passed on.

    Raises:
        DecodeError: not a list of at most a batch's transactions.

    """
    raws = decode(payload, tuple[bytes, ...])
    if not 0 < len(raws) <= BATCH_TRANSACTIONS_MAX:
        raise DecodeError(f"between 1 and {BATCH_TRANSACTIONS_MAX} transactions are passed on at once")
    return raws


def encode_outcomes(outcomes: Sequence[SubmitOutcome]) -> bytes:
    """Return the answer to a submission: what became of each, in order."""
    return encode(
        tuple(_Outcome(str(each.status), str(each.rejection or ""), each.detail) for each in outcomes)
    )


def decode_outcomes(payload: bytes, names: Sequence[Digest]) -> list[SubmitResult]:
    """Return what a validator answers about the transactions of these ids.

    Raises:
        DecodeError: not as many outcomes, or one that no validator gives.

    """
    outcomes = decode(payload, tuple[_Outcome, ...])
    if len(outcomes) != len(names):
        raise DecodeError(f"{len(outcomes)} outcomes for {len(names)} transactions")
    return [_read_outcome(name, each) for name, each in zip(names, outcomes, strict=True)]


def _read_outcome(name: Digest, outcome: _Outcome) -> SubmitResult:
    try:
        status = SubmitStatus(outcome.status)
        rejection = Rejection(outcome.rejection) if outcome.rejection else None
    except ValueError:
        raise DecodeError("an outcome that no validator gives") from None
    if (status is SubmitStatus.REFUSED) != (rejection is not None):
        raise DecodeError("a refusal has a reason, and nothing else has one")
    return SubmitResult(name, status, rejection, to_line(outcome.detail, DETAIL_CHARACTERS_MAX))
