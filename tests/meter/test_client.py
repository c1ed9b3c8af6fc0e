"""A client gets its transaction through whichever validators work, and believes none of them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TypeVar

import pytest
from msgspec import structs

from meter.client import Client, open_client
from meter.outcomes import (
    Accepted,
    Committed,
    Outcome,
    OutcomeUnknown,
    RefusedByNetwork,
    RefusedByNode,
    Submission,
)
from meter.proofs import CertifiedReceipt
from meter.transport import ANSWER_BYTES_MAX
from meter.validators import (
    AddressError,
    ClientSettings,
    NoAnswerError,
    NotFoundError,
    QuestionRefusedError,
)
from primitives.ids import Digest
from tests.meter.networks import (
    ANCHOR,
    KEYS,
    STRANGER,
    Ledger,
    build_genesis,
    build_header,
    certify,
    prove,
    sign_call,
)
from tests.meter.stand_in import StandIn, serve
from vm.receipt import Receipt
from vm.transaction import SealedTransaction

T = TypeVar("T")

LONG_S = 30.0
"""For what must succeed: what is slow on a busy machine is not wrong."""
QUICK = ClientSettings(
    request_timeout_s=LONG_S, rounds=3, pause_first_s=0.01, pause_max_s=0.02, resend_after_s=0.2
)
HASTY = replace(QUICK, request_timeout_s=1.0)
"""Where somebody never answers."""
DEAD = "http://127.0.0.1:1"


def ask(
    work: Callable[[Client], Coroutine[object, object, T]],
    *stand_ins: StandIn,
    first: tuple[str, ...] = (),
    settings: ClientSettings = QUICK,
) -> T:
    """What the work makes of a client of these validators, after the addresses of ``first``."""

    async def converse() -> T:
        async with serve(*stand_ins) as urls, open_client([*first, *urls], ANCHOR, settings) as client:
            return await work(client)

    return asyncio.run(converse())


def deliver(
    transaction: SealedTransaction,
    *stand_ins: StandIn,
    first: tuple[str, ...] = (),
    timeout_s: float = LONG_S,
    settings: ClientSettings = QUICK,
) -> Outcome:
    return ask(
        lambda client: client.deliver(transaction, timeout_s), *stand_ins, first=first, settings=settings
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_transaction_is_delivered_with_a_verified_proof(ledger: Ledger) -> None:
    transaction = sign_call(1)
    outcome = deliver(transaction, StandIn(ledger))
    assert isinstance(outcome, Committed)
    assert outcome.transaction_id == transaction.id
    assert outcome.height == 1
    assert outcome.proof == ledger.proofs[transaction.id]


def test_many_transactions_are_delivered_in_one_request_each_with_its_proof(ledger: Ledger) -> None:
    node = StandIn(ledger)
    transactions = [sign_call(nonce) for nonce in range(1, 251)]
    outcomes = ask(lambda client: client.deliver_many(transactions, LONG_S), node)
    assert [outcome.transaction_id for outcome in outcomes] == [entry.id for entry in transactions]
    assert all(isinstance(outcome, Committed) for outcome in outcomes)
    assert node.asked.count("POST /v1/transactions/batch") == 1


def test_the_same_transaction_twice_has_one_outcome_for_both(ledger: Ledger) -> None:
    transaction = sign_call(1)
    outcomes = ask(lambda client: client.deliver_many([transaction, transaction], LONG_S), StandIn(ledger))
    assert outcomes[0] == outcomes[1]
    assert ledger.applied == [transaction.id]


def test_nothing_to_deliver_asks_nobody(ledger: Ledger) -> None:
    node = StandIn(ledger)
    assert ask(lambda client: client.deliver_many([], 5.0), node) == []
    assert node.asked == []


def test_a_dead_validator_is_passed_over(ledger: Ledger) -> None:
    assert isinstance(deliver(sign_call(1), StandIn(ledger), first=(DEAD,)), Committed)


def test_a_validator_that_never_answers_is_passed_over(ledger: Ledger) -> None:
    outcome = deliver(sign_call(1), StandIn(ledger, is_silent=True), StandIn(ledger), settings=HASTY)
    assert isinstance(outcome, Committed)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_or_broken_validator_is_passed_over(ledger: Ledger, status: int) -> None:
    assert isinstance(deliver(sign_call(1), StandIn(ledger, status=status), StandIn(ledger)), Committed)


def test_a_redirection_is_not_followed(ledger: Ledger) -> None:
    assert isinstance(deliver(sign_call(1), StandIn(ledger, status=302), StandIn(ledger)), Committed)


def test_a_validator_that_accepts_and_forgets_is_left_for_another_with_the_same_bytes(ledger: Ledger) -> None:
    forgetful, honest = StandIn(ledger, is_dropping=True), StandIn(ledger)
    transaction = sign_call(1)
    assert isinstance(deliver(transaction, forgetful, honest), Committed)
    assert {*forgetful.received, *honest.received} == {transaction.raw}
    assert ledger.applied == [transaction.id]


@pytest.mark.parametrize("forgetful", [1, 2, 3])
def test_whoever_accepts_and_forgets_gets_a_transaction_once_more_only_after_all_others(
    ledger: Ledger, forgetful: int
) -> None:
    nodes = [StandIn(ledger, is_dropping=True) for _ in range(forgetful)]
    honest = StandIn(ledger)
    assert isinstance(deliver(sign_call(1), *nodes, honest), Committed)
    assert max(node.asked.count("POST /v1/transactions") for node in (*nodes, honest)) == 1


def test_when_all_accept_and_forget_each_is_asked_in_turn_until_one_remembers(ledger: Ledger) -> None:
    nodes = [StandIn(ledger, is_dropping=True) for _ in range(2)]

    async def work(client: Client) -> Outcome:
        delivery = asyncio.create_task(client.deliver(sign_call(1), LONG_S))
        async with asyncio.timeout(LONG_S):
            while min(len(node.received) for node in nodes) < 2:  # noqa: ASYNC110  # stand-ins signal nothing
                await asyncio.sleep(0.01)
        nodes[1].is_dropping = False
        return await delivery

    assert isinstance(ask(work, *nodes), Committed)
    assert abs(len(nodes[0].received) - len(nodes[1].received)) <= 1


def test_a_refusal_of_the_network_is_proven_and_named(ledger: Ledger) -> None:
    transaction = sign_call(1)
    ledger.execute([Digest(transaction.id)], "READING_EXISTS")
    outcome = deliver(transaction, StandIn(ledger))
    assert isinstance(outcome, RefusedByNetwork)
    assert (outcome.rejection, outcome.consumed, outcome.height) == ("READING_EXISTS", True, 1)


def test_a_refusal_that_spares_the_nonce_says_so(ledger: Ledger) -> None:
    transaction = sign_call(1)
    ledger.execute([Digest(transaction.id)], "SUSPENDED", consumed=False)
    outcome = deliver(transaction, StandIn(ledger))
    assert isinstance(outcome, RefusedByNetwork)
    assert not outcome.consumed


def test_a_refusal_of_all_validators_is_told_as_theirs(ledger: Ledger) -> None:
    nodes = [StandIn(ledger, refuse_all="ACCOUNT_UNKNOWN") for _ in range(3)]
    outcome = deliver(sign_call(1), *nodes)
    assert isinstance(outcome, RefusedByNode)
    assert outcome.rejection == "ACCOUNT_UNKNOWN"
    assert all(node.received for node in nodes)


def test_one_validators_refusal_is_overruled_by_another(ledger: Ledger) -> None:
    outcome = deliver(sign_call(1), StandIn(ledger, refuse_all="NONCE_USED"), StandIn(ledger))
    assert isinstance(outcome, Committed)


def test_what_is_refused_because_it_was_applied_before_is_found_applied(ledger: Ledger) -> None:
    transaction = sign_call(1)
    ledger.execute([Digest(transaction.id)])
    assert isinstance(deliver(transaction, StandIn(ledger, refuse_all="NONCE_USED")), Committed)


def test_a_full_mempool_is_no_refusal(ledger: Ledger) -> None:
    outcome = deliver(sign_call(1), StandIn(ledger, refuse_all="MEMPOOL_FULL"), timeout_s=0.5)
    assert isinstance(outcome, OutcomeUnknown)
    assert "MEMPOOL_FULL" in outcome.reason


def test_each_transaction_of_a_batch_has_its_own_outcome(ledger: Ledger) -> None:
    transactions = [sign_call(nonce) for nonce in range(1, 4)]
    node = StandIn(ledger, refusals={transactions[1].id: "READING_OF_FUTURE"})
    outcomes = ask(lambda client: client.deliver_many(transactions, LONG_S), node)
    assert [type(outcome) for outcome in outcomes] == [Committed, RefusedByNode, Committed]


def test_without_an_answer_the_outcome_is_unknown_within_the_time_given() -> None:
    began_s = time.monotonic()
    outcome = deliver(sign_call(1), first=(DEAD,), timeout_s=0.5)
    assert isinstance(outcome, OutcomeUnknown)
    assert "same bytes again is safe" in outcome.reason
    assert time.monotonic() - began_s < 3


def test_a_stalling_network_is_unknown_within_the_time_given(ledger: Ledger) -> None:
    began_s = time.monotonic()
    outcome = deliver(
        sign_call(1), *[StandIn(ledger, is_silent=True) for _ in range(4)], timeout_s=0.7, settings=HASTY
    )
    assert isinstance(outcome, OutcomeUnknown)
    assert time.monotonic() - began_s < 3


def replace_receipt(certified: CertifiedReceipt, **changes: object) -> CertifiedReceipt:
    receipt = structs.replace(certified.proof.receipt, **changes)
    return CertifiedReceipt(structs.replace(certified.proof, receipt=receipt), certified.certificate)


def certify_anew(certified: CertifiedReceipt, *keys: object) -> CertifiedReceipt:
    return CertifiedReceipt(certified.proof, certify(certified.proof.headers[-1], keys))  # type: ignore[arg-type]


def sign_a_lie(certified: CertifiedReceipt) -> CertifiedReceipt:
    """A whole block of its own, signed by too few members."""
    receipt = Receipt(certified.receipt.transaction_id, "READING_EXISTS", True)
    return prove((receipt,), 0, keys=(KEYS[0],))


LIES: list[Callable[[CertifiedReceipt], CertifiedReceipt]] = [
    lambda certified: replace_receipt(certified, rejection="READING_EXISTS"),
    lambda certified: replace_receipt(certified, consumed=False),
    lambda certified: replace_receipt(certified, transaction_id=bytes(32)),
    lambda certified: certify_anew(certified, *KEYS[:2]),
    lambda certified: certify_anew(certified, *KEYS[:2], STRANGER),
    lambda certified: certify_anew(certified, *KEYS[:2], KEYS[1]),
    lambda certified: CertifiedReceipt(certified.proof, certify(build_header(9))),
    lambda certified: CertifiedReceipt(structs.replace(certified.proof, headers=()), certified.certificate),
    sign_a_lie,
]


@pytest.mark.parametrize("lie", LIES)
def test_a_forged_proof_is_not_believed_and_its_validator_not_asked_again(
    ledger: Ledger, lie: Callable[[CertifiedReceipt], CertifiedReceipt]
) -> None:
    liar, honest = StandIn(ledger, alter=lie), StandIn(ledger)

    async def work(client: Client) -> tuple[Outcome, dict[str, str]]:
        return await client.deliver(sign_call(1), LONG_S), client.distrusted

    outcome, distrusted = ask(work, liar, honest)
    assert isinstance(outcome, Committed)
    (reason,) = distrusted.values()
    assert reason.startswith("showed a forged proof")
    assert liar.asked.count("POST /v1/proofs") == 1


@pytest.mark.parametrize("lie", LIES)
def test_a_network_of_liars_convinces_nobody(
    ledger: Ledger, lie: Callable[[CertifiedReceipt], CertifiedReceipt]
) -> None:
    liars = [StandIn(ledger, alter=lie) for _ in range(4)]
    outcome = deliver(sign_call(1), *liars, timeout_s=1.0)
    assert isinstance(outcome, OutcomeUnknown)


def test_a_validator_of_another_genesis_is_named_and_not_given_anything(ledger: Ledger) -> None:
    foreign = StandIn(ledger, genesis_hex=build_genesis("avenue").compute_hash().hex())
    honest = StandIn(ledger)

    async def work(client: Client) -> tuple[Outcome, dict[str, str]]:
        return await client.deliver(sign_call(1), LONG_S), client.distrusted

    outcome, distrusted = ask(work, foreign, honest)
    assert isinstance(outcome, Committed)
    assert foreign.received == []
    assert "another genesis" in next(iter(distrusted.values()))


def test_a_signature_for_another_network_with_the_same_validators_is_not_believed(ledger: Ledger) -> None:
    foreign = structs.replace(build_genesis("avenue"))
    anchor = type(ANCHOR)(foreign.compute_hash(), ANCHOR.memberships)
    name = sign_call(1).id
    node = StandIn(ledger, alter=lambda _: prove((Receipt(name, None, True),), 0, anchor=anchor))
    assert isinstance(deliver(sign_call(1), node, timeout_s=0.5), OutcomeUnknown)


def test_an_answer_that_is_too_large_is_not_read_to_its_end(ledger: Ledger) -> None:
    outcome = deliver(sign_call(1), StandIn(ledger, padding=ANSWER_BYTES_MAX), StandIn(ledger))
    assert isinstance(outcome, Committed)


def test_a_receipt_certified_by_a_later_block_is_believed(ledger: Ledger) -> None:
    transaction = sign_call(1)
    receipts = (Receipt(bytes(32), None, True), Receipt(transaction.id, None, True))
    ledger.proofs[transaction.id] = prove(receipts, 1, height=4, later=3)
    outcome = deliver(transaction, StandIn(ledger))
    assert isinstance(outcome, Committed)
    assert outcome.height == 4


def test_submitting_alone_tells_who_took_it_and_claims_nothing_more(ledger: Ledger) -> None:
    nodes = [StandIn(ledger, is_dropping=True)]

    async def work(client: Client) -> Submission:
        return await client.submit(sign_call(1))

    assert isinstance(ask(work, *nodes), Accepted)


def test_more_than_one_request_holds_is_submitted_in_several(ledger: Ledger) -> None:
    node = StandIn(ledger, is_dropping=True)
    transactions = [sign_call(nonce) for nonce in range(1, 1202)]
    results = ask(lambda client: client.submit_many(transactions), node)
    assert all(isinstance(result, Accepted) for result in results)
    assert [entry.raw for entry in transactions] == node.received
    assert node.asked.count("POST /v1/transactions/batch") == 2


def test_the_certified_height_is_the_highest_that_is_proven(ledger: Ledger) -> None:
    nodes = [StandIn(ledger, certified_height=height) for height in (3, 9, 5)]
    assert ask(lambda client: client.get_certified_height(), *nodes, first=(DEAD,)) == 9
    assert ask(lambda client: client.get_certified_height(), StandIn(ledger)) == 0


def test_questions_are_answered_as_types(ledger: Ledger) -> None:
    async def work(client: Client) -> None:
        status = await client.get_status()
        assert (status.name, status.phase, status.commit_latency_ms.p50) == ("node0", "normal", 12.5)
        account = await client.get_account("CL01")
        assert (account.nonce_hint, account.balances.settlement_nano) == (4, -5)

    ask(work, StandIn(ledger))


def test_each_validators_status_or_failure_is_told_by_address(ledger: Ledger) -> None:
    statuses = ask(
        lambda client: client.get_statuses(), StandIn(ledger), StandIn(ledger, status=500), first=(DEAD,)
    )
    kinds = [type(status).__name__ for status in statuses.values()]
    assert kinds == ["str", "StatusAnswer", "str"]


def test_what_no_validator_knows_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="no account CL99"):
        ask(lambda client: client.get_account("CL99"), StandIn(ledger))


def test_a_name_cannot_lead_to_another_question(ledger: Ledger) -> None:
    node = StandIn(ledger)
    with pytest.raises(NotFoundError):
        ask(lambda client: client.get_account("../status?x=#"), node)
    assert node.asked[-1].startswith("GET /v1/accounts/")


def test_a_question_that_is_refused_is_named(ledger: Ledger) -> None:
    async def work(client: Client) -> None:
        await client.get_status()
        node.status = 400
        with pytest.raises(QuestionRefusedError) as raised:
            await client.get_account("CL01")
        assert raised.value.name == "BUSY"

    node = StandIn(ledger)
    ask(work, node)


def test_when_nobody_answers_the_error_names_each_validators_failure(ledger: Ledger) -> None:
    with pytest.raises(NoAnswerError) as raised:
        ask(lambda client: client.get_status(), StandIn(ledger, status=500), first=(DEAD,))
    message = str(raised.value)
    assert "BUSY" in message
    assert f"{DEAD}: connection refused" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "ftp://a", "http://", "http://a:b", "http://u:p@a", "http://a/v1", "http://a?x"],
)
def test_what_is_no_address_is_refused_by_name(url: str) -> None:
    with pytest.raises(AddressError, match="no address of a validator"):
        ask(lambda client: client.get_status(), first=(url,))


def test_a_refused_address_is_named_without_its_password() -> None:
    with pytest.raises(AddressError) as raised:
        ask(lambda client: client.get_status(), first=("http://user:secret@host:80/",))
    assert "secret" not in str(raised.value)
    assert "http://host:80/" in str(raised.value)


def test_without_any_address_there_is_no_client() -> None:
    with pytest.raises(AddressError, match="between 1 and"):
        ask(lambda client: client.get_status())
