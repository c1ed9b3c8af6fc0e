"""One campaign: rounds of faults under load, each healed and timed, and the reckoning at the end."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from cli.bill_check import BillProblem
from cli.failure import CliError
from cli.network_spec import ConsensusSpec, EnergySpec
from meter.validators import ClientError
from tests.integration.chaos.disks import open_disks
from tests.integration.chaos.faults import ALL_FAULTS, Fault, Stage
from tests.integration.chaos.history import count_view_changes, find_violations
from tests.integration.chaos.load import Load, open_load
from tests.integration.chaos.weather import PROFILES, Profile, blow
from tests.integration.community import SLOT_S, Community, choose_fabric, found_community, running
from tests.integration.faulty_proxy import Hits
from tests.integration.links import Links
from tests.integration.validator import DEADLINE_S

VIEW_TIMEOUT_MAX_MS = 4_000
RESEND_MS = 400
RESUME_S_MAX = (2 * VIEW_TIMEOUT_MAX_MS + RESEND_MS) / 1000
"""I8 with no faulty primary left: two capped view time-outs and one re-send."""
CONSENSUS = ConsensusSpec(
    heartbeat_ms=2_000, drift_ms=3_600_000, view_timeout_max_ms=VIEW_TIMEOUT_MAX_MS, resend_ms=RESEND_MS
)
ENERGY = EnergySpec(slot_s=SLOT_S, grace_s=6 * 86_400, correction_s=7 * 86_400)
"""A slot waits for its last meter, however long it is kept from reporting."""
FAULTS_PER_ROUND_MAX = 3
FAILURES = (AssertionError, TimeoutError, ClientError, CliError, BillProblem)
"""What a campaign can end with that is the network's fault; anything else is a bug of the campaign."""


@dataclass(frozen=True)
class Settings:
    """What to play, over what. Without a profile each round draws one.

    ``is_in_turn``: each round plays every fault once.
    """

    seconds: float
    seed: int
    profile: str | None = None
    validators: int = 4
    homes: int = 4
    faults: tuple[Fault, ...] = ALL_FAULTS
    over: Literal["proxy", "namespaces"] | None = None
    rounds_max: int = 1_000_000
    is_in_turn: bool = False


@dataclass
class Findings:
    """What a campaign saw."""

    hits: Counter[str] = field(default_factory=Counter)
    proxy: Hits = field(default_factory=Hits)
    resumed_s: list[float] = field(default_factory=list)
    settled_s: list[float] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0
    links: str = ""
    disk: str = ""
    acknowledged: int = 0
    refused: int = 0
    readings: int = 0
    slots: int = 0
    blocks: int = 0
    view_changes: int = 0
    violations: list[str] = field(default_factory=list)


def play_campaign_now(settings: Settings, directory: Path) -> Findings:
    """Play one campaign to its end."""
    return asyncio.run(play_campaign(settings, directory))


async def play_campaign(settings: Settings, directory: Path) -> Findings:
    """Play one campaign in an empty directory; what goes wrong is a violation, never an exception."""
    findings = Findings()
    over = settings.over or await choose_fabric()
    community = found_community(
        directory / "net",
        validators=settings.validators,
        energy=ENERGY,
        consensus=CONSENSUS,
        over=over,
    )
    begin_s = monotonic()
    try:
        async with AsyncExitStack() as stack:
            disks = stack.enter_context(open_disks(community.validators))
            findings.disk = disks.kind + (" and strace" if disks.can_inject else "")
            links = await stack.enter_async_context(community.open_links(settings.seed))
            findings.links = links.kind
            await stack.enter_async_context(running(community))
            chance = random.Random(settings.seed)
            load_chance = random.Random(settings.seed + 1)
            async with open_load(
                community, directory / "spool.db", settings.homes, load_chance, settings.seconds
            ) as load:
                stage = Stage(community, load.clocks, disks, chance, findings.hits)
                await _play_rounds(settings, stage, links, load, findings)
            found, blocks = await find_violations(community, load, stage.forgetful)
            findings.violations += found
            findings.blocks = len(blocks)
            findings.proxy = await links.read_hits()
            _count(findings, community, load)
    except* FAILURES as group:
        findings.violations += [f"{name_place(error)}{error}" for error in flatten(group)]
    findings.seconds = round(monotonic() - begin_s, 1)
    findings.view_changes = count_view_changes(community.validators)
    return findings


async def _play_rounds(
    settings: Settings, stage: Stage, links: Links, load: Load, findings: Findings
) -> None:
    end_s = monotonic() + settings.seconds
    while monotonic() < end_s and findings.rounds < settings.rounds_max:
        findings.rounds += 1
        name = settings.profile or stage.chance.choice(sorted(PROFILES))
        stage.hits[f"rounds_{name}"] += 1
        await _strike(settings, stage, links, PROFILES[name])
        await _heal(stage, links)
        await _measure(stage, load, findings)


async def _strike(settings: Settings, stage: Stage, links: Links, profile: Profile) -> None:
    """Let weather and faults come together."""
    weather = random.Random(stage.chance.random())
    blowing = asyncio.create_task(blow(links, profile, weather, stage.hits))
    try:
        for fault in _draw(settings, stage.chance):
            await stage.hold((0.0, 2.0))
            await fault(stage)
        await stage.hold((0.5, 3.0))
    finally:
        blowing.cancel()
        with suppress(asyncio.CancelledError):
            await blowing


def _draw(settings: Settings, chance: random.Random) -> Sequence[Fault]:
    if settings.is_in_turn or not settings.faults:
        return settings.faults
    return chance.choices(settings.faults, k=chance.randrange(1, FAULTS_PER_ROUND_MAX + 1))


async def _heal(stage: Stage, links: Links) -> None:
    """Give everybody whole links and the right time; nobody may have ended by itself."""
    await links.heal()
    for validator in stage.community.validators:
        assert validator.is_running, f"{validator.name} ended by itself: {validator.log[-3000:]}"
    others = len(stage.community.validators) - 1
    await stage.community.wait_statuses(
        lambda found: all(sum(bool(p["connected"]) for p in s["peers"]) == others for s in found),
        "all links stand again",
    )
    await stage.clocks.move(stage.clocks.time_s)


async def _measure(stage: Stage, load: Load, findings: Findings) -> None:
    """Time from here until a new transaction is proven, and until every validator works in one view."""

    async def settle() -> float:
        begin_s = monotonic()
        await stage.community.wait_statuses(_is_settled, "all follow in one view")
        return monotonic() - begin_s

    async with asyncio.timeout(2 * DEADLINE_S), asyncio.TaskGroup() as tasks:
        granting = tasks.create_task(load.grant())
        settling = tasks.create_task(settle())
    findings.resumed_s.append(round(granting.result(), 2))
    findings.settled_s.append(round(settling.result(), 2))
    if granting.result() > RESUME_S_MAX:
        findings.violations.append(
            f"round {findings.rounds}: commits resumed {granting.result():.1f} s after everything was healed"
        )


def _is_settled(found: list[Mapping[str, Any]]) -> bool:
    """Tell whether all that vote follow in one view.

    Who has forgotten votes may wait alone in a later one: it says nothing, so that nobody joins it before it votes.
    """
    voting = [status for status in found if status["phase"] != "silent"]
    return all(s["phase"] == "normal" for s in voting) and len({s["view"] for s in voting}) == 1


def _count(findings: Findings, community: Community, load: Load) -> None:
    findings.acknowledged = len(community.acknowledged)
    findings.refused = len(load.refused)
    findings.readings = findings.acknowledged - len(load.granted) - len(load.homes.signers)
    findings.slots = len(load.slots_s)


def flatten(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """Return the failures in a group, however deep."""
    found: list[Exception] = []
    for error in group.exceptions:
        found += flatten(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def name_place(error: BaseException) -> str:
    """Return where something failed that has no words."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None or str(error) else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
