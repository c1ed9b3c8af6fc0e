"""Transactions over a websocket, on real validators: proven as over HTTP, once each, whoever dies."""

import asyncio

import aiohttp
import msgspec
import pytest

from meter.outcomes import Committed, RefusedByNode
from meter.stream import PATH, StreamClient, open_stream_client
from meter.validators import ClientSettings
from primitives.encoding import encode
from primitives.ids import Height, Nonce
from primitives.signing import SecretKey
from tests.integration.api.street import Street
from tests.integration.validator import DEADLINE_S
from vm.contracts.ledger import Asset, Grant
from vm.transaction import Call, SealedTransaction

PATIENCE = ClientSettings(
    request_timeout_s=5.0, rounds=8, pause_first_s=0.05, pause_max_s=0.5, resend_after_s=2.0
)


def sign_many(street: Street, count: int) -> list[SealedTransaction]:
    return [street.community.sign_grant() for _ in range(count)]


async def deliver(client: StreamClient, street: Street, transactions: list[SealedTransaction]) -> None:
    """All must be committed, with receipts that are verified once more from the genesis."""
    for outcome in await client.deliver_many(transactions, DEADLINE_S):
        street.community.keep(outcome)


def test_what_is_submitted_over_a_stream_is_proven_over_it(street: Street) -> None:
    async def act() -> None:
        before = await street.community.read_coins(street.community.validators[0])
        async with open_stream_client(street.community.urls, street.community.anchor, PATIENCE) as client:
            await asyncio.gather(*(deliver(client, street, sign_many(street, 200)) for _ in range(3)))
        await street.community.wait_agreed()
        assert await street.community.read_coins(street.community.validators[0]) == before + 600

    asyncio.run(act())


def test_what_was_committed_before_is_proven_at_once_and_not_applied_again(street: Street) -> None:
    async def act() -> None:
        transactions = sign_many(street, 3)
        committed = await street.community.deliver(transactions)
        before = await street.community.read_coins(street.community.validators[0])
        async with open_stream_client(street.community.urls, street.community.anchor, PATIENCE) as client:
            outcomes = await client.deliver_many(transactions, DEADLINE_S)
        assert [each.height for each in outcomes if isinstance(each, Committed)] == [
            each.height for each in committed
        ]
        assert await street.community.read_coins(street.community.validators[0]) == before

    asyncio.run(act())


def test_a_refusal_over_a_stream_is_that_of_all_validators(street: Street) -> None:
    async def act() -> None:
        call = Call("ledger", "grant", encode(Grant(street.community.utility.account, Asset.COIN, 1)))
        stranger = street.community.build_signer(SecretKey(b"stranger".ljust(32)))
        foreign = stranger.sign(call, Nonce(1), Height(0))
        good = sign_many(street, 2)
        async with open_stream_client(street.community.urls, street.community.anchor, PATIENCE) as client:
            outcomes = await client.deliver_many([good[0], foreign, good[1]], DEADLINE_S)
        assert isinstance(outcomes[1], RefusedByNode)
        assert [type(outcomes[0]), type(outcomes[2])] == [Committed, Committed]

    asyncio.run(act())


def test_when_the_validator_dies_the_same_bytes_go_to_another_one(street: Street) -> None:
    async def act() -> None:
        community = street.community
        victim = community.validators[0]
        before = await community.read_coins(community.validators[1])
        async with open_stream_client(community.urls, community.anchor, PATIENCE) as client:
            await deliver(client, street, sign_many(street, 5))
            victim.freeze()
            delivering = asyncio.ensure_future(deliver(client, street, sign_many(street, 50)))
            await asyncio.sleep(0)
            victim.kill()
            await delivering
        victim.start()
        await community.wait_linked()
        await community.wait_agreed()
        assert await community.read_coins(community.validators[1]) == before + 55
        await community.check_acknowledged()

    asyncio.run(act())


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"\xc1", "BODY_MALFORMED"),
        (b"\x90", "BODY_MALFORMED"),
        (msgspec.msgpack.encode(["text"]), "BODY_MALFORMED"),
        ("text", "TYPE_UNSUPPORTED"),
        (b"\xc6" + bytes(300_000), ""),
    ],
)
def test_what_is_no_array_of_transactions_ends_the_stream_by_name(
    street: Street, message: bytes | str, name: str
) -> None:
    async def act() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(street.url + PATH) as socket:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            last = await socket.receive(timeout=DEADLINE_S)
            while last.type is aiohttp.WSMsgType.BINARY:
                assert msgspec.msgpack.decode(last.data)[3] == name
                last = await socket.receive(timeout=DEADLINE_S)
            assert last.type is aiohttp.WSMsgType.CLOSE
            assert last.data == (1008 if name else 1009)
            assert not name or last.extra == name

    asyncio.run(act())


def test_a_page_of_another_site_opens_no_stream(street: Street) -> None:
    async def act() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(street.url + PATH, origin="https://elsewhere.example")
            assert refused.value.status == 403

    asyncio.run(act())
