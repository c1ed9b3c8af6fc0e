"""A campaign in which the validators themselves change: they join, leave and take new keys while others are killed."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from cli.bundle import read_bundle
from primitives.encoding import Struct
from tests.integration.chaos.campaign import FAILURES, Findings, flatten, name_place
from tests.integration.chaos.history import count_view_changes, find_forks
from tests.integration.test_membership import (
    Assembly,
    check,
    open_assembly,
    open_identity,
    under_load,
)
from tests.integration.validator import Validator
from vm.contracts.validators import Add, Remove, Replace

MEMBERS = (4, 7)
"""Never fewer, never more: seven processes are what two cores carry beside a load."""
KILL_AFTER_S = (0.0, 0.6)
"""A decision takes about so long: the kill comes before it, within it or after it."""
DOWN_S = (0.0, 2.0)


async def play_members(seconds: float, seed: int, directory: Path) -> Findings:
    """Change the members of a community for so long; what goes wrong is a violation, never an exception."""
    findings = Findings(links="loopback", disk="as it is")
    chance = random.Random(seed)
    begin_s = monotonic()
    try:
        async with open_assembly(directory / "net") as assembly:
            community = assembly.community
            async with under_load(community):
                while monotonic() - begin_s < seconds:
                    findings.rounds += 1
                    await play_change(assembly, chance, findings)
            await check(assembly)
            chains = {each.name: await community.read_blocks(each) for each in assembly.members}
            findings.violations += find_forks(chains)
            findings.blocks = max(map(len, chains.values()))
            findings.acknowledged = len(community.acknowledged)
            findings.view_changes = count_view_changes(community.validators)
            for validator in community.validators:
                if "Traceback" in validator.log or validator.count_events("equivocation"):
                    findings.violations.append(f"{validator.name}: {validator.log[-2000:]}")
    except* FAILURES as group:
        findings.violations += [f"{name_place(error)}{error}" for error in flatten(group)]
    findings.seconds = round(monotonic() - begin_s, 1)
    return findings


async def play_change(assembly: Assembly, chance: random.Random, findings: Findings) -> None:
    """Let one in, let one go, or give one a new key, as the number of members allows."""
    least, most = MEMBERS
    count = len(assembly.members)
    member = chance.choice(assembly.members)
    fits = {
        "joins": count < most,
        "leaves": count > least,
        "rotations": not (member.home / "validator.next.bundle").exists(),  # once: the second key is the last
    }
    kind = chance.choice([name for name, is_possible in fits.items() if is_possible])
    findings.hits[kind] += 1
    if kind == "joins":
        newcomer, bundle = await assembly.make_newcomer(f"node{len(assembly.community.validators)}")
        change: Struct = Add(bundle.validator, bundle.endpoint)
        await decide(assembly, "add", change, [*assembly.members, newcomer], chance, findings)
    elif kind == "leaves":
        change = Remove(assembly.identities[member.name].key.public)
        staying = [each for each in assembly.members if each is not member]
        await decide(assembly, "remove", change, staying, chance, findings)
        await member.stop()
    else:
        await rotate(assembly, member, chance, findings)


async def rotate(assembly: Assembly, member: Validator, chance: random.Random, findings: Findings) -> None:
    """Give a member another key beside the one it has, and let a quorum replace that."""
    await assembly.community.run_cli("network", "rotate", "--home", member.home)
    await member.stop()
    member.start()
    await assembly.await_links()
    bundle = read_bundle(member.home / "validator.next.bundle", assembly.genesis)
    change = Replace(assembly.identities[member.name].key.public, bundle.validator, bundle.endpoint)
    await decide(assembly, "replace", change, assembly.members, chance, findings)
    assembly.identities[member.name] = open_identity(member)


async def decide(
    assembly: Assembly,
    method: str,
    change: Struct,
    members: Sequence[Validator],
    chance: random.Random,
    findings: Findings,
) -> None:
    """Let a quorum vote while a member is killed; wait until the new epoch has begun on all."""
    victim = chance.choice(assembly.members)
    ballots = assembly.sign_ballots(method, change)
    voting = asyncio.create_task(assembly.community.deliver(ballots, *assembly.members))
    await asyncio.sleep(chance.uniform(*KILL_AFTER_S))
    victim.kill()
    findings.hits["kills"] += 1
    await asyncio.sleep(chance.uniform(*DOWN_S))
    victim.start()
    await voting
    begin_s = monotonic()
    await assembly.await_epoch(members)
    findings.settled_s.append(round(monotonic() - begin_s, 2))
