"""Members at work during a campaign: some grant coins, the homes' meters report slot by slot from a spool."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from meter.courier import Courier
from meter.outcomes import Committed, RefusedByNetwork
from meter.reading import Reading
from meter.signer import MeterClock, Signer, spool_readings
from meter.sources.csv import read_homes
from meter.spool import Spool, SpoolState, open_spool
from primitives.ids import Digest, UnixSeconds, WattHours
from tests.integration.community import FIRST_SLOT_S, GENESIS_S, SLOT_S, Community
from tests.integration.homes import CITYLEARN, Homes, found_homes, register
from tests.integration.validator import Validator
from vm.transaction import SealedTransaction

GRANTERS = 2
PAUSE_S = 0.1
"""Between two transactions of a member, at most: the processor is for the faults, too."""
ATTEMPT_S = 10.0
"""After it the same bytes are delivered again."""
DAYS = 7
SLOTS = 24 * DAYS
"""Of the file."""
CLOCK = MeterClock(UnixSeconds(FIRST_SLOT_S), SLOT_S)


@dataclass
class Clocks:
    """The time of the campaign, which every validator is told, whenever it starts."""

    community: Community
    time_s: int = GENESIS_S
    frozen: set[str] = field(default_factory=set)

    async def move(self, time_s: int) -> None:
        """Move the time on, for those that run, and for the others when they start."""
        self.time_s = time_s
        for validator in self.community.validators:
            validator.environment["GRIDBFT_CLOCK_ORIGIN_MS"] = str(time_s * 1000)
        await asyncio.gather(*(self.tell(each, time_s) for each in self.community.running))

    async def tell(self, validator: Validator, time_s: int) -> None:
        """Step one validator's clock if it answers now."""
        body = {"time_ms": time_s * 1000, "hold_ms": time_s * 1000}
        if validator.name not in self.frozen:
            await asyncio.to_thread(validator.try_admin, "POST", "/clock", body)


@dataclass
class Load:
    """What was asked of the network and what came of it."""

    community: Community
    clocks: Clocks
    homes: Homes
    chance: random.Random
    granted: set[bytes] = field(default_factory=set)
    refused: dict[bytes, str] = field(default_factory=dict)
    reported: set[int] = field(default_factory=set)
    slots_s: list[int] = field(default_factory=list)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def grant(self) -> float:
        """Let the utility grant itself one more coin; return after how long the receipt was verified.

        The same bytes go out until something is proven of them.
        """
        begin_s = asyncio.get_running_loop().time()
        preferred = self.chance.choice(self.community.validators)
        async with self.community.open_client(preferred) as client:
            transaction = self.community.sign_grant()
            while not self.keep(transaction, await client.deliver(transaction, ATTEMPT_S)):
                pass
        return asyncio.get_running_loop().time() - begin_s

    def keep(self, transaction: SealedTransaction, outcome: object) -> bool:
        """Keep what is proven of a grant; True when something is."""
        if isinstance(outcome, Committed):
            self.community.keep(outcome)
            self.granted.add(transaction.id)
        elif isinstance(outcome, RefusedByNetwork):
            self.refused[transaction.id] = outcome.rejection
        else:
            return False
        return True

    async def work(self) -> None:
        """Grant one coin after the other until the end."""
        while not self.ending.is_set():
            await self.grant()
            await asyncio.sleep(self.chance.uniform(0, PAUSE_S))

    async def report(self, spool: Spool, pause_s: float) -> None:
        """Let all meters report slot after slot: each reading is sent until it is proven; the last slot to its end."""
        signers = {signer.account: signer for signer in self.homes.signers}
        async with self.community.open_client() as client:
            courier = Courier(spool, client, signers, is_past=lambda _: True)
            for slot_s, readings in read_slots(len(self.homes.signers)):
                if self.ending.is_set():
                    return
                await self.clocks.move(slot_s + SLOT_S)
                for signer, reading in zip(self.homes.signers, readings, strict=True):
                    self.put(spool, signer, reading)
                while spool.get_due(1):
                    if all(each.entry.is_open for each in await courier.deliver_due(ATTEMPT_S)):
                        await asyncio.sleep(PAUSE_S)
                self.collect(spool)
                self.slots_s.append(slot_s)
                await asyncio.sleep(self.chance.uniform(0, 2 * pause_s))

    def put(self, spool: Spool, signer: Signer, reading: Reading) -> None:
        """Sign and store one reading."""
        (entry,) = spool_readings(spool, signer, CLOCK, [reading], self.community.height)
        self.reported.add(entry.number)

    def collect(self, spool: Spool) -> None:
        """Keep what the spool holds proofs of, checked once more."""
        for number in sorted(self.reported):
            entry, proof = spool.get_entry(number), spool.get_proof(number)
            assert entry.height is not None, entry
            assert proof is not None, entry
            name = Digest(proof.receipt.transaction_id)
            if entry.state is SpoolState.COMMITTED:
                self.community.keep(Committed(name, entry.height, proof))
            else:
                self.refused[name] = entry.reason
        self.reported.clear()


def read_slots(homes: int) -> Sequence[tuple[int, Sequence[Reading]]]:
    """Return each slot of the file with what the meters of the first homes say at its end."""
    whole = read_homes(CITYLEARN)
    slots = []
    for number in range(DAYS):
        day = whole.get_day(number, homes)
        for index, start_s in enumerate(day.starts_s):
            registers = [home.slots[index] for home in day.homes]
            readings = [
                Reading(
                    UnixSeconds(start_s + SLOT_S),
                    WattHours(each.import_register_wh),
                    WattHours(each.export_register_wh),
                )
                for each in registers
            ]
            slots.append((start_s, readings))
    return slots


@asynccontextmanager
async def open_load(
    community: Community, spool: Path, homes: int, chance: random.Random, seconds: float
) -> AsyncIterator[Load]:
    """Register the meters and keep the members at work until the block ends; then everything sent is proven.

    The slots of the file are spread over the seconds that it is expected to take.
    """
    found = found_homes(community, homes)
    load = Load(community, Clocks(community), found, chance)
    with open_spool(spool, community.network.genesis_hash) as opened:
        await load.clocks.move(FIRST_SLOT_S)
        await register(community, found)
        async with asyncio.TaskGroup() as members:
            for _ in range(GRANTERS):
                members.create_task(load.work())
            members.create_task(load.report(opened, seconds / SLOTS))
            yield load
            load.ending.set()
