"""The same ordered transactions give the same state, whatever differs between the processes that execute them."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.network_spec import ConsensusSpec
from tests.integration.community import Community, found_community, play
from tests.integration.homes import found_homes, play_slot, register, sign_registrations

QUIET = ConsensusSpec(heartbeat_ms=86_400_000, drift_ms=3_600_000)
"""No block without a transaction."""
SEED = b"a meter's seed, but for the end"


def test_nodes_with_different_hash_seeds_compute_the_same_state(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        homes = found_homes(community, 10)
        await register(community, homes)
        for slot in range(3):
            await play_slot(community, homes, slot)
        status = await community.wait_agreed()
        assert status["height"] >= 4
        for validator in community.validators:
            validator.check_log()

    community = found_community(tmp_path / "net")
    for seed, validator in enumerate(community.validators):
        validator.environment["PYTHONHASHSEED"] = str(seed)
    play(community, act)


@pytest.mark.slow
def test_two_runs_of_the_same_ordered_transactions_end_in_the_same_state(tmp_path: Path) -> None:
    def run_once(name: str) -> tuple[Mapping[str, Any], list[list[str]]]:
        """Run a copy of the network, one transaction after the other; return the last status and what was ordered."""
        directory = Path(shutil.copytree(made.network.directory, tmp_path / name))
        copies = tuple(replace(each, home=directory / each.name, process=None) for each in made.validators)
        community = replace(made, validators=copies, acknowledged={})
        found: list[tuple[Mapping[str, Any], list[list[str]]]] = []

        async def act(running: Community) -> None:
            for transaction in registrations:
                await running.deliver([transaction])
            for slot in range(4):
                await running.step_clocks(homes.ends_s[slot])
                for transaction in homes.sign_slot(slot):
                    await running.deliver([transaction])
            status = await running.wait_agreed()
            blocks = await running.read_blocks(running.validators[1])
            ordered = [[entry["id"] for entry in block["transactions"]] for block in blocks]
            found.append((status, ordered))

        play(community, act)
        return found[0]

    made = found_community(tmp_path / "made", consensus=QUIET)
    homes = found_homes(made, 4, SEED)
    registrations = sign_registrations(made, homes)
    first, second = run_once("first"), run_once("second")
    assert first[1] == second[1]
    assert first[0]["height"] == second[0]["height"] == len(registrations) + 4 * 4
    assert first[0]["state_root"] == second[0]["state_root"]
