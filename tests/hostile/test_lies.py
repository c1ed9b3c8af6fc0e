"""A member that lies is banned by every correct validator and named with the reason; nobody else is; blocks go on."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.hostile.attacker import attacking, measure, plan_lies
from tests.hostile.member_attacks import PUNISHED
from tests.integration.community import Community, found_community
from tests.integration.validator import CALM, Validator

REASONS = {
    "frame_nonsense": "a frame of an unknown channel 9",
    "frame_too_much": "a frame is longer than its message",
    "send_bombs": "a malformed message: ",
    "forge_messages": "the signature is not valid",
    "speak_of_another_chain": "the signature is not valid",
    "gossip_forged_transactions": "a wrongly signed transaction",
    "contradict": "it contradicts itself: two signed messages Prepare",
    "propose_twice": "it contradicts itself: two signed messages PrePrepare",
}
EXPECTED = CALM | {"peer_banned", "equivocation", "message_refused"}
"""What a validator must say loudly about a liar."""

BESIDE = 5
"""Transactions that are committed while the liar lies, and after it was banned."""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Community:
    """A network whose validators are started anew for each lie: a ban is forgotten with the process."""
    return found_community(tmp_path_factory.mktemp("lies") / "net")


def find_banned(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """Map each validator that answers to the peers that it bans."""
    return {
        validator["name"]: {peer["name"] for peer in validator["peers"] if peer["banned_for_s"] > 0}
        for validator in document["validators"]
        if "peers" in validator
    }


async def wait_banned(community: Community, liar: Validator, reason: str) -> None:
    def is_banned(status: Mapping[str, Any]) -> bool:
        (peer,) = [peer for peer in status["peers"] if peer["name"] == liar.name]
        return bool(peer["banned_for_s"] > 0 and reason in peer["last_error"])

    await community.wait_statuses(
        lambda statuses: all(map(is_banned, statuses)), f"all ban {liar.name} because {reason}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie", sorted(PUNISHED, key=lambda lie: lie != "propose_twice")
)  # a fresh chain first
def test_a_liar_is_banned_by_all_and_named_and_nobody_else_is(homes: Community, lie: str) -> None:
    """The primary of the first view is the liar where the lie is a primary's."""
    liar = homes.validators[0 if lie == "propose_twice" else 3]
    correct = [validator for validator in homes.validators if validator is not liar]

    async def play() -> None:
        try:
            homes.start(correct)
            async with attacking(plan_lies(homes, liar, lie)):
                await homes.wait_linked()
                await measure(homes, correct[0], BESIDE)
                await wait_banned(homes, liar, REASONS[lie])
                document = json.loads(await homes.run_cli("peers", "--json"))
                assert find_banned(document) == {each.name: {liar.name} for each in correct}
                await measure(homes, correct[1], BESIDE)
            for validator in correct:
                validator.check_log(allowed=EXPECTED)
                assert "peer_banned" in {event["event"] for event in validator.read_events()}
                validator.log_path.unlink()
        finally:
            for validator in homes.running:
                validator.kill()

    asyncio.run(play())


def test_every_lie_has_a_reason_that_is_named() -> None:
    assert REASONS.keys() == PUNISHED.keys()
