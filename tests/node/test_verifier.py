import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest

import node.verifier as verifier_module
from consensus.authentication import sign_envelope
from consensus.membership import Membership
from consensus.messages import Envelope, Prepare
from node.fair_queue import QueueFullError
from node.verifier import CHUNK, OWN_CLIENTS, PEER_TRANSACTIONS_MAX, open_verifier
from primitives.header import Validator
from primitives.ids import Digest, Epoch
from primitives.signing import SecretKey
from tests.node.transactions import GENESIS_HASH, make_signed, spoil_signature

KEYS = [SecretKey(bytes([number]) * 32) for number in range(1, 5)]
MEMBERSHIP = Membership(Epoch(0), tuple(Validator(f"node{i}", key.public, b"") for i, key in enumerate(KEYS)))
PEER = KEYS[0].public
OTHER_PEER = KEYS[1].public
MANY = 10 * CHUNK


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(bounded())


def make_vote(key: SecretKey, sequence: int) -> Envelope:
    return sign_envelope(key, GENESIS_HASH, Prepare(0, 0, sequence, bytes(32)))


@pytest.mark.parametrize("count", [0, 1, 4, 5, CHUNK + 1, 3 * CHUNK])
def test_answers_come_in_the_order_of_the_transactions(count: int) -> None:
    async def scenario() -> None:
        transactions = [make_signed(number) for number in range(count)]
        transactions[1::3] = [spoil_signature(sealed) for sealed in transactions[1::3]]
        async with open_verifier(GENESIS_HASH) as verifier:
            answers = await verifier.verify_transactions(transactions, PEER)
        assert answers == [number % 3 != 1 for number in range(count)]

    run(scenario())


def test_a_transaction_of_another_chain_is_not_valid_here() -> None:
    async def scenario() -> None:
        async with open_verifier(Digest(bytes(32))) as verifier:
            assert await verifier.verify_transactions([make_signed(1)]) == [False]

    run(scenario())


def test_each_signature_is_checked_exactly_once() -> None:
    async def scenario() -> None:
        transactions = [make_signed(number) for number in range(MANY)]
        async with open_verifier(GENESIS_HASH) as verifier:
            # the same ones from three sides at once, and later again
            first = await asyncio.gather(
                verifier.verify_transactions(transactions, PEER),
                verifier.verify_transactions(transactions, OTHER_PEER),
                verifier.verify_transactions(transactions, OWN_CLIENTS),
            )
            again = await verifier.verify_transactions(transactions, PEER)
            assert all(all(answers) for answers in [*first, again])
            assert verifier.counters.valid == MANY
            assert verifier.counters.spared == 3 * MANY
            assert verifier.is_verified(transactions[0].id)

    run(scenario())


def test_an_invalid_signature_is_not_remembered() -> None:
    async def scenario() -> None:
        bad = spoil_signature(make_signed(1))
        async with open_verifier(GENESIS_HASH) as verifier:
            assert await verifier.verify_transactions([bad]) == [False]
            assert await verifier.verify_transactions([bad]) == [False]
            assert not verifier.is_verified(bad.id)
            assert verifier.counters.invalid == 2

    run(scenario())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_module, "VERIFIED_REMEMBERED_MAX", 10)

    async def scenario() -> None:
        transactions = [make_signed(number) for number in range(25)]
        async with open_verifier(GENESIS_HASH) as verifier:
            await verifier.verify_transactions(transactions)
            assert [verifier.is_verified(sealed.id) for sealed in transactions] == [False] * 15 + [True] * 10
            assert len(verifier._verified) == 10

    run(scenario())


def test_a_flood_of_invalid_signatures_does_not_delay_an_honest_peer() -> None:
    async def scenario() -> None:
        flood = [spoil_signature(make_signed(number)) for number in range(PEER_TRANSACTIONS_MAX)]
        honest = [make_signed(number, 7) for number in range(CHUNK)]
        async with open_verifier(GENESIS_HASH) as verifier:
            slow = verifier.verify_transactions(flood, PEER)
            assert all(await verifier.verify_transactions(honest, OTHER_PEER))
            # a few chunks were under way or had their turn; most of the flood still waits
            assert verifier.counters.invalid <= PEER_TRANSACTIONS_MAX // 8
            assert not slow.done()

    run(scenario())


def test_one_client_with_much_to_check_does_not_delay_another() -> None:
    async def scenario() -> None:
        async with open_verifier(GENESIS_HASH) as verifier:
            slow = verifier.verify_transactions([spoil_signature(make_signed(i)) for i in range(MANY)])
            assert (
                await verifier.verify_transactions([make_signed(number, 7) for number in range(8)])
                == [True] * 8
            )
            assert not slow.done()

    run(scenario())


def test_a_peer_with_too_much_waiting_is_refused_and_others_are_not() -> None:
    async def scenario() -> None:
        flood = [spoil_signature(make_signed(number)) for number in range(PEER_TRANSACTIONS_MAX)]
        async with open_verifier(GENESIS_HASH) as verifier:
            slow = verifier.verify_transactions(flood, PEER)
            with pytest.raises(QueueFullError):
                await verifier.verify_transactions([make_signed(1)], PEER)
            assert verifier.counters.refused == 1
            assert await verifier.verify_transactions([make_signed(1)], OTHER_PEER) == [True]
            assert not slow.done()

    run(scenario())


def test_votes_do_not_wait_for_a_backlog_of_transactions() -> None:
    async def scenario() -> None:
        backlog = [make_signed(number) for number in range(MANY)]
        async with open_verifier(GENESIS_HASH) as verifier:
            slow = verifier.verify_transactions(backlog, PEER)
            votes = [make_vote(KEYS[0], sequence) for sequence in range(1, 6)]
            assert await verifier.verify_envelopes(MEMBERSHIP, votes, PEER) == [None] * 5
            assert not slow.done()
            assert all(await slow)

    run(scenario())


def test_answers_of_one_peer_come_in_the_order_asked() -> None:
    async def scenario() -> None:
        order: list[int] = []

        def note(number: int, _: object) -> None:
            order.append(number)

        async with open_verifier(GENESIS_HASH) as verifier:
            questions = []
            for number, size in enumerate((9, 1, 5, 2, 1, 7)):
                votes = [make_vote(KEYS[0], 100 * number + i) for i in range(size)]
                question = verifier.verify_envelopes(MEMBERSHIP, votes, PEER)
                question.add_done_callback(partial(note, number))
                questions.append(question)
            await asyncio.gather(*questions)
            await asyncio.sleep(0)
        assert order == [0, 1, 2, 3, 4, 5]

    run(scenario())


def test_a_forged_vote_is_refused_with_its_reason_and_its_source_is_watched() -> None:
    async def scenario() -> None:
        good = make_vote(KEYS[0], 1)
        forged = Envelope(KEYS[1].public, good.signature, good.message)
        stranger = make_vote(SecretKey(bytes([9]) * 32), 1)
        async with open_verifier(GENESIS_HASH) as verifier:
            answers = await verifier.verify_envelopes(MEMBERSHIP, [good, forged, stranger], PEER)
            assert answers == [None, "the signature is not valid", "the sender is not a member"]
            # from now on this peer is checked in the threads, and still correctly
            assert await verifier.verify_envelopes(MEMBERSHIP, [good], PEER) == [None]
            assert PEER in verifier._suspects

    run(scenario())


def test_a_question_whose_asker_has_gone_costs_nothing_more() -> None:
    async def scenario() -> None:
        async with open_verifier(GENESIS_HASH) as verifier:
            gone = verifier.verify_transactions([make_signed(number) for number in range(MANY)], PEER)
            gone.cancel()
            assert await verifier.verify_transactions([make_signed(9, 9)] * 5, PEER) == [True] * 5
            assert verifier.counters.valid <= 3 * CHUNK

    run(scenario())


def test_closing_cancels_what_is_open() -> None:
    async def scenario() -> None:
        async with open_verifier(GENESIS_HASH) as verifier:
            question = verifier.verify_transactions([make_signed(number) for number in range(MANY)], PEER)
        assert question.cancelled()

    run(scenario())


def test_nothing_is_kept_of_a_source_that_has_no_question() -> None:
    async def scenario() -> None:
        async with open_verifier(GENESIS_HASH) as verifier:
            await verifier.verify_transactions([make_signed(number) for number in range(MANY)], PEER)
            await verifier.verify_transactions([make_signed(number, 2) for number in range(MANY)])
            await asyncio.sleep(0)
            assert not verifier._transactions._sources
            assert not verifier._in_flight

    run(scenario())
