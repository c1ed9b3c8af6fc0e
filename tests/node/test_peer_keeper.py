"""Links follow the memberships, and a node notices when another key of its home is the member's."""

import asyncio

import structlog

from consensus.membership import Membership
from node.config import PeerConfig
from node.identity import Identity
from node.peers import PeerBook, PeerKeeper
from primitives.header import Validator
from primitives.ids import Epoch
from tests.node.test_peers import Ledger
from tests.p2p.members import Member, Station, build_settings, make_member, make_members, open_station

MEMBERS = make_members(4)
NEXT = make_member(MEMBERS[3].name, b"\x41" * 32)
LISTED = [PeerConfig(each.name, "127.0.0.1", 1) for each in MEMBERS[:3]]


def build_membership(epoch: int, *members: Member) -> Membership:
    validators = tuple(Validator(each.name, each.key.public, each.certificate) for each in members)
    return Membership(Epoch(epoch), validators)


def build_keeper(station: Station, *others: Member) -> PeerKeeper:
    """The keeper of the last member's node, whose home holds these keys besides its own."""
    own = station.member
    identities = [Identity(each.key, each.key_pem) for each in (own, *others)]
    validator = Validator(own.name, own.key.public, own.certificate)
    return PeerKeeper(PeerBook(own.name, LISTED, Ledger()), station.network, validator, identities)


def get_names(station: Station) -> list[str]:
    return [peer.name for peer in station.network.get_peers()]


def test_the_peers_are_the_other_members_of_each_epoch() -> None:
    async def play() -> None:
        async with open_station(build_settings(MEMBERS[3], []), MEMBERS[3]) as station:
            keeper = build_keeper(station)
            keeper.follow(build_membership(0, *MEMBERS))
            assert get_names(station) == ["house-0", "house-1", "house-2"]
            keeper.follow(build_membership(1, *MEMBERS[1:]))
            assert get_names(station) == ["house-1", "house-2"]
            assert not keeper.replaced.is_set()

    asyncio.run(play())


def test_losing_and_gaining_the_vote_is_told_once_each() -> None:
    async def play() -> list[str]:
        async with open_station(build_settings(MEMBERS[3], []), MEMBERS[3]) as station:
            keeper = build_keeper(station)
            with structlog.testing.capture_logs() as told:
                for epoch, members in enumerate([MEMBERS, MEMBERS[:3], MEMBERS[:2], MEMBERS, MEMBERS]):
                    keeper.follow(build_membership(epoch, *members))
            assert not keeper.replaced.is_set()
            return [each["event"] for each in told if each["event"].startswith("membership")]

    assert asyncio.run(play()) == ["membership_lost", "membership_gained"]


def test_another_key_of_the_home_that_becomes_the_members_is_noticed_and_no_strangers() -> None:
    async def play() -> None:
        async with open_station(build_settings(MEMBERS[3], []), MEMBERS[3]) as station:
            keeper = build_keeper(station, NEXT)
            keeper.follow(build_membership(0, *MEMBERS))
            keeper.follow(build_membership(1, *MEMBERS[:3], make_member("house-3", b"\x42" * 32)))
            assert not keeper.replaced.is_set()
            keeper.follow(build_membership(2, *MEMBERS[:3], NEXT))
            assert keeper.replaced.is_set()

    asyncio.run(play())
