"""The feed of real validators: nothing is lost from one to the next, and listeners are nobody's burden."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from socket import SO_RCVBUF, SOL_SOCKET
from statistics import median
from time import monotonic

import aiohttp

from tests.integration.api.street import Street
from tests.node.api.listener import Event, listen

LISTENERS = 64
SLOW = 16
DELIVERIES = 25


async def deliver_some(street: Street) -> float:
    """Deliver one after the other; return the median time until each was proven."""
    took = []
    async with street.community.open_client(street.community.validators[0]) as client:
        for _ in range(DELIVERIES):
            begin_s = monotonic()
            (outcome,) = await client.deliver_many([street.community.sign_grant()], 60)
            took.append(monotonic() - begin_s)
            street.community.keep(outcome)
    return median(took)


async def read_nothing(street: Street) -> asyncio.StreamWriter:
    """Ask for all that ever happened, and take none of it."""
    validator = street.community.validators[0]
    reader, writer = await asyncio.open_connection(validator.host, validator.api_port, limit=1024)
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 2048)
    writer.write(b"GET /v1/feed?after=0&account=utility HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readline()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a connection reads
    return writer


def test_64_listeners_hear_every_block_and_commits_go_on_beside_16_that_read_nothing(
    street: Street, record_property: Callable[[str, object], None]
) -> None:
    async def act() -> None:
        alone_s = await deliver_some(street)
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=LISTENERS)
            client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            first = street.community.height
            url = f"{street.url}/v1/feed"
            feeds = [
                await stack.enter_async_context(listen(client, url, last=first)) for _ in range(LISTENERS)
            ]
            slow = [await read_nothing(street) for _ in range(SLOW)]
            beside_s = await deliver_some(street)
            last = street.community.height
            heard = await asyncio.gather(*(feed.hear_until("block", last) for feed in feeds))
            for writer in slow:
                writer.close()
        for events in heard:
            assert [each.id for each in events if each.name == "block"] == [
                str(height) for height in range(first + 1, last + 1)
            ]
        record_property("alone_ms", round(1000 * alone_s, 1))
        record_property("beside_listeners_ms", round(1000 * beside_s, 1))
        street.community.validators[0].check_log()

    asyncio.run(act())


def test_a_listener_goes_on_at_another_validator_where_it_stopped(street: Street) -> None:
    async def act() -> None:
        community = street.community
        heard: list[Event] = []
        async with aiohttp.ClientSession() as client:
            for validator in (*community.validators, *community.validators):
                last = int(heard[-1].id) if heard else 0
                committed = await community.deliver([community.sign_grant() for _ in range(3)])
                await community.wait_agreed()
                names = ",".join(each.transaction_id.hex() for each in committed)
                url = f"{validator.url}/v1/feed?ids={names}"
                async with listen(client, url, last=last) as feed:
                    events = await feed.hear_until("block", max(each.height for each in committed))
                told = {each.data["id"] for each in events if each.name == "transaction"}
                assert told == {each.transaction_id.hex() for each in committed}
                heard += events
        ids = [int(each.id) for each in heard if each.name == "block"]
        assert ids == list(range(1, ids[-1] + 1))
        assert [each.data["slot_s"] for each in heard if each.name == "slot"][:1] == [street.slot_s]

    asyncio.run(act())
