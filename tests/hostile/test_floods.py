"""Honest members hardly notice an attack on the validator that they ask.

The rule, measured in one run on whatever machine this is: honest transactions are delivered one after the other through
the attacked validator, each until its receipt is proven, in windows of WINDOW_TRANSACTIONS. The typical p99 of some
windows is the median of their 99th percentiles. While the attack goes on it is at most twice the typical p99 of the
windows before and after it, where those count as the floor at least: FLOOR_S for each process that wants to run on a
core at that time (the load average by cores, at least one). Below it the scheduler of a busy machine decides: an
attacked node is never idle, and waits for its turn behind all the others each time.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from tests.hostile.attack_process import AttackPlan
from tests.hostile.attacker import (
    Attacker,
    attacking,
    compute_floor_s,
    compute_typical_p99,
    measure,
    plan_attack,
    plan_lies,
)
from tests.hostile.http_attacks import HTTP_ATTACKS
from tests.hostile.member_attacks import TIRING
from tests.hostile.stranger_attacks import STRANGER_ATTACKS
from tests.hostile.stream_attacks import STREAM_ATTACKS
from tests.integration.community import Community, found_community, running
from tests.integration.validator import CALM, POLL_S, Validator

WINDOWS = 3
GROWTH_KB_MAX = 48 * 1024
"""Bodies 16 MB, 512 connections of 20 kB, what waits for its signature check 8 MB, LevelDB's buffers 8 MB."""

FREED_S = 10.0
"""After an attack, or where an attacker says nothing more, so long until its descriptors are free."""

SPARE_DESCRIPTORS = 16
"""Tables of LevelDB, connections of the last honest client."""

Note = Callable[[str, object], None]


async def check_unharmed(community: Community, asked: Validator, plan: AttackPlan, note: Note) -> None:
    """Hold the rule of this module, the bound of memory and that of descriptors."""
    await measure(community, asked, 5)
    resident_kb, descriptors = asked.read_memory_kb(), asked.count_descriptors()
    calm = [await measure(community, asked) for _ in range(WINDOWS)]
    async with attacking(plan) as attacker:
        await wait_for_attacks(attacker, plan)
        attacked = [await measure(community, asked) for _ in range(WINDOWS)]
        grown_kb = asked.read_memory_kb() - resident_kb
        note("counts", dict(await attacker.read_counts()))
    await wait_freed(asked, descriptors + SPARE_DESCRIPTORS)
    calm += [await measure(community, asked) for _ in range(WINDOWS)]
    floor_s = compute_floor_s()
    before_s, during_s = compute_typical_p99(calm), compute_typical_p99(attacked)
    figures = {"calm": before_s, "attacked": during_s, "floor": floor_s}
    note("p99_ms", {name: round(1000 * value) for name, value in figures.items()})
    note("grown_kb", grown_kb)
    assert during_s <= 2 * max(before_s, floor_s), (floor_s, calm, attacked)
    assert grown_kb <= GROWTH_KB_MAX
    for validator in community.running:
        validator.check_log(allowed=CALM)


async def wait_for_attacks(attacker: Attacker, plan: AttackPlan) -> None:
    """Wait until each attack has begun: a test without an attacker proves nothing."""
    for name in plan.attacks:
        await attacker.wait_for(f"{name}_opened", 1)
    if plan.lies:
        await attacker.wait_for("messages", 10)


async def wait_freed(validator: Validator, descriptors: int) -> None:
    end_s = monotonic() + FREED_S
    while (count := validator.count_descriptors()) > descriptors:
        assert monotonic() < end_s, f"{count} descriptors after {FREED_S:.0f} s, not {descriptors}"
        await asyncio.sleep(POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hostile_clients_and_strangers_all_at_once_leave_honest_ones_as_they_were(
    tmp_path: Path, record_property: Note
) -> None:
    """Every attack of the tables on one validator: on its API and on its p2p port."""

    async def act() -> None:
        community = found_community(tmp_path / "net")
        async with running(community):
            victim = community.validators[1]
            plan = plan_attack(community, victim, *HTTP_ATTACKS, *STREAM_ATTACKS, *STRANGER_ATTACKS)
            await check_unharmed(community, victim, plan, record_property)
            await community.wait_agreed()
            await community.check_acknowledged()

    asyncio.run(act())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_member_that_says_valid_things_without_end_is_too_much_for_itself_only(
    tmp_path: Path, record_property: Note
) -> None:
    """Replays of others, its own status a thousand times, questions without pause: no lie, so that nobody is banned."""

    async def act() -> None:
        community = found_community(tmp_path / "net")
        liar = community.validators[3]
        async with running(community):
            await measure(community, liar, 5)  # it has heard something that it can repeat
            await liar.stop()
            plan = plan_lies(community, liar, *TIRING)
            await check_unharmed(community, community.validators[1], plan, record_property)
            statuses = await community.read_statuses(community.running)
            assert statuses is not None
            assert not any(peer["banned_for_s"] for status in statuses for peer in status["peers"])

    asyncio.run(act())


@pytest.mark.slow
def test_every_socket_of_those_who_stall_is_freed_in_time(tmp_path: Path) -> None:
    """Nobody opens again what was cut: what is left after FREED_S was not freed by an attacker's own doing."""
    stalling = [
        *("idle", "dribbled_headers", "stalled_bodies", "dribbled_bodies", "slow_readers"),
        *("p2p_idle", "p2p_half_tls", "p2p_dribbled_tls", "p2p_nonsense"),
    ]

    async def act() -> None:
        community = found_community(tmp_path / "net")
        async with running(community):
            victim = community.validators[2]
            await measure(community, victim, 5)
            descriptors = victim.count_descriptors()
            plan = plan_attack(community, victim, *stalling)
            async with attacking(plan_once(plan)) as attacker:
                await wait_for_attacks(attacker, plan)
                await wait_crowded(victim, descriptors + 100)
                await wait_freed(victim, descriptors + SPARE_DESCRIPTORS)

    asyncio.run(act())


def plan_once(plan: AttackPlan) -> AttackPlan:
    return AttackPlan(
        attacks=plan.attacks,
        api_port=plan.api_port,
        p2p_port=plan.p2p_port,
        genesis_hash=plan.genesis_hash,
        is_patient=False,
    )


async def wait_crowded(validator: Validator, descriptors: int) -> None:
    """Wait until the attackers hold something at all."""
    end_s = monotonic() + FREED_S
    while validator.count_descriptors() < descriptors:
        assert monotonic() < end_s, "the attackers hold nothing"
        await asyncio.sleep(POLL_S)
