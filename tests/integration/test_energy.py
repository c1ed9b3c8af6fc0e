"""A silent meter, a late reading and a correction through the whole house: what the bill says about each."""

import json
from pathlib import Path
from typing import Any

import pytest

from primitives.ids import Nonce
from tests.integration.community import FIRST_SLOT_S, SLOT_S, Community, found_community, play
from tests.integration.homes import Homes, found_homes, play_slot, register, wait_settled
from vm.contracts.energy.calls import CorrectReading
from vm.contracts.energy.records import Flag

GRACE_S = 300
HOMES = 3
SILENT = 2


async def read_bill(community: Community, homes: Homes, home: int) -> dict[int, dict[str, Any]]:
    """Return the verified lines of a home's bill by slot."""
    name = homes.day.homes[home].home
    bill = json.loads(await community.run_cli("bill", name, "--day", "0", "--verify", "--json"))
    assert bill["verified"]
    return {line["slot_s"]: line for line in bill["lines"]}


@pytest.mark.slow
def test_a_silent_meter_is_settled_without_its_reading_comes_late_and_is_corrected(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        homes = found_homes(community, HOMES)
        await register(community, homes)
        await play_slot(community, homes, 0)
        slot_s = homes.day.starts_s[1]

        # The third meter is silent: the slot waits for it until grace has passed, then settles without it.
        await community.step_clocks(homes.ends_s[1])
        await community.deliver([homes.sign(home, 1) for home in range(HOMES) if home != SILENT])
        async with community.open_client() as client:
            assert not (await client.get_slot(slot_s)).settled
        await community.step_clocks(homes.ends_s[1] + GRACE_S)
        await wait_settled(community, slot_s)
        async with community.open_client() as client:
            slot = await client.get_slot(slot_s)
        assert (slot.expected, slot.received, slot.missing) == (HOMES, HOMES - 1, 1)
        line = (await read_bill(community, homes, SILENT))[slot_s]
        assert line["flags"] == Flag.MISSING
        assert line["import_wh"] == line["net_nano"] == 0
        explained = await community.run_cli("bill", homes.day.homes[SILENT].home, "--day", "0", "--explain")
        assert "no reading came: this slot settled without you" in explained

        # Its reading comes after the settlement: taken, flagged, adjusted at grid prices.
        neighbour = await read_bill(community, homes, 0)
        await community.deliver([homes.sign(SILENT, 1)])
        before, after = homes.get_registers(SILENT, 0), homes.get_registers(SILENT, 1)
        line = (await read_bill(community, homes, SILENT))[slot_s]
        assert line["flags"] == Flag.LATE
        assert (line["import_wh"], line["export_wh"]) == (after[0] - before[0], after[1] - before[1])
        assert line["net_nano"] == line["alone_nano"] == line["import_wh"] * line["retail_price"]

        # A correction supersedes it; whoever dealt with the pool is not touched.
        corrected = CorrectReading(
            homes.signers[SILENT].account, homes.ends_s[1], after[0] - 10, after[1], "G", "read again"
        )
        await community.deliver([community.sign_utility("energy", "correct_reading", corrected)])
        line = (await read_bill(community, homes, SILENT))[slot_s]
        assert line["flags"] == Flag.LATE | Flag.CORRECTED
        assert line["import_wh"] == after[0] - before[0] - 10
        assert await read_bill(community, homes, 0) == neighbour
        async with community.open_client() as client:
            slot = await client.get_slot(slot_s)
        assert (slot.received, slot.missing, slot.adjusted) == (HOMES, 0, 2)

    play(found_community(tmp_path / "net"), act)


def test_readings_of_the_future_and_used_nonces_are_refused_by_name(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        homes = found_homes(community, HOMES)
        await register(community, homes)
        early = homes.sign(0, 1)
        await community.step_clocks(FIRST_SLOT_S + SLOT_S)
        async with community.open_client(*community.validators) as client:
            refused = await client.deliver(early, 20)
            assert getattr(refused, "rejection", None) == "READING_OF_FUTURE", refused
            await community.deliver([homes.sign(0, 0)])
            again = homes.sign_reading(0, 0, (2**40, 0), Nonce(1))
            refused = await client.deliver(again, 20)
            assert getattr(refused, "rejection", None) == "NONCE_USED", refused

    play(found_community(tmp_path / "net"), act)
