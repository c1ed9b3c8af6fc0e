"""`python -m tests.integration.chaos --seconds N --seed S [--json]`: a campaign against real validators."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.integration.chaos.campaign import RESUME_S_MAX, Findings, Settings, play_campaign
from tests.integration.chaos.faults import ALL_FAULTS, PROCESS_FAULTS
from tests.integration.chaos.members import play_members
from tests.integration.chaos.weather import CUTS, PROFILES


def main() -> int:
    """Play a campaign as the arguments say; exit with 1 on any violation."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long faults come (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults; the processes stay themselves")
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), help="of the links; default: each round draws one"
    )
    parser.add_argument(
        "--over", choices=["proxy", "namespaces"], help="default: namespaces if there is netem"
    )
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--homes", type=int, default=4, help="whose meters report (at most 10)")
    parser.add_argument("--links-only", action="store_true", help="no faults of processes, disks and clocks")
    parser.add_argument("--kills-only", action="store_true", help="no faults of disks and clocks")
    parser.add_argument("--members", action="store_true", help="the validators change, and others are killed")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    settings = Settings(
        asked.seconds,
        asked.seed,
        "members change" if asked.members else asked.profile,
        asked.validators,
        asked.homes,
        () if asked.links_only else PROCESS_FAULTS if asked.kills_only else ALL_FAULTS,
        asked.over,
    )
    with tempfile.TemporaryDirectory(prefix="gridbft-chaos-") as directory:
        playing = (
            play_members(asked.seconds, asked.seed, Path(directory))
            if asked.members
            else play_campaign(settings, Path(directory))
        )
        findings = asyncio.run(playing)
    report = build_report(settings, findings)
    print(json.dumps(report) if asked.json else render(report))  # noqa: T201  # what it is for
    return 1 if findings.violations else 0


def build_report(settings: Settings, findings: Findings) -> dict[str, object]:
    """Return everything that was asked and seen; where and when, whoever records it says."""
    hits = findings.hits
    return {
        "seed": settings.seed,
        "profile": settings.profile or "drawn each round",
        "validators": settings.validators,
        "links": findings.links,
        "disks": findings.disk,
        "seconds": findings.seconds,
        "rounds": findings.rounds,
        "kills": hits["kills"],
        "stops": hits["freezes"] + hits["stops"],
        "partitions": sum(hits[name] for name in CUTS),
        "transactions": findings.acknowledged,
        "refused": findings.refused,
        "readings": findings.readings,
        "slots": findings.slots,
        "blocks": findings.blocks,
        "view_changes": findings.view_changes,
        "faults": dict(sorted(hits.items())),
        "proxy": msgspec.to_builtins(findings.proxy),
        "resumed_s": _summarise(findings.resumed_s),
        "settled_s": _summarise(findings.settled_s),
        "resumed_s_bound": RESUME_S_MAX,
        "violations": findings.violations,
    }


def render(report: dict[str, object]) -> str:
    """Return the report for a person."""
    return "\n".join(f"{key:16} {value}" for key, value in report.items())


def _summarise(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": ordered[len(ordered) // 2], "max": ordered[-1]} if ordered else {}


if __name__ == "__main__":
    sys.exit(main())
