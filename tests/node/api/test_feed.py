import asyncio
from socket import SO_RCVBUF, SOL_SOCKET

import aiohttp
import msgspec
import pytest

import node.api.feed_routes as feed_module
from node.api.feed_routes import AHEAD_MAX
from tests.node.api.listener import listen
from tests.node.api.rim import CONFIG, Rim, open_rim, run
from tests.node.community import START_S, UTILITY, Community, build_settled_community, make_meter_account


def test_each_certified_block_is_told_with_its_height_as_id() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, listen(rim.client, rim.url("/v1/feed")) as listener:
            assert await listener.hear() is None
            view = await listener.hear()
            assert view is not None
            assert (view.name, view.id, view.data["primary"]) == ("view", "", "node0")
            header = rim.community.commit(rim.community.grant(), rim.community.grant(-1))
            rim.community.execute()
            (block,) = await listener.hear_until("block", 1)
            assert block.id == "1"
            assert (block.data["digest"], block.data["transactions"], block.data["applied"]) == (
                header.compute_digest().hex(),
                2,
                1,
            )

    run(scenario())


@pytest.mark.parametrize("by", ["ids", "account", "name"])
def test_own_transactions_are_told_before_their_block(by: str) -> None:
    async def scenario() -> None:
        community = Community()
        own, other = community.grant(-1), community.register_meter(0)
        query = {
            "ids": f"ids={own.id.hex()}",
            "account": f"account={UTILITY.hex()}",
            "name": "account=utility",
        }[by]
        async with open_rim(community) as rim, listen(rim.client, rim.url(f"/v1/feed?{query}")) as listener:
            community.commit(own, other)
            heard = [event for event in await listener.hear_until("block", 1) if event.name != "view"]
            told = [event.data["id"] for event in heard[:-1]]
            assert told == ([own.id.hex()] if by == "ids" else [own.id.hex(), other.id.hex()])
            assert heard[0].data["rejection"] == "AMOUNT_INVALID"
            assert all(event.name == "transaction" and not event.id for event in heard[:-1])

    run(scenario())


@pytest.mark.parametrize("is_back", [False, True])
def test_a_settled_slot_is_told_with_the_block_that_settled_it_live_or_later(is_back: bool) -> None:
    async def scenario() -> None:
        community = build_settled_community() if is_back else Community()
        last = 0 if is_back else None
        async with open_rim(community) as rim, listen(rim.client, rim.url("/v1/feed"), last) as listener:
            if not is_back:
                community.commit(*(community.register_meter(number) for number in range(2)))
                await listener.hear_until("block", 1)
                readings = [community.read_meter(0, 1, 1_000, 2_500), community.read_meter(1, 1, 4_000, 500)]
                community.commit(*readings, after_s=901)
            heard = await listener.hear_until("block", 2)
            slots = [event for event in heard if event.name == "slot"]
            assert [slot.data["slot_s"] for slot in slots] == [START_S]
            assert slots[0].data["status"] == "settled"
            assert heard.index(slots[0]) == len(heard) - 2

    run(scenario())


def test_who_comes_back_hears_every_block_once_in_order_and_goes_on_live() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            for _ in range(100):
                rim.community.commit()
            async with listen(rim.client, rim.url("/v1/feed"), last=20) as listener:
                heard = await listener.hear_until("block", 100)
                rim.community.commit()
                heard += await listener.hear_until("block", 101)
            assert [event.id for event in heard if event.name == "block"] == [str(n) for n in range(21, 102)]

    run(scenario())


def test_what_is_pruned_cannot_be_heard_again_and_the_refusal_says_where_to_begin() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            for _ in range(5):
                rim.community.commit()
            rim.community.chain.pruned = 3
            status, answer = await rim.get("/v1/feed", **{"Last-Event-ID": "2"})
            assert (status, answer["error"]) == (410, "HISTORY_GONE")
            assert "tells of blocks above 3" in answer["detail"]
            async with listen(rim.client, rim.url("/v1/feed?after=3")) as listener:
                heard = await listener.hear_until("block", 5)
            assert [event.id for event in heard if event.name == "block"] == ["4", "5"]

    run(scenario())


@pytest.mark.parametrize(
    ("query", "last"),
    [
        ("", "x"),
        ("", "-1"),
        ("", str(AHEAD_MAX + 1)),
        (f"after={AHEAD_MAX + 1}", ""),
        ("ids=ab", ""),
        ("ids=" + ",".join(["ab" * 32] * 101), ""),
        ("account=a/b", ""),
        ("since=1", ""),
    ],
)
def test_a_feed_that_makes_no_sense_is_refused(query: str, last: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get(f"/v1/feed?{query}", **({"Last-Event-ID": last} if last else {}))
            assert (status, answer["error"]) in {(400, "BAD_PARAMETER"), (404, "NOT_FOUND")}

    run(scenario())


def test_an_account_that_nobody_has_is_refused() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            name = make_meter_account(7).hex()
            status, answer = await rim.get(f"/v1/feed?account={name}")
            assert (status, answer["error"]) == (404, "NOT_FOUND")

    run(scenario())


def test_a_quiet_feed_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(feed_module, "LOOK_S", 0.02)

    async def scenario() -> None:
        async with open_rim() as rim, rim.client.get(rim.url("/v1/feed")) as response:
            while not (await response.content.readline()).startswith(b": 0"):
                pass

    run(scenario())


def test_a_listener_that_takes_nothing_is_cut_off_and_its_place_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "WRITE_S", 0.2)

    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, streams_max=1)
        community = Community()
        for _ in range(1_500):
            community.commit()
        async with open_rim(community, config) as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port, limit=1024)
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 2048)
            writer.write(b"GET /v1/feed?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readline()
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a connection reads
            await wait_for_a_place(rim)
            writer.close()

    run(scenario())


async def wait_for_a_place(rim: Rim) -> None:
    while True:
        async with rim.client.get(rim.url("/v1/feed")) as response:
            if response.status == 200:
                return
        await asyncio.sleep(0.01)


def test_who_asks_for_the_head_of_a_feed_gets_that_alone_and_keeps_no_place() -> None:
    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, streams_max=1)
        async with open_rim(config=config) as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(b"HEAD /v1/feed HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(10):
                first, second, third, body = (await reader.read()).split(b"\r\n\r\n")
            writer.close()
            assert all(each.startswith(b"HTTP/1.1 200 OK") for each in (first, second, third))
            assert b"text/event-stream" in second
            assert body.startswith(b"{")

    run(scenario())


def test_beyond_their_number_feeds_are_refused() -> None:
    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, streams_max=2)
        async with open_rim(config=config) as rim:
            url = rim.url("/v1/feed")
            async with listen(rim.client, url), listen(rim.client, url):
                status, answer = await rim.get("/v1/feed")
                assert (status, answer["error"]) == (503, "TOO_MANY_STREAMS")
            await wait_for_a_place(rim)

    run(scenario())


def test_a_stop_of_the_node_ends_the_feeds() -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as client:
            async with open_rim() as rim:
                response = await client.get(rim.url("/v1/feed"))
                await response.content.readline()
            async with asyncio.timeout(10):
                with pytest.raises(aiohttp.ClientError):
                    await response.content.read()

    run(scenario())
