"""Two and four members on real sockets: who hears what, how often, in which order, and what is left at the end."""

import asyncio
import contextlib

import pytest
import uvloop

from p2p.frames import Channel
from p2p.listener import PortBusy
from p2p.network import open_network
from primitives.limits import FRAME_BYTES_MAX
from tests.p2p.members import (
    DEADLINE_S,
    Ear,
    build_settings,
    dial_as,
    introduce,
    is_fully_connected,
    make_members,
    open_mesh,
    open_station,
    wait_until,
)


def test_two_members_hear_each_other() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            assert one.network.send(two.id, Channel.CONSENSUS, b"from one")
            assert two.network.send(one.id, Channel.TRANSACTIONS, b"from two")
            await wait_until(lambda: bool(one.ear.messages and two.ear.messages), "both heard")
            assert two.ear.messages == [(one.id, Channel.CONSENSUS, b"from one")]
            assert one.ear.messages == [(two.id, Channel.TRANSACTIONS, b"from two")]
            assert one.ear.changes == [(two.id, True)]
            assert two.ear.changes == [(one.id, True)]

    asyncio.run(play())


async def gossip_among_four() -> None:
    async with open_mesh(4) as stations:
        sent: dict[bytes, list[bytes]] = {}
        for index, station in enumerate(stations):
            sent[station.id] = [b"transaction %d of %d" % (number, index) for number in range(500)]
        for turn in range(0, 500, 50):
            for station in stations:
                for transaction in sent[station.id][turn : turn + 50]:
                    station.network.gossip(transaction)
            await asyncio.sleep(0)
        for station in stations:
            await wait_until(lambda s=station: len(s.ear.messages) >= 1500, "all transactions")  # type: ignore[misc]
            expected = [t for key, transactions in sent.items() if key != station.id for t in transactions]
            assert sorted(station.ear.get_payloads(Channel.TRANSACTIONS)) == sorted(expected)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_every_transaction_reaches_each_other_member_exactly_once(run: type) -> None:
    run(gossip_among_four())


def test_consensus_messages_of_a_member_arrive_in_order_while_gossip_fills_the_link() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            for number in range(2000):
                one.network.gossip(b"x" * 200)
                one.network.broadcast(Channel.CONSENSUS, number.to_bytes(4, "big"))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await wait_until(lambda: len(two.ear.messages) == 4000, "everything")
            heard = [int.from_bytes(payload, "big") for payload in two.ear.get_payloads(Channel.CONSENSUS)]
            assert heard == list(range(2000))

    asyncio.run(play())


def test_a_burst_leaves_in_few_messages_and_a_lonely_transaction_at_once() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            for _ in range(200):
                one.network.gossip(b"x" * 100)
            await wait_until(lambda: len(two.ear.messages) == 200, "the burst")
            await wait_until(lambda: one.get_peer(two).bytes_out == 200 * 105, "counted")
            loop = asyncio.get_running_loop()
            await asyncio.sleep(0.02)  # the link is idle
            began_s = loop.time()
            one.network.gossip(b"alone")
            while len(two.ear.messages) < 201:
                await asyncio.sleep(0)
                assert loop.time() - began_s < 1
            assert two.get_peer(one).bytes_in == 200 * 105 + 10

    asyncio.run(play())


def test_a_payload_of_the_largest_size_arrives_and_a_larger_one_is_not_sent() -> None:
    async def play() -> None:
        async with open_mesh(2) as (one, two):
            assert one.network.send(two.id, Channel.CONSENSUS, bytes(FRAME_BYTES_MAX))
            assert not one.network.send(two.id, Channel.CONSENSUS, bytes(FRAME_BYTES_MAX + 1))
            one.network.broadcast(Channel.CONSENSUS, bytes(FRAME_BYTES_MAX + 1))
            assert one.network.send(two.id, Channel.CONSENSUS, b"and the link lives")
            assert two.network.send(one.id, Channel.CONSENSUS, bytes(FRAME_BYTES_MAX))
            await wait_until(lambda: len(two.ear.messages) == 2 and len(one.ear.messages) == 1, "all")
            assert [len(payload) for _, _, payload in two.ear.messages] == [FRAME_BYTES_MAX, 18]

    asyncio.run(play())


def test_nothing_is_sent_to_a_member_that_is_not_connected_or_unknown() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_station(build_settings(two, [one.build_address()]), two) as station:
            assert not station.network.send(one.key.public, Channel.CONSENSUS, b"hello?")
            assert not station.network.send(b"?" * 32, Channel.CONSENSUS, b"hello?")
            station.network.broadcast(Channel.CONSENSUS, b"hello?")
            station.network.gossip(b"hello?")
            assert station.get_peer(one).last_error == "not connected yet"

    asyncio.run(play())


def test_a_port_that_is_taken_is_named() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_station(build_settings(two, [one.build_address()]), two) as station:
            settings = build_settings(two, [one.build_address()], station.network.port)
            with pytest.raises(PortBusy, match=f":{station.network.port} .*in use; stop what uses it"):
                async with open_network(settings, Ear()):
                    pass

    asyncio.run(play())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_closing_leaves_no_task_behind(run: type) -> None:
    async def play() -> None:
        before = asyncio.all_tasks()
        async with open_mesh(4) as stations:
            for station in stations:
                station.network.broadcast(Channel.CONSENSUS, b"x" * 100_000)
        assert asyncio.all_tasks() == before

    run(play())


def test_cancelling_whoever_holds_the_network_closes_it() -> None:
    async def play() -> None:
        before = asyncio.all_tasks()
        is_open = asyncio.Event()

        async def hold() -> None:
            async with open_mesh(2):
                is_open.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await is_open.wait()
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(DEADLINE_S):
                await holder
        assert asyncio.all_tasks() == before

    asyncio.run(play())


def test_an_error_of_whoever_holds_the_network_comes_out_as_it_is() -> None:
    async def play() -> None:
        with pytest.raises(KeyError):
            async with open_mesh(2):
                raise KeyError

    asyncio.run(play())


def expect_bug() -> "pytest.RaisesGroup[ExceptionGroup[ValueError]]":
    """The network's group holds the link's group, which holds what the handler raised."""
    return pytest.RaisesGroup(pytest.RaisesGroup(ValueError))


@pytest.mark.parametrize("buggy_index", [0, 1], ids=["that dials", "that listens"])
def test_a_bug_in_a_handler_ends_the_network_that_has_it(buggy_index: int) -> None:
    class Buggy(Ear):
        def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
            raise ValueError("a bug")

    async def play() -> None:
        one, two = make_members(2)
        ears = [Buggy() if index == buggy_index else Ear() for index in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            if buggy_index == 1:
                stack.enter_context(expect_bug())
            listening = await stack.enter_async_context(
                open_network(build_settings(two, [one.build_address()]), ears[1])
            )
            if buggy_index == 0:
                stack.enter_context(expect_bug())
            dialling = await stack.enter_async_context(
                open_network(build_settings(one, [two.build_address(listening.port)]), ears[0])
            )
            async with asyncio.timeout(20):
                while True:
                    dialling.broadcast(Channel.CONSENSUS, b"boom")
                    listening.broadcast(Channel.CONSENSUS, b"boom")
                    await asyncio.sleep(0.002)

    asyncio.run(play())


def test_a_newer_link_of_a_member_replaces_the_older_one() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_station(build_settings(two, [one.build_address()]), two) as station:
            async with dial_as(one, station) as older, dial_as(one, station) as newer:
                await introduce(older, one, station)
                await wait_until(lambda: is_fully_connected(station), "the older link")
                await introduce(newer, one, station)
                assert (await older.receive()).extra == "replaced by a newer link"
                assert station.get_peer(one).connected
                assert station.network.send(one.key.public, Channel.CONSENSUS, b"to the newer")
                assert (await newer.receive()).data.endswith(b"to the newer")
            await wait_until(lambda: not station.get_peer(one).connected, "lost")
            key = one.key.public
            assert station.ear.changes == [(key, True), (key, False), (key, True), (key, False)]

    asyncio.run(play())


def test_a_network_of_one_member_opens_and_closes() -> None:
    async def play() -> None:
        async with open_network(build_settings(make_members(1)[0], []), Ear()) as network:
            assert network.get_peers() == []
            network.broadcast(Channel.CONSENSUS, b"to nobody")

    asyncio.run(play())
