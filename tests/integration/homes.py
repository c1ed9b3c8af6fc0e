"""Real homes in a community of real processes: their meters, and what they say slot by slot."""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from time import monotonic

from meter.keystore import KEY_SUFFIX, KeyKind, create_key
from meter.outcomes import Committed
from meter.reading import Reading
from meter.signer import MeterClock, Signer, build_reading_call
from meter.sources.csv import Day, HomeDay, read_homes
from meter.sources.table import format_time
from primitives.ids import Height, Nonce, UnixSeconds, WattHours
from primitives.signing import SecretKey
from tests.integration.community import FIRST_SLOT_S, SLOT_S, Community
from tests.integration.validator import DEADLINE_S, PASSPHRASE, POLL_S
from vm.contracts.energy.calls import RegisterMeter
from vm.transaction import SealedTransaction

CITYLEARN = Path(str(files("cli.demo"))) / "data/citylearn/citylearn_10homes_7d_60min.csv"


@dataclass(frozen=True)
class Homes:
    """Some homes on one day of the file, with their meters' signers."""

    day: Day
    signers: tuple[Signer, ...]

    @property
    def ends_s(self) -> tuple[int, ...]:
        return tuple(start_s + SLOT_S for start_s in self.day.starts_s)

    def sign(self, home: int, slot: int) -> SealedTransaction:
        """Return what one meter says at the end of a slot."""
        return self.sign_reading(home, slot, self.get_registers(home, slot), Nonce(slot + 1))

    def sign_slot(self, slot: int) -> list[SealedTransaction]:
        """Return what all meters say at the end of a slot."""
        return [self.sign(home, slot) for home in range(len(self.signers))]

    def get_registers(self, home: int, slot: int) -> tuple[int, int]:
        registers = self.day.homes[home].slots[slot]
        return registers.import_register_wh, registers.export_register_wh

    def sign_reading(
        self, home: int, slot: int, registers: tuple[int, int], nonce: Nonce
    ) -> SealedTransaction:
        time_s = UnixSeconds(self.ends_s[slot])
        reading = Reading(time_s, WattHours(registers[0]), WattHours(registers[1]))
        clock = MeterClock(UnixSeconds(FIRST_SLOT_S), SLOT_S)
        return self.signers[home].sign(build_reading_call(reading, clock), nonce, Height(0))


def found_homes(community: Community, count: int, seed: bytes | None = None) -> Homes:
    """Take the first homes of the file on its first day; the meters' keys exist in memory only."""
    day = read_homes(CITYLEARN).get_day(0, count)
    keys = [SecretKey(secrets.token_bytes(32) if seed is None else seed + bytes([i])) for i in range(count)]
    return Homes(day, tuple(community.build_signer(key) for key in keys))


def sign_registration(
    community: Community, home: HomeDay, public_key: bytes, account: bytes
) -> SealedTransaction:
    """Return the utility's transaction that opens a home's meter at the first slot of the file."""
    registration = RegisterMeter(
        account=account,
        public_key=public_key,
        home=home.home,
        owner=account,
        rating_w=43_000,
        opening_s=FIRST_SLOT_S,
        opening_import_wh=home.opening_import_wh,
        opening_export_wh=home.opening_export_wh,
    )
    return community.sign_utility("energy", "register_meter", registration)


def sign_registrations(community: Community, homes: Homes) -> list[SealedTransaction]:
    """Return the utility's transactions that open all meters."""
    return [
        sign_registration(community, home, signer.key.public, signer.account)
        for home, signer in zip(homes.day.homes, homes.signers, strict=True)
    ]


async def register(community: Community, homes: Homes) -> None:
    """The utility opens the meters."""
    await community.deliver(sign_registrations(community, homes))


async def play_slot(community: Community, homes: Homes, slot: int) -> list[Committed]:
    """Move the clocks to the end of a slot, let all meters report, and wait until it has settled."""
    await community.step_clocks(homes.ends_s[slot])
    committed = await community.deliver(homes.sign_slot(slot), *community.running)
    await wait_settled(community, homes.day.starts_s[slot])
    return committed


async def wait_settled(community: Community, start_s: int) -> None:
    """Wait until a running validator shows a slot as settled."""
    end_s = monotonic() + DEADLINE_S
    async with community.open_client(*community.running, alone=True) as client:
        while not (await client.get_slot(start_s)).settled:
            assert monotonic() < end_s, f"the slot {start_s} did not settle"
            await asyncio.sleep(POLL_S)


def make_wallets(community: Community, homes: Iterable[HomeDay]) -> list[SealedTransaction]:
    """Make a key file for each home in the wallets of the community; return the meters' registrations."""
    registrations = []
    for home in homes:
        path = community.network.directory / "wallets" / f"{home.home}{KEY_SUFFIX}"
        label = create_key(path, PASSPHRASE.encode(), KeyKind.METER, home.home)
        registrations.append(sign_registration(community, home, label.public_key, label.account))
    return registrations


def write_readings(path: Path, slots: int) -> int:
    """Write the registers of all homes of the file after its first slots, as readings; return how many."""
    whole = read_homes(CITYLEARN)
    rows = []
    for day in range(-(-slots // 24)):
        for home in whole.get_day(day).homes:
            for slot in home.slots[: max(0, slots - 24 * day)]:
                time = format_time(UnixSeconds(slot.start_s + SLOT_S))
                rows.append(f"{time},{slot.import_register_wh},{slot.export_register_wh},{home.home}")
    path.write_text("\n".join(["time_utc,import_wh,export_wh,meter", *rows]) + "\n", encoding="utf-8")
    return len(rows)
