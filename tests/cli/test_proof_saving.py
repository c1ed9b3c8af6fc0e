"""What a validator answers becomes a file only when it proves what it says; what is missing or swapped is named."""

import asyncio
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec import structs

from cli import balance
from cli.failure import CliError, ExitCode
from cli.proof_saving import build_balance_file, build_bill_file, check_proof, write_new
from meter.answers import AccountAnswer, BillAnswer, decode_answer
from meter.verification import VerifiedBill
from tests.node.api.rim import open_rim
from tests.node.community import START_S, build_genesis, build_settled_community

T = TypeVar("T")
GENESIS = build_genesis()


def fetch(path: str, expected: type[T]) -> T:
    """What a real validator answers."""

    async def ask() -> T:
        async with open_rim(build_settled_community()) as rim:
            _, answer = await rim.get(path)
            return decode_answer(json.dumps(answer).encode(), expected)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def bill() -> BillAnswer:
    return fetch(f"/v1/bills/home-0?first={START_S}&last={START_S}&proof=1", BillAnswer)


@pytest.fixture(scope="module")
def other_bill() -> BillAnswer:
    return fetch(f"/v1/bills/home-1?first={START_S}&last={START_S}&proof=1", BillAnswer)


@pytest.fixture(scope="module")
def account() -> AccountAnswer:
    return fetch("/v1/accounts/home-0?proof=1", AccountAnswer)


def test_a_bill_as_it_was_answered_proves_itself(bill: BillAnswer) -> None:
    _, found = check_proof(build_bill_file(bill, ()), GENESIS)
    assert isinstance(found, VerifiedBill)
    assert (found.home, len(found.lines)) == ("home-0", 1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda bill, _: structs.replace(bill, record=None), "gave no proof"),
        (lambda bill, _: structs.replace(bill, certificate=None), "gave no proof"),
        (lambda bill, _: structs.replace(bill, certificate=b"none"), "gave no proof"),
        (lambda bill, _: structs.replace(bill, meter="xy"), "gave no proof"),
        (
            lambda bill, _: structs.replace(bill, lines=[structs.replace(bill.lines[0], key="xy")]),
            "gave no proof",
        ),
        (
            lambda bill, _: structs.replace(bill, lines=[structs.replace(bill.lines[0], proof=None)]),
            "gave no proof",
        ),
        (
            lambda bill, _: structs.replace(bill, lines=[structs.replace(bill.lines[0], value="9")]),
            "gave no proof",
        ),
        (lambda bill, other: structs.replace(bill, record=other.record), "VALUE_NOT_IN_STATE"),
        (lambda bill, other: structs.replace(bill, lines=other.lines), "VALUE_NOT_IN_STATE"),
        (lambda bill, _: structs.replace(bill, meter="00"), "ACCOUNT_INVALID"),
    ],
)
def test_a_bill_that_lacks_a_proof_or_has_another_ones_is_not_kept(
    bill: BillAnswer,
    other_bill: BillAnswer,
    spoil: Callable[[BillAnswer, BillAnswer], BillAnswer],
    reason: str,
) -> None:
    with pytest.raises(CliError, match=reason):
        check_proof(build_bill_file(spoil(bill, other_bill), ()), GENESIS)


@pytest.mark.parametrize(
    ("asked", "spoil", "reason"),
    [
        ("home-0", lambda answer: structs.replace(answer, name="home-1"), "another balance than it says"),
        ("home-1", lambda answer: answer, "another balance than it says"),
        (
            "home-0",
            lambda answer: structs.replace(
                answer, balances=structs.replace(answer.balances, settlement_nano=0)
            ),
            "another balance than it says",
        ),
        (
            "home-0",
            lambda answer: structs.replace(answer, balances=structs.replace(answer.balances, coins=5)),
            "another balance than it says",
        ),
        ("home-0", lambda answer: structs.replace(answer, account="xy"), "gave no proof"),
        ("home-0", lambda answer: structs.replace(answer, certificate=None), "gave no proof"),
        ("home-0", lambda answer: structs.replace(answer, records=answer.records[1:]), "NOTHING_PROVEN"),
        (
            "home-0",
            lambda answer: structs.replace(answer, records=answer.records[:1]),
            "nothing was ever booked",
        ),
    ],
)
def test_a_balance_that_is_not_what_the_answer_says_is_refused(
    account: AccountAnswer, asked: str, spoil: Callable[[AccountAnswer], AccountAnswer], reason: str
) -> None:
    data, _ = balance._check(build_balance_file(account, ()), account, "home-0", GENESIS)
    assert data
    answer = spoil(account)
    with pytest.raises(CliError, match=reason):
        balance._check(build_balance_file(answer, ()), answer, asked, GENESIS)


def test_a_proof_that_finds_no_room_leaves_no_half_of_it_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "birch.proof"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(CliError, match="File too large") as refused:
            write_new(path, bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == ExitCode.ERROR
    assert not list(tmp_path.iterdir())
    write_new(path, b"whole")
    with pytest.raises(CliError, match="there is a file of this name"):
        write_new(path, b"other")
    assert path.read_bytes() == b"whole"
