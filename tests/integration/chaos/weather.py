"""What happens on the links during a round: a profile has a weather that stays, and strikes that come and go."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.integration.faulty_proxy import Weather
from tests.integration.links import CALM, CUT, Links

STRIKE_S = (0.5, 6.0)
"""Shorter than the time-out of a silent link (4.5 s), and longer."""


@dataclass
class Sky:
    """The links with the weather they return to after a strike."""

    links: Links
    base: Weather
    chance: random.Random
    hits: Counter[str]

    async def hold(self) -> None:
        await asyncio.sleep(self.chance.uniform(*STRIKE_S))


CUTS = ("one_way_cuts", "two_way_cuts", "isolations", "one_way_isolations", "splits")
"""The strikes that are partitions, by the names under which they are counted."""

Strike = Callable[[Sky], Awaitable[None]]


async def cut_one_way(sky: Sky) -> None:
    """One validator does not hear another, which hears it."""
    pair = sky.chance.choice(sky.links.pairs)
    sky.hits["one_way_cuts"] += 1
    await sky.links.set(CUT, [pair])
    await sky.hold()
    await sky.links.set(sky.base, [pair])


async def cut_two_ways(sky: Sky) -> None:
    """Two validators do not hear each other."""
    one, other = sky.chance.choice(sky.links.pairs)
    sky.hits["two_way_cuts"] += 1
    await sky.links.set(CUT, [(one, other), (other, one)])
    await sky.hold()
    await sky.links.set(sky.base)


async def isolate_one(sky: Sky) -> None:
    """One validator hears nobody and is heard by nobody."""
    sky.hits["isolations"] += 1
    await sky.links.isolate(sky.chance.choice(sky.links.names))
    await sky.hold()
    await sky.links.set(sky.base)


async def deafen_one(sky: Sky) -> None:
    """One validator is heard and hears nobody, or the other way round."""
    name, is_deaf = sky.chance.choice(sky.links.names), sky.chance.random() < 0.5
    sky.hits["one_way_isolations"] += 1
    await sky.links.set(CUT, [(a, b) for a, b in sky.links.pairs if name == (b if is_deaf else a)])
    await sky.hold()
    await sky.links.set(sky.base)


async def split(sky: Sky) -> None:
    """Two halves: neither is a quorum, or one is."""
    names = list(sky.links.names)
    sky.chance.shuffle(names)
    sky.hits["splits"] += 1
    await sky.links.isolate(*names[: sky.chance.randrange(1, len(names))])
    await sky.hold()
    await sky.links.set(sky.base)


async def clog(sky: Sky) -> None:
    """All that one validator says goes through a straw, then everything at once."""
    name = sky.chance.choice(sky.links.names)
    sky.hits["clogs"] += 1
    straw = Weather(delay_ms=50, bytes_per_s=2_000)
    await sky.links.set(straw, [(a, b) for a, b in sky.links.pairs if a == name])
    await sky.hold()
    await sky.links.set(sky.base)


async def reset_one(sky: Sky) -> None:
    """A connection breaks."""
    sky.hits["resets"] += 1
    await sky.links.reset(*sky.chance.choice(sky.links.pairs))
    await asyncio.sleep(sky.chance.uniform(0.1, 1.0))


async def reset_all(sky: Sky) -> None:
    """All connections break: a switch restarts."""
    sky.hits["resets"] += len(sky.links.pairs) // 2
    for one, other in sky.links.pairs:
        if one < other:
            await sky.links.reset(one, other)
    await asyncio.sleep(sky.chance.uniform(0.1, 1.0))


@dataclass(frozen=True)
class Profile:
    """A weather, what strikes in it, and how long it is quiet between two strikes."""

    base: Weather
    strikes: tuple[Strike, ...] = ()
    quiet_s: tuple[float, float] = (0.2, 2.0)


PROFILES = {
    "calm": Profile(CALM),
    "wan": Profile(Weather(delay_ms=50, jitter_ms=20, bytes_per_s=125_000)),
    "flaky": Profile(
        Weather(delay_ms=5, jitter_ms=5, spread_ms=40, stall_chance=0.01, stall_ms=300),
        (reset_one, reset_one, reset_all, clog),
        (0.1, 1.0),
    ),
    "partitions": Profile(
        Weather(delay_ms=2, jitter_ms=2), (cut_one_way, cut_two_ways, isolate_one, deafen_one, split)
    ),
}


async def blow(links: Links, profile: Profile, chance: random.Random, hits: Counter[str]) -> None:
    """Give the links the weather of a profile and let it strike until cancelled; whoever cancels heals."""
    sky = Sky(links, profile.base, chance, hits)
    await links.set(profile.base)
    while profile.strikes:
        await chance.choice(profile.strikes)(sky)
        await asyncio.sleep(chance.uniform(*profile.quiet_s))
