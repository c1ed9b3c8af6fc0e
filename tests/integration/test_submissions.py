"""A file of a thousand signed readings of real meters, through one validator, whatever dies in between."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from time import monotonic

import pytest

from cli.network_spec import EnergySpec
from meter.sources.csv import read_homes
from tests.integration.community import FIRST_SLOT_S, SLOT_S, Community, found_community, play
from tests.integration.homes import CITYLEARN, make_wallets, write_readings
from tests.integration.validator import until

SLOTS = 100
READINGS = 10 * SLOTS
PATIENT = EnergySpec(slot_s=SLOT_S, grace_s=6 * 86_400, correction_s=7 * 86_400)
"""A slot waits until the whole file is in."""


async def open_meters(community: Community, file: Path) -> None:
    """Register all ten homes with keys in the wallets, write the file, and move to its end."""
    homes = read_homes(CITYLEARN).get_day(0).homes
    await community.deliver(make_wallets(community, homes))
    assert write_readings(file, SLOTS) == READINGS
    await community.step_clocks(FIRST_SLOT_S + SLOTS * SLOT_S)


async def count_applied(community: Community) -> int:
    """Return how many transactions the chain applied, registrations left out; none stands there twice."""
    blocks = await community.read_blocks(community.validators[2])
    applied = [
        entry["id"]
        for entry in chain.from_iterable(block["transactions"] for block in blocks)
        if entry["rejection"] is None
    ]
    assert len(set(applied)) == len(applied)
    return len(applied) - len(community.acknowledged)


@pytest.mark.slow
def test_a_thousand_readings_of_a_file_are_all_committed_through_one_validator_and_none_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def act(community: Community) -> None:
        file = tmp_path / "readings.csv"
        await open_meters(community, file)
        arguments = ("--node", community.validators[1].url, "submit", "--file", file, "--json")
        for name in ("first", "again"):
            begin_s = monotonic()
            answer = json.loads(await community.run_cli(*arguments))
            record_property(f"{name}_s", round(monotonic() - begin_s, 1))
            print(f"{READINGS} readings, {name}: {monotonic() - begin_s:.1f} s")  # noqa: T201  # a number to look at
            assert answer == {"submitted": READINGS, "committed": READINGS, "refused": [], "unknown": 0}
            assert await count_applied(community) == READINGS
        await community.wait_agreed()
        for validator in community.validators:
            validator.check_log()

    play(found_community(tmp_path / "net", energy=PATIENT), act)


@pytest.mark.slow
def test_the_spool_delivers_what_a_dead_command_and_a_dead_network_left(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        file = tmp_path / "readings.csv"
        await open_meters(community, file)
        arguments = ("submit", "--file", file, "--json")
        command = await community.start_cli(*arguments)
        begun = 1 + (await community.wait_agreed())["height"]
        await community.wait_statuses(
            lambda found: min(status["height"] for status in found) >= begun,
            "the first readings are executed",
        )
        command.kill()
        for validator in community.validators:
            validator.kill()
        await command.communicate()
        in_vain = await community.start_cli(*arguments)  # nobody answers it, for a while or until it gives up
        await until((community.network.directory / "spool.db").exists, "the spool is there")
        community.start()
        await community.wait_linked()
        await in_vain.communicate()
        answer = json.loads(await community.run_cli(*arguments))
        assert answer == {"submitted": READINGS, "committed": READINGS, "refused": [], "unknown": 0}
        assert await count_applied(community) == READINGS
        await community.wait_agreed()
        await community.check_acknowledged()

    play(found_community(tmp_path / "net", energy=PATIENT), act)
