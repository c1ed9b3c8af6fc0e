"""Power cuts: what was acknowledged is never lost, nothing is applied twice, and nobody has to help."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meter.outcomes import Committed
from tests.integration.community import Community, found_community, play
from tests.integration.validator import CALM, DEADLINE_S, until

CLIENTS = 3


@asynccontextmanager
async def under_load(community: Community) -> AsyncIterator[None]:
    """Keep a few members granting coins, each one transaction after the other, until the block ends.

    At the end every transaction that was ever sent has its verified receipt.
    """
    ending = asyncio.Event()

    async def work(index: int) -> None:
        preferred = community.validators[index % len(community.validators)]
        async with community.open_client(preferred) as client:
            while not ending.is_set():
                transaction = community.sign_grant()
                outcome = await client.deliver(transaction, DEADLINE_S)
                assert isinstance(outcome, Committed), outcome
                community.keep(outcome)

    async with asyncio.TaskGroup() as members:
        for index in range(CLIENTS):
            members.create_task(work(index))
        yield
        ending.set()


async def wait_acknowledged(community: Community, more: int) -> None:
    """Wait until so many more transactions were acknowledged."""
    wanted = len(community.acknowledged) + more
    await until(lambda: len(community.acknowledged) >= wanted, f"{wanted} transactions are acknowledged")


async def check_nothing_lost_or_doubled(community: Community, allowed: frozenset[str] = CALM) -> None:
    await community.wait_linked()
    await community.wait_agreed()
    await community.check_acknowledged()
    for validator in community.validators:
        assert await community.read_coins(validator) == len(community.acknowledged)
        validator.check_log(allowed=allowed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_is_killed_at_any_moment_comes_back_and_nothing_acknowledged_is_lost(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)

    async def act(community: Community) -> None:
        order = list(community.validators)
        chance.shuffle(order)
        async with under_load(community):
            for validator in order:
                await wait_acknowledged(community, chance.randrange(1, 30))
                await asyncio.sleep(chance.random() * 0.05)  # a moment inside a block, not between two
                validator.kill()
                await wait_acknowledged(community, chance.randrange(1, 30))
                validator.start()
                await community.wait_linked()
        await check_nothing_lost_or_doubled(community)

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_all_four_killed_at_once_go_on_where_they_were(tmp_path: Path) -> None:
    chance = random.Random(3)

    async def act(community: Community) -> None:
        async with under_load(community):
            for _ in range(3):
                await wait_acknowledged(community, chance.randrange(5, 40))
                await asyncio.sleep(chance.random() * 0.05)
                for validator in community.validators:
                    validator.kill()
                community.start()
                await community.wait_linked()
        await check_nothing_lost_or_doubled(community)

    play(found_community(tmp_path / "net"), act)
