"""A conversation with the validators of a home, and how it ends when they refuse, fail or do not know."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from cli.advice import ADVICE
from cli.client_settings import TOKEN_NAME
from cli.failure import CliError, ExitCode
from meter.outcomes import Outcome, OutcomeUnknown, RefusedByNetwork, RefusedByNode, Submission
from meter.proofs import build_trust_anchor
from meter.validators import (
    AddressError,
    ClientError,
    ClientSettings,
    NotFoundError,
    QuestionRefusedError,
)
from vm.receipt import Rejection

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from meter.client import Client

T = TypeVar("T")

READ_PATIENCE = ClientSettings(request_timeout_s=5.0, rounds=2)
"""A person waits for an answer: two rounds through all validators, then the reason why there is none."""

TOKEN_REFUSALS = frozenset({"TOKEN_NEEDED", "TOKEN_UNKNOWN"})

_NOT_ALLOWED = frozenset(
    {
        Rejection.NOT_ALLOWED,
        Rejection.NOT_A_VALIDATOR,
        Rejection.SUSPENDED,
        Rejection.KEY_NOT_CURRENT,
        Rejection.SIGNATURE_INVALID,
    }
)
_NOT_FOUND = frozenset(
    {
        Rejection.ACCOUNT_UNKNOWN,
        Rejection.METER_UNKNOWN,
        Rejection.EVENT_UNKNOWN,
        Rejection.RECIPIENT_UNKNOWN,
        Rejection.VALIDATOR_UNKNOWN,
    }
)


def ask_validators(
    home: "ClientHome", work: "Callable[[Client], Awaitable[T]]", patience: ClientSettings = READ_PATIENCE
) -> T:
    """Return what ``work`` makes of a client for the validators of ``home``.

    Raises:
        CliError: no validator answers, they refuse, or they do not know what was asked for.

    """
    urls = home.get_urls()
    anchor = build_trust_anchor(home.read_genesis())
    patience = replace(patience, token=home.read_token())

    async def converse() -> T:
        from meter.client import open_client

        async with open_client(urls, anchor, patience) as client:
            return await work(client)

    try:
        return asyncio.run(converse())
    except NotFoundError as error:
        raise CliError(str(error), ExitCode.NOT_FOUND) from None
    except AddressError as error:
        raise CliError(str(error), ExitCode.USAGE) from None
    except QuestionRefusedError as error:
        if error.name not in TOKEN_REFUSALS:
            raise CliError(str(error)) from None
        what = f"{error.name}: put a token that the validators know into {home.directory / TOKEN_NAME}, mode 0600"
        raise CliError(
            f"{what}; whoever runs one makes it with `gridbft tokens add`", ExitCode.NOT_ALLOWED
        ) from None
    except ClientError as error:
        raise CliError(str(error)) from None


def check_outcome(outcome: Outcome | Submission) -> None:
    """Raise unless the transaction was taken or applied.

    Raises:
        CliError: refused (with the name of the reason), or unknown.

    """
    match outcome:
        case OutcomeUnknown(transaction_id=name, reason=reason):
            raise CliError(f"{name.hex()}: outcome unknown: {reason}", ExitCode.OUTCOME_UNKNOWN)
        case RefusedByNode(rejection=rejection, detail=detail):
            raise build_refusal(rejection, detail)
        case RefusedByNetwork(rejection=rejection):
            raise build_refusal(rejection)
        case _:
            return


def build_refusal(rejection: str, detail: str = "") -> CliError:
    """Return the end of a command whose transaction was refused: the name of the reason, and what to do."""
    advice = ADVICE.get(rejection, detail or "the validators refused it")
    text = f"{rejection}: {advice}"
    if rejection in _NOT_ALLOWED:
        return CliError(text, ExitCode.NOT_ALLOWED)
    if rejection in _NOT_FOUND:
        return CliError(text, ExitCode.NOT_FOUND)
    return CliError(text)
