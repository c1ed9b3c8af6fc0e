"""What a validator costs a small computer: memory, processor, descriptors, and words in its log."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.community import Community, found_community, play

IDLE_KB_MAX = 64 * 1024
NOT_NEEDED = ("numpy", "matplotlib", "pydantic", "cryptography", "sqlite")
"""What a node never uses; each would take megabytes."""
GROWTH_KB_MAX = 24 * 1024
"""Of a few thousand transactions: LevelDB's buffers fill (8 MB), remembered ids and certificates are bounded."""
IDLE_CPU_SHARE = 0.02
IDLE_S = 5.0


@pytest.mark.slow
def test_an_idle_validator_needs_little_memory_and_hardly_any_processor(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def act(community: Community) -> None:
        await community.deliver([community.sign_grant()])
        before = [validator.read_cpu_s() for validator in community.validators]
        await asyncio.sleep(IDLE_S)  # idleness itself is what is measured
        used_s = [v.read_cpu_s() - begin for v, begin in zip(community.validators, before, strict=True)]
        resident_kb = [validator.read_memory_kb() for validator in community.validators]
        record_property("resident_kb", resident_kb)
        record_property("cpu_share", [round(each / IDLE_S, 4) for each in used_s])
        assert max(resident_kb) < IDLE_KB_MAX
        assert max(used_s) < IDLE_CPU_SHARE * IDLE_S
        for validator in community.validators:
            maps = validator.read_maps()
            assert [name for name in NOT_NEEDED if name in maps] == []
            validator.check_log()

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_thousands_of_transactions_leave_no_descriptors_open_and_memory_within_its_bounds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def act(community: Community) -> None:
        await community.deliver([community.sign_grant() for _ in range(100)])
        descriptors = [validator.count_descriptors() for validator in community.validators]
        resident_kb = [validator.read_memory_kb() for validator in community.validators]
        for turn in range(12):
            transactions = [community.sign_grant() for _ in range(250)]
            await community.deliver(transactions, community.validators[turn % 4])
        await community.wait_agreed()
        grown_kb = [
            validator.read_memory_kb() - begin
            for validator, begin in zip(community.validators, resident_kb, strict=True)
        ]
        record_property("grown_kb", grown_kb)
        assert max(grown_kb) < GROWTH_KB_MAX
        for validator, begin in zip(community.validators, descriptors, strict=True):
            assert (
                validator.count_descriptors() <= begin + 16
            )  # tables of LevelDB, connections of the last client
            assert await community.read_coins(validator) == len(community.acknowledged)
            validator.check_log()

    play(found_community(tmp_path / "net"), act)
