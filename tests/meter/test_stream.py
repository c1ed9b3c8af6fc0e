"""The client of streams believes no validator: what is forged, broken or silent leads it to the next one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from meter.outcomes import Committed, OutcomeUnknown, RefusedByNode
from meter.proofs import TrustAnchor
from meter.stream import PATH, open_stream_client, split_by_size
from meter.validators import ClientSettings
from node.api.stream_messages import Forgotten, Proven, ProvenEntry, Taken
from primitives.encoding import encode
from primitives.limits import BATCH_TRANSACTIONS_MAX
from primitives.merkle import MerkleProof
from tests.node.api.rim import CONFIG, Rim, open_rim, run
from tests.node.community import Community
from tests.node.transactions import spoil_signature
from vm.receipt import Receipt
from vm.transaction import SealedTransaction

PATIENCE = ClientSettings(
    request_timeout_s=5.0, rounds=2, pause_first_s=0.01, pause_max_s=0.05, resend_after_s=0.5
)
Lie = Callable[[web.WebSocketResponse, SealedTransaction], Awaitable[object]]


@asynccontextmanager
async def open_liar(community: Community, lie: Lie, sealed: SealedTransaction) -> AsyncIterator[str]:
    """Open something that seems a validator of the network, and then lies on its stream."""

    async def tell_status(_: web.Request) -> web.Response:
        return web.json_response({"genesis_hash": community.genesis_hash.hex()})

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await lie(socket, sealed)
        await socket.receive()
        return socket

    app = web.Application()
    app.add_routes(
        [web.get("/v1/status", tell_status), web.get("/livez", tell_status), web.get(PATH, stream)]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def commit_when_it_waits(community: Community, sealed: SealedTransaction) -> None:
    while community.mempool.get(sealed.id) is None:  # noqa: ASYNC110  # the pool tells nobody; the test has a deadline
        await asyncio.sleep(0.005)
    community.commit(sealed)


def build_forgery(community: Community, sealed: SealedTransaction) -> bytes:
    """Return a receipt under a sound certificate in which it does not stand."""
    certificate = community.certify(community.commit())
    entry = ProvenEntry(Receipt(sealed.id, None, consumed=True), MerkleProof(0, 1, ()))
    return encode(Proven(certificate, (certificate.header,), (entry,)))


async def check_next_is_asked(lie: Lie, *, is_distrusted: bool) -> None:
    community = Community()
    sealed = community.grant()
    anchor = TrustAnchor(community.genesis_hash, (community.membership,))
    async with open_rim(community, CONFIG) as rim, open_liar(community, lie, sealed) as liar:
        committing = asyncio.ensure_future(commit_when_it_waits(community, sealed))
        async with open_stream_client([liar, rim.url("")], anchor, PATIENCE) as client:
            (outcome,) = await client.deliver_many([sealed], 30)
        await committing
        assert isinstance(outcome, Committed)
        assert outcome.transaction_id == sealed.id
        assert [url for url in client.distrusted if url == liar] == [liar] * is_distrusted


def test_a_forged_proof_is_not_believed_and_its_validator_not_asked_again() -> None:
    async def scenario() -> None:
        other = Community()

        async def lie(socket: web.WebSocketResponse, sealed: SealedTransaction) -> None:
            await socket.send_bytes(build_forgery(other, sealed))

        await check_next_is_asked(lie, is_distrusted=True)

    run(scenario())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xc1",
        b"\x94" * 10_000,
        encode(Taken(0, (), "", "")),
        encode(Taken(0, (), "BUSY", "no room")),
        encode(Taken(7, (), "", "")),
    ],
)
def test_what_is_broken_full_or_silent_leads_to_the_next_one(said: bytes) -> None:
    async def scenario() -> None:
        await check_next_is_asked(lambda socket, _: socket.send_bytes(said), is_distrusted=False)

    run(scenario())


def test_what_was_forgotten_or_cut_off_is_sent_again_to_the_next_one() -> None:
    async def scenario() -> None:
        async def forget(socket: web.WebSocketResponse, sealed: SealedTransaction) -> None:
            await socket.send_bytes(encode(Forgotten((sealed.id,))))

        await check_next_is_asked(forget, is_distrusted=False)
        await check_next_is_asked(lambda socket, _: socket.close(), is_distrusted=False)

    run(scenario())


def test_without_any_stream_the_usual_way_is_taken_and_time_ends_it() -> None:
    async def scenario() -> None:
        community = Community()
        config = ClientSettings(request_timeout_s=1.0, rounds=1, resend_after_s=0.1)
        anchor = TrustAnchor(community.genesis_hash, (community.membership,))
        async with open_stream_client(["http://127.0.0.1:1"], anchor, config) as client:
            (outcome,) = await client.deliver_many([community.grant()], 0.5)
        assert isinstance(outcome, OutcomeUnknown)
        assert "sending the same bytes again is safe" in outcome.reason

    run(scenario())


def test_a_refusal_is_told_when_all_had_their_say() -> None:
    async def scenario() -> None:
        community = Community()
        bad = spoil_signature(community.grant())
        anchor = TrustAnchor(community.genesis_hash, (community.membership,))
        async with open_rim(community) as rim:
            outcome = await deliver(rim, anchor, bad)
        assert isinstance(outcome, RefusedByNode)
        assert outcome.rejection == "SIGNATURE_INVALID"

    async def deliver(rim: Rim, anchor: TrustAnchor, sealed: SealedTransaction) -> object:
        async with open_stream_client([rim.url("")], anchor, PATIENCE) as client:
            return (await client.deliver_many([sealed], 2))[0]

    run(scenario())


def test_parts_fit_a_message_and_keep_the_order() -> None:
    community = Community()
    sealed = [community.grant() for _ in range(10)] * 250
    parts = list(split_by_size(sealed))
    assert [each for part in parts for each in part] == sealed
    assert max(map(len, parts)) == BATCH_TRANSACTIONS_MAX
