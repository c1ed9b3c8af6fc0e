"""Every reason to refuse has a sentence about what to do, and leads to its documented exit code."""

import pytest

from cli.advice import ADVICE
from cli.failure import CliError, ExitCode
from cli.session import build_refusal, check_outcome
from meter.outcomes import OutcomeUnknown, RefusedByNode
from primitives.ids import Digest
from vm.receipt import Rejection

NAME = Digest(bytes(32))


def test_every_rejection_has_its_advice_and_there_is_no_other() -> None:
    assert set(ADVICE) == set(Rejection)
    assert all(text and "\n" not in text for text in ADVICE.values())


@pytest.mark.parametrize(
    ("rejection", "code"),
    [
        (Rejection.NOT_ALLOWED, ExitCode.NOT_ALLOWED),
        (Rejection.SUSPENDED, ExitCode.NOT_ALLOWED),
        (Rejection.KEY_NOT_CURRENT, ExitCode.NOT_ALLOWED),
        (Rejection.NOT_A_VALIDATOR, ExitCode.NOT_ALLOWED),
        (Rejection.VALIDATOR_UNKNOWN, ExitCode.NOT_FOUND),
        (Rejection.METER_UNKNOWN, ExitCode.NOT_FOUND),
        (Rejection.ACCOUNT_UNKNOWN, ExitCode.NOT_FOUND),
        (Rejection.EVENT_UNKNOWN, ExitCode.NOT_FOUND),
        (Rejection.NONCE_USED, ExitCode.ERROR),
        (Rejection.READING_NOT_INCREASING, ExitCode.ERROR),
    ],
)
def test_a_refusal_ends_with_its_name_and_what_to_do(rejection: Rejection, code: ExitCode) -> None:
    with pytest.raises(CliError) as caught:
        check_outcome(RefusedByNode(NAME, rejection, "detail"))
    assert caught.value.code == code
    assert str(caught.value) == f"{rejection}: {ADVICE[rejection]}"


def test_an_unknown_outcome_has_an_exit_code_of_its_own() -> None:
    with pytest.raises(CliError, match="outcome unknown") as caught:
        check_outcome(OutcomeUnknown(NAME, "no certificate came in time"))
    assert caught.value.code == ExitCode.OUTCOME_UNKNOWN


def test_a_reason_of_a_newer_validator_is_told_with_its_own_words() -> None:
    assert str(build_refusal("NEW_REASON", "the moon is full")) == "NEW_REASON: the moon is full"
