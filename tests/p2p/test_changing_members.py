"""Members that come, go and change their keys while the network runs; nobody else's link is disturbed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvloop

from p2p.frames import Channel
from p2p.members import FORMER_MAX, Members
from p2p.peers import PeerAddress, Timing
from p2p.tls import is_certificate_sound
from tests.p2p.members import (
    HOST,
    Member,
    Station,
    build_settings,
    dial_as,
    is_fully_connected,
    make_member,
    make_members,
    open_mesh_of,
    open_station,
    wait_until,
)

FAREWELL_S = 0.3
BRISK = Timing(farewell_s=FAREWELL_S)


def get_addresses(stations: list[Station]) -> list[PeerAddress]:
    return [station.member.build_address(station.network.port) for station in stations]


def change_members(stations: list[Station], peers: list[PeerAddress]) -> None:
    for station in stations:
        station.network.update_peers(peers)


@asynccontextmanager
async def open_newcomer(member: Member, peers: list[PeerAddress]) -> AsyncIterator[Station]:
    settings = replace(build_settings(member, peers), timing=BRISK)
    async with open_station(settings, member) as station:
        yield station


def is_undisturbed(stations: list[Station]) -> bool:
    """Tell whether each of these has heard of each other one once: it came, and never went."""
    return all(
        [change for change in station.ear.changes if change[0] == other.id] == [(other.id, True)]
        for station in stations
        for other in stations
        if other is not station
    )


async def add_one(index: int) -> None:
    """Let the member with the index-th key join four others: it dials those with larger keys, the others dial it."""
    members = make_members(5)
    newcomer = members[index]
    async with open_mesh_of(tuple(each for each in members if each is not newcomer), BRISK) as stations:
        peers = get_addresses(stations)
        async with open_newcomer(newcomer, peers) as fifth:
            change_members(stations, [*peers, newcomer.build_address(fifth.network.port)])
            everybody = [*stations, fifth]
            await wait_until(lambda: all(is_fully_connected(each) for each in everybody), "all five")
            assert [len(each.network.get_peers()) for each in everybody] == [4] * 5
            fifth.network.broadcast(Channel.CONSENSUS, b"from the fifth")
            stations[0].network.broadcast(Channel.CONSENSUS, b"from the first")
            await wait_until(lambda: all(each.ear.messages for each in stations), "the fifth is heard")
            await wait_until(lambda: bool(fifth.ear.messages), "it hears the others")
            assert is_undisturbed(everybody)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_fifth_member_joins_four_that_run(run: type, index: int) -> None:
    run(add_one(index))


def test_nobody_lets_a_newcomer_in_before_it_is_a_member() -> None:
    async def play() -> None:
        members = make_members(5)
        async with open_mesh_of(members[1:], BRISK) as stations:
            peers = get_addresses(stations)
            async with open_newcomer(members[0], peers) as early:
                refused = "it does not know this node's certificate"
                await wait_until(
                    lambda: all(refused in each.last_error for each in early.network.get_peers()), refused
                )
                assert early.ear.changes == []
                change_members(stations, [*peers, members[0].build_address(early.network.port)])
                await wait_until(lambda: is_fully_connected(early), "let in as soon as it is one")
                assert is_undisturbed(stations)

    asyncio.run(play())


def test_a_removed_member_hears_the_last_words_and_is_then_refused_by_name() -> None:
    async def play() -> None:
        members = make_members(5)
        async with open_mesh_of(members, BRISK) as stations:
            removed, others = stations[0], stations[1:]  # the one that dials everybody
            change_members(others, get_addresses(others))
            assert all(len(each.network.get_peers()) == 3 for each in others)
            others[0].network.broadcast(Channel.CONSENSUS, b"the last certificate")
            assert others[1].network.send(removed.id, Channel.CONSENSUS, b"and for you alone")
            await wait_until(lambda: len(removed.ear.messages) == 2, "the last words")
            farewell = "house-0 is no member any more"
            await wait_until(
                lambda: all(farewell in each.last_error for each in removed.network.get_peers()), farewell
            )
            assert not any(each.connected for each in removed.network.get_peers())
            async with dial_as(removed.member, others[3]) as socket:
                assert (await socket.receive()).extra == farewell  # at the next try as well
            assert not others[0].network.send(removed.id, Channel.CONSENSUS, b"nobody there")
            assert is_undisturbed(others)

    asyncio.run(play())


def test_a_removed_member_with_the_largest_key_is_told_at_the_end_of_its_link() -> None:
    async def play() -> None:
        async with open_mesh_of(make_members(4), BRISK) as stations:
            removed, others = stations[-1], stations[:-1]
            change_members(others, get_addresses(others))
            farewell = "the peer closed the link: house-3 is no member any more"
            await wait_until(
                lambda: all(each.last_error == farewell for each in removed.network.get_peers()), farewell
            )
            assert is_undisturbed(others)

    asyncio.run(play())


def test_a_member_that_returns_within_its_farewell_keeps_its_link() -> None:
    async def play() -> None:
        async with open_mesh_of(make_members(4), BRISK) as stations:
            peers = get_addresses(stations)
            for leaving in (0, 3):  # one that is dialled, and one that dials
                others = [station for station in stations if station is not stations[leaving]]
                change_members(others, get_addresses(others))
                change_members(others, peers)
            await asyncio.sleep(2 * FAREWELL_S)  # the farewell would have ended the link by now
            assert all(is_fully_connected(station) for station in stations)
            assert is_undisturbed(stations)

    asyncio.run(play())


def test_a_member_with_a_new_key_is_let_in_with_it_and_no_more_with_the_old_one() -> None:
    async def play() -> None:
        members = make_members(4)
        old, rotated = members[0], make_member(members[0].name, b"\x77" * 32)
        async with open_mesh_of(members[1:], BRISK) as others:
            peers = get_addresses(others)
            change_members(others, [*peers, old.build_address()])
            async with open_newcomer(old, peers) as before:
                await wait_until(lambda: is_fully_connected(before), "with the old key")
                async with open_newcomer(rotated, peers) as after:
                    change_members(others, [*peers, rotated.build_address(after.network.port)])
                    await wait_until(lambda: is_fully_connected(after), "with the new key")
                    farewell = "house-0 is no member any more"
                    await wait_until(
                        lambda: all(farewell in each.last_error for each in before.network.get_peers()),
                        farewell,
                    )
                    assert all(is_fully_connected(each) for each in (*others, after))
                    assert is_undisturbed(others)

    asyncio.run(play())


def test_a_new_address_of_a_member_is_dialled_when_its_link_is_lost() -> None:
    async def play() -> None:
        one, two = make_members(2)
        async with open_newcomer(one, [two.build_address()]) as dialling:
            unreachable = f"cannot connect to {HOST}:1: connection refused"
            await wait_until(lambda: dialling.get_peer(two).last_error == unreachable, unreachable)
            async with open_newcomer(two, [one.build_address()]) as listening:
                dialling.network.update_peers([two.build_address(listening.network.port)])
                await wait_until(lambda: dialling.get_peer(two).connected, "at its new address")

    asyncio.run(play())


def test_a_member_whose_certificate_is_none_is_named_and_stops_nobody() -> None:
    async def play() -> None:
        async with open_mesh_of(make_members(3), BRISK) as stations:
            nonsense = PeerAddress("house-9", b"\x99" * 32, b"no certificate", HOST, 1)
            change_members(stations, [*get_addresses(stations), nonsense])
            for station in stations:
                told = {peer.name: peer.last_error for peer in station.network.get_peers()}
                assert told["house-9"].startswith("its certificate is none")
            async with open_newcomer(make_members(3)[0], get_addresses(stations[1:])) as again:
                await wait_until(lambda: is_fully_connected(again), "the others still take links")

    asyncio.run(play())


def test_the_own_key_is_no_peer() -> None:
    async def play() -> None:
        async with open_mesh_of(make_members(2), BRISK) as stations:
            change_members(stations, get_addresses(stations))
            assert [len(station.network.get_peers()) for station in stations] == [1, 1]
            assert is_undisturbed(stations)

    asyncio.run(play())


def test_only_so_many_former_members_are_remembered() -> None:
    addresses = [PeerAddress(f"m{i}", bytes([i]) * 32, b"c%d" % i, HOST, 1) for i in range(FORMER_MAX + 2)]
    members = Members(b"own", 1.0)
    members.update(addresses, 0.0)
    changes = members.update(addresses[:1], 0.0)
    assert changes.dismissed == tuple(addresses[1:])
    assert len(members.get_certificates()) == 1 + FORMER_MAX
    assert members.find_former(addresses[1].tls_certificate) is None
    assert members.find_former(addresses[2].tls_certificate) == addresses[2]
    assert members.find_former(addresses[0].tls_certificate) is None


def test_what_a_member_did_is_remembered_while_it_is_one() -> None:
    address = PeerAddress("house-1", b"k" * 32, b"c", HOST, 1)
    members = Members(b"own", 1.0)
    members.update([address], 0.0)
    members.records[address.key].penalize(50, "nonsense", 0.0)
    members.update([replace(address, port=2)], 1.0)
    assert members.records[address.key].last_error == "nonsense"
    assert members.records[address.key].address.port == 2
    members.update([], 2.0)
    members.update([address], 3.0)
    assert members.records[address.key].compute_score(3.0) == 0


@pytest.mark.parametrize("spoiled", [b"", b"no certificate", b"0" * 400])
def test_what_is_no_certificate_is_not_pinned(spoiled: bytes) -> None:
    assert not is_certificate_sound(spoiled)
    assert is_certificate_sound(make_members(1)[0].certificate)
