"""Validators that are away, for a day or for a moment: the others go on, and who returns takes part again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cli.network_spec import ConsensusSpec
from tests.integration.community import Community, found_community, play
from tests.integration.homes import found_homes, play_slot, register
from tests.integration.validator import CALM, Validator

HOMES = 4


async def read_signers(community: Community, validator: Validator) -> list[str]:
    """Return who signed the latest certificate that a validator shows."""
    async with community.open_client(validator, alone=True) as client:
        block = await client.ask("/v1/blocks/latest", dict[str, Any])
    return list(block["signers"])


async def check_votes_count(community: Community, returned: Validator) -> None:
    """With another validator gone nothing is certified without the vote of the one that returned."""
    others = [each for each in community.validators if each is not returned]
    others[-1].kill()
    await community.deliver([community.sign_grant()], others[0])
    assert returned.name in await read_signers(community, others[0])
    others[-1].start()
    await community.wait_linked()
    await community.wait_agreed()


@pytest.mark.slow
@pytest.mark.parametrize("away", [0, 3], ids=["the primary", "a backup"])
def test_a_validator_that_was_away_for_a_day_of_real_readings_catches_up_and_signs_again(
    tmp_path: Path, away: int
) -> None:
    async def act(community: Community) -> None:
        homes = found_homes(community, HOMES)
        await register(community, homes)
        lost = community.validators[away]
        lost.kill()
        for slot in range(24):
            await play_slot(community, homes, slot)
        lost.start()
        await community.wait_linked()
        await community.wait_agreed()
        await check_votes_count(community, lost)
        await community.check_acknowledged()
        lost.check_log(allowed=CALM)

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_a_killed_primary_is_replaced_because_its_links_broke_long_before_any_deadline(
    tmp_path: Path,
) -> None:
    async def act(community: Community) -> None:
        others = community.validators[1:]
        await community.deliver([community.sign_grant()], others[0])
        community.validators[0].kill()
        async with asyncio.timeout(50):  # less than the deadline below
            await community.deliver([community.sign_grant()], others[0])
        statuses = await community.wait_statuses(
            lambda found: all(status["phase"] == "normal" for status in found), "all go on", among=others
        )
        assert {status["view"] for status in statuses} == {1}

    patient = ConsensusSpec(request_deadline_ms=60_000, view_timeout_ms=16_000, heartbeat_ms=600_000)
    play(found_community(tmp_path / "net", consensus=patient), act)


@pytest.mark.slow
def test_a_frozen_primary_is_replaced_and_joins_again_when_it_thaws(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        primary = community.validators[0]
        others = community.validators[1:]
        await community.deliver([community.sign_grant()])
        primary.freeze()
        await community.deliver([community.sign_grant() for _ in range(5)], others[0])
        statuses = await community.wait_statuses(
            lambda found: all(status["view"] >= 1 and status["phase"] == "normal" for status in found),
            "the others are in a later view",
            among=others,
        )
        assert all(status["primary"] != primary.name for status in statuses)
        primary.thaw()
        await community.wait_linked()
        await community.wait_agreed()
        await check_votes_count(community, primary)
        await community.check_acknowledged()
        assert await community.read_coins(primary) == len(community.acknowledged)
        primary.check_log(allowed=CALM)

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_a_view_change_that_waits_for_a_quorum_ends_when_the_missing_validator_is_linked_not_at_a_resend(
    tmp_path: Path,
) -> None:
    resend_s = 16

    async def act(community: Community) -> None:
        dead, late = community.validators[0], community.validators[3]
        waiting = community.validators[1:3]
        dead.kill()
        late.kill()
        transaction = community.sign_grant()
        async with community.open_client(*waiting, alone=True) as client:
            await client.submit(transaction)
        await community.wait_statuses(
            lambda found: all(status["phase"] == "view_change" for status in found),
            "two of four have left the view of the dead primary",
            among=waiting,
        )
        late.start()
        await community.wait_statuses(
            lambda found: all(sum(peer["connected"] for peer in status["peers"]) == 2 for status in found),
            "the third is linked to both",
        )
        await community.wait_statuses(
            lambda found: all(status["view"] == 1 and status["phase"] == "normal" for status in found),
            "all three work in the next view",
            deadline_s=resend_s / 8,
        )
        await community.deliver([transaction])

    consensus = ConsensusSpec(heartbeat_ms=2000, drift_ms=3_600_000, resend_ms=1000 * resend_s)
    play(found_community(tmp_path / "net", consensus=consensus), act)
