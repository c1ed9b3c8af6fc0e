"""A small community of real validators that lives as long as a module of tests: something has happened in it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.network_spec import ConsensusSpec
from meter.outcomes import Committed
from tests.integration.community import Community, found_community
from tests.integration.homes import Homes, found_homes, play_slot, register

HOMES = 3


@dataclass(frozen=True)
class Street:
    """Four validators, three homes, one settled slot, and what was committed in it."""

    community: Community
    homes: Homes
    committed: tuple[Committed, ...]

    @property
    def url(self) -> str:
        return self.community.validators[0].url

    @property
    def slot_s(self) -> int:
        return self.homes.day.starts_s[0]

    @property
    def home(self) -> str:
        return self.homes.day.homes[0].home


@contextmanager
def open_street(directory: Path) -> Iterator[Street]:
    """Start the validators, let the homes report once, and end whatever runs at the end of the block."""
    community = found_community(directory, consensus=ConsensusSpec(heartbeat_ms=2000, drift_ms=3_600_000))

    async def prepare() -> Street:
        await community.wait_linked()
        homes = found_homes(community, HOMES)
        await register(community, homes)
        committed = await play_slot(community, homes, 0)
        return Street(community, homes, tuple(committed))

    try:
        community.start()
        yield asyncio.run(prepare())
    finally:
        for validator in community.running:
            validator.kill()
