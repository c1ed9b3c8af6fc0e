"""Validators that meet over bad links: late and thin, deaf in one direction, cut in two, held and released."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Literal

import pytest

from tests.integration.chaos.campaign import CONSENSUS
from tests.integration.chaos.weather import PROFILES
from tests.integration.community import Community, choose_fabric, found_community, running
from tests.integration.links import CUT, Links
from tests.integration.namespaces import can_route
from tests.integration.test_crashes import check_nothing_lost_or_doubled, under_load, wait_acknowledged

Act = Callable[[Community, Links], Awaitable[None]]
Fabric = Callable[[], Awaitable[Literal["proxy", "namespaces"]]]


async def choose_proxy() -> Literal["proxy"]:
    return "proxy"


async def choose_kernel() -> Literal["proxy", "namespaces"]:
    """Where this process may not make networks, the proxy cuts once more."""
    return "namespaces" if await can_route() else "proxy"


def play_over_links(directory: Path, act: Act, fabric: Fabric = choose_fabric) -> None:
    """Run an act with all validators up, whose links are perfect until the act spoils them."""

    async def run() -> None:
        over = await fabric()
        community = found_community(directory / "net", consensus=CONSENSUS, over=over)
        async with community.open_links() as links, running(community):
            await act(community, links)

    asyncio.run(run())


@pytest.mark.slow
def test_over_a_wide_and_thin_network_everything_commits_in_the_first_view(tmp_path: Path) -> None:
    async def act(community: Community, links: Links) -> None:
        weather = PROFILES["wan"].base
        await links.set(weather)
        async with under_load(community):
            await wait_acknowledged(community, 30)
        begin_s = monotonic()
        await community.deliver([community.sign_grant()])
        three_ways_s = 3 * (weather.delay_ms - weather.jitter_ms) / 1000
        assert monotonic() - begin_s > three_ways_s, "nothing was late: pre-prepare, prepare and commit"
        await check_nothing_lost_or_doubled(community)
        assert [validator.count_events("view_change_started") for validator in community.validators] == [
            0
        ] * 4

    play_over_links(tmp_path, act)


@pytest.mark.slow
def test_a_primary_that_is_heard_by_nobody_is_replaced_and_joins_again(tmp_path: Path) -> None:
    async def act(community: Community, links: Links) -> None:
        primary, *others = community.validators
        async with under_load(community):
            await wait_acknowledged(community, 5)
            await links.set(CUT, [pair for pair in links.pairs if pair[0] == primary.name])
            await community.wait_statuses(
                lambda found: all(s["view"] >= 1 and s["phase"] == "normal" for s in found),
                "the others are in a later view",
                among=others,
            )
            await wait_acknowledged(community, 5)
            await links.heal()
        await check_nothing_lost_or_doubled(community)

    play_over_links(tmp_path, act)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fabric", [choose_proxy, choose_kernel], ids=["held by a proxy", "dropped by a router"]
)
def test_two_halves_commit_nothing_and_the_whole_goes_on_where_it_was(tmp_path: Path, fabric: Fabric) -> None:
    async def act(community: Community, links: Links) -> None:
        names = [validator.name for validator in community.validators]
        await community.deliver([community.sign_grant()])
        before = await community.wait_agreed()
        await links.isolate(*names[:2])
        transaction = community.sign_grant()
        for validator in (community.validators[0], community.validators[3]):
            async with community.open_client(validator, alone=True) as client:
                await client.submit(transaction)
        statuses = await community.wait_statuses(
            lambda found: all(
                sum(peer["connected"] for peer in status["peers"]) == 1 and status["waiting"]
                for status in found
            ),
            "every validator hears one other and says what it waits for",
        )
        assert {status["certified_height"] for status in statuses} == {before["certified_height"]}
        await links.heal()
        await community.deliver([transaction])
        await check_nothing_lost_or_doubled(community)

    play_over_links(tmp_path, act, fabric)
