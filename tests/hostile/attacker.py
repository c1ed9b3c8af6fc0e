"""Starting the attacker, and what honest members meet meanwhile: the instruments of every test here."""

import asyncio
import json
import os
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import msgspec

from tests.hostile.attack_process import AttackPlan
from tests.integration.community import Community
from tests.integration.validator import DEADLINE_S, PASSPHRASE, REPOSITORY, Validator

WINDOW_TRANSACTIONS = 12
"""A window lasts half a second: several tell more of a busy machine than one long one."""

PERCENT = 99

FLOOR_S = 0.05
"""Below it the machine decides. Calm, the p99 is 15 ms on two quiet cores; another process that takes a core for a time
slice or two, or a disk that syncs for two others, makes it three times that in a window of twelve, attacked or not."""


@dataclass
class Attacker:
    """The process of an attack that goes on."""

    process: asyncio.subprocess.Process

    async def read_counts(self) -> Counter[str]:
        """Return what it did so far; fails when it does not run any more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        line = await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_S)
        assert line, "the attacker ended by itself"
        return Counter(json.loads(line))

    async def wait_for(self, name: str, count: int) -> None:
        """Wait until it did something so many times."""
        end_s = monotonic() + DEADLINE_S
        while (counts := await self.read_counts())[name] < count:
            assert monotonic() < end_s, f"not within {DEADLINE_S:.0f} s: {count} times {name}; {counts}"
            await asyncio.sleep(0.05)


def plan_attack(community: Community, victim: Validator, *attacks: str) -> AttackPlan:
    return AttackPlan(
        attacks=attacks,
        api_port=victim.api_port,
        p2p_port=victim.p2p_port,
        genesis_hash=community.network.genesis_hash.hex(),
    )


def plan_lies(community: Community, liar: Validator, *lies: str) -> AttackPlan:
    """Plan to speak in the name of a validator that does not run."""
    plan = plan_attack(community, liar)
    return msgspec.structs.replace(plan, lies=lies, liar_home=str(liar.home), passphrase=PASSPHRASE)


@asynccontextmanager
async def attacking(plan: AttackPlan) -> AsyncIterator[Attacker]:
    """Attack until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.attack_process"),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        yield Attacker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(community: Community, asked: Validator, count: int = WINDOW_TRANSACTIONS) -> list[float]:
    """Deliver transactions one after the other through one validator; return the seconds each took to its proof."""
    took_s = []
    async with community.open_client(asked, alone=True) as client:
        for _ in range(count):
            began_s = monotonic()
            (outcome,) = await client.deliver_many([community.sign_grant()], DEADLINE_S)
            took_s.append(monotonic() - began_s)
            community.keep(outcome)
    return took_s


def compute_p99(took_s: Sequence[float]) -> float:
    """Return the 99th percentile, of a few measurements the largest."""
    ordered = sorted(took_s)
    return ordered[min(len(ordered) - 1, len(ordered) * PERCENT // 100)]


def compute_typical_p99(windows: Sequence[Sequence[float]]) -> float:
    """Return the median of the windows' 99th percentiles: one moment of somebody else's work decides nothing."""
    return statistics.median(compute_p99(window) for window in windows)


def compute_floor_s() -> float:
    """Return what a calm p99 counts as at least: FLOOR_S for each process that wants to run on a core now."""
    return FLOOR_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
