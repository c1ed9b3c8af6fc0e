"""A validator that is asked to stop does so soon and in order, whatever goes on around it."""

import asyncio
import signal
from pathlib import Path

import pytest

from primitives.ids import Digest
from tests.integration.community import Community, found_community, play
from tests.integration.test_crashes import check_nothing_lost_or_doubled, under_load, wait_acknowledged

STOP_S = 10.0
POLLS = 8


@pytest.mark.slow
def test_a_stop_under_load_with_open_long_polls_ends_every_wait(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        async with under_load(community), asyncio.TaskGroup() as pollers:
            polled = community.validators[1]
            waiting = [pollers.create_task(wait_for_nothing(community, index)) for index in range(POLLS)]
            await wait_acknowledged(community, 5)
            assert await polled.stop(signal.SIGTERM) < STOP_S
            assert await community.validators[2].stop(signal.SIGINT) < STOP_S
            community.start([polled, community.validators[2]])
            await community.wait_linked()
            await wait_acknowledged(community, 5)
            for task in waiting:
                task.cancel()
        await check_nothing_lost_or_doubled(community)

    async def wait_for_nothing(community: Community, index: int) -> None:
        """Ask two validators for the proof of a transaction that never comes, as long as they listen."""
        validator = community.validators[1 + index % 2]
        async with community.open_client(validator, alone=True) as client:
            await client.wait(Digest(bytes(31) + bytes([index])), 60)

    play(found_community(tmp_path / "net"), act)


def test_all_stop_together_when_nobody_is_left_to_agree_with(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        await community.deliver([community.sign_grant()])
        took_s = await asyncio.gather(*(validator.stop() for validator in community.validators))
        assert max(took_s) < STOP_S
        for validator in community.validators:
            validator.check_log()
            assert validator.log.rstrip().endswith(f"{validator.name}: stopped")
            assert not (validator.home / "admin.sock").exists()

    play(found_community(tmp_path / "net"), act)


def test_a_validator_stops_when_whoever_started_it_is_gone(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        process = community.validators[0].process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert await community.validators[0].wait_exit(STOP_S) == 0

    play(found_community(tmp_path / "net"), act)
