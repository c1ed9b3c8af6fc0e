"""Every attack, each for its share of the minutes: `python -m tests.hostile.soak --minutes 5`.

Four real validators; honest transactions are delivered through the attacked one all the time. The last line of standard
output is JSON: what honest members met with and without an attack, and the largest memory and descriptors seen.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from tests.hostile.attack_process import AttackPlan
from tests.hostile.attacker import attacking, compute_floor_s, compute_p99, measure, plan_attack, plan_lies
from tests.hostile.http_attacks import HTTP_ATTACKS
from tests.hostile.member_attacks import TIRING
from tests.hostile.stranger_attacks import STRANGER_ATTACKS
from tests.hostile.stream_attacks import STREAM_ATTACKS
from tests.integration.community import Community, found_community, running

CALM_SHARE = 0.2
"""Of each attack's time, for what honest members meet before it."""


RESIDENT_KB_MAX = 160 * 1024
"""An idle validator has 64 MB; what the attacks of the tests may add, and LevelDB's caches for a longer chain."""


class Peaks:
    """The largest memory and descriptors of each validator that was looked at."""

    def __init__(self) -> None:
        self.resident_kb: dict[str, int] = {}
        self.descriptors: dict[str, int] = {}

    def look(self, community: Community) -> None:
        for each in community.running:
            self.resident_kb[each.name] = max(self.resident_kb.get(each.name, 0), each.read_memory_kb())
            self.descriptors[each.name] = max(self.descriptors.get(each.name, 0), each.count_descriptors())


def list_plans(community: Community) -> Iterator[tuple[str, AttackPlan]]:
    """Yield each attack on its own, then everything at once, then the member that is too much."""
    victim, liar = community.validators[1], community.validators[3]
    attacks = (*HTTP_ATTACKS, *STREAM_ATTACKS, *STRANGER_ATTACKS)
    for name in attacks:
        yield name, plan_attack(community, victim, name)
    yield "all", plan_attack(community, victim, *attacks)
    for name in TIRING:
        yield name, plan_lies(community, liar, name)


async def measure_for(community: Community, seconds: float, peaks: Peaks) -> list[float]:
    took_s: list[float] = []
    end_s = monotonic() + seconds
    while monotonic() < end_s:
        took_s += await measure(community, community.validators[1], 10)
        peaks.look(community)
    return took_s


async def soak(minutes: float, directory: Path) -> dict[str, object]:
    """Play all attacks; return what happened."""
    community = found_community(directory / "net")
    attacks: dict[str, dict[str, int]] = {}
    peaks = Peaks()
    async with running(community):
        await measure(community, community.validators[3], 10)
        plans = list(list_plans(community))
        share_s = 60 * minutes / len(plans)
        for name, plan in plans:
            liar = community.validators[3]
            if plan.lies and liar.is_running:
                await liar.stop()
            calm = await measure_for(community, CALM_SHARE * share_s, peaks)
            async with attacking(plan):
                attacked = await measure_for(community, (1 - CALM_SHARE) * share_s, peaks)
            attacks[name] = {
                "transactions": len(attacked),
                "calm_p99_ms": round(1000 * compute_p99(calm)),
                "p99_ms": round(1000 * compute_p99(attacked)),
            }
            sys.stderr.write(f"{name}: {attacks[name]}\n")
        agreed = await community.wait_agreed()
        violations = [
            f"{name}: p99 {figures['p99_ms']} ms under attack, {figures['calm_p99_ms']} ms before"
            for name, figures in attacks.items()
            if figures["p99_ms"] > 2 * max(figures["calm_p99_ms"], 1000 * compute_floor_s())
        ]
        violations += [
            f"{name} took {size} kB" for name, size in peaks.resident_kb.items() if size > RESIDENT_KB_MAX
        ]
        await community.check_acknowledged()
    return {
        "minutes": minutes,
        "commits": agreed["certified_height"],
        "transactions": len(community.acknowledged),
        "p99_ms": max(attack["p99_ms"] for attack in attacks.values()),
        "rss_kb": peaks.resident_kb,
        "fds": peaks.descriptors,
        "attacks": attacks,
        "violations": violations,
    }


def main() -> int:
    """Run the soak of the command line; 1 when something was beyond its bound."""
    parser = argparse.ArgumentParser(description="attack a network for a while")
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = asyncio.run(soak(options.minutes, Path(place)))
    sys.stdout.write(json.dumps(result, separators=(",", ":")) + "\n")
    return int(bool(result["violations"]))


if __name__ == "__main__":
    sys.exit(main())
