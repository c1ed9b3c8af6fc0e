"""What an observer and a validator say to each other decodes to itself, or is refused by name."""

import pytest

from node.intake import SubmitResult, SubmitStatus
from node.observer.exchange import (
    decode_announcement,
    decode_outcomes,
    decode_submission,
    encode_announcement,
    encode_outcomes,
    encode_submission,
)
from primitives.encoding import DecodeError, encode
from primitives.ids import Digest, Height
from primitives.limits import BATCH_TRANSACTIONS_MAX
from vm.receipt import Rejection

NAMES = [Digest(bytes([number]) * 32) for number in range(3)]
OUTCOMES = [
    SubmitResult(NAMES[0], SubmitStatus.ACCEPTED),
    SubmitResult(NAMES[1], SubmitStatus.REFUSED, Rejection.NONCE_TOO_OLD, "too old"),
    SubmitResult(NAMES[2], SubmitStatus.BUSY, None, "no room"),
]


@pytest.mark.parametrize("height", [0, 1, 2**40])
def test_a_height_is_announced_as_it_is(height: int) -> None:
    assert decode_announcement(encode_announcement(Height(height))) == height


@pytest.mark.parametrize("payload", [b"", encode(-1), encode("7"), encode(7) + b"\x00", bytes(10), b"\xc1"])
def test_an_announcement_that_is_no_height_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_announcement(payload)


def test_a_submission_and_its_outcomes_come_back_in_order() -> None:
    raws = (b"a", b"", b"c")
    assert decode_submission(encode_submission(raws)) == raws
    assert decode_outcomes(encode_outcomes(OUTCOMES), NAMES) == OUTCOMES


@pytest.mark.parametrize("raws", [(), (b"x",) * (BATCH_TRANSACTIONS_MAX + 1)])
def test_a_submission_has_between_one_and_a_batch_of_transactions(raws: tuple[bytes, ...]) -> None:
    with pytest.raises(DecodeError, match="between 1 and"):
        decode_submission(encode_submission(raws))


@pytest.mark.parametrize(
    "outcomes",
    [
        (),
        (("accepted", "", ""), ("accepted", "", "")),
        (("promised", "", ""),),
        (("refused", "NO_SUCH_REASON", ""),),
        (("refused", "", "for no reason"),),
        (("accepted", "MALFORMED", ""),),
        (("accepted", ""),),
    ],
)
def test_outcomes_that_no_validator_gives_are_refused(outcomes: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(DecodeError):
        decode_outcomes(encode(outcomes), NAMES[:1])


def test_a_validators_sentence_is_shown_as_one_bounded_line() -> None:
    outcome = (("busy", "", "\x1b[2J" + "x" * 1000),)
    (result,) = decode_outcomes(encode(outcome), NAMES[:1])
    assert result.detail.startswith("?[2J")
    assert len(result.detail) == 300
