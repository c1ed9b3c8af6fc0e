"""P1 telegrams, MQTT messages and Modbus registers become settled readings; a network that is away loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from cli.bill_check import verify_bill
from cli.network_spec import EnergySpec
from meter.answers import MeterAnswer
from meter.keystore import KEY_SUFFIX, KeyKind, create_key, open_key
from meter.signer import Signer
from meter.spool import SpoolState
from meter.validators import NotFoundError
from tests.integration.collected import QUICK, Clock, Devices, Household, collecting, open_devices
from tests.integration.community import FIRST_SLOT_S, Community, found_community, running
from tests.integration.faulty_proxy import Weather
from tests.integration.homes import wait_settled
from tests.integration.links import CALM, CUT, Links, open_proxy
from tests.integration.ports import find_free_ports
from tests.integration.validator import DEADLINE_S, PASSPHRASE, POLL_S, until
from tests.meter.collect.samples import build_telegram
from vm.contracts.energy.calls import RegisterMeter, ReplaceMeter

SLOT_S = 900
OPENING = {"alder": (3_016_829, 0), "birch": (52_185_782, 19_949_322), "cedar": (6_545_766, 58)}
PER_SLOT = {"alder": (321, 0), "birch": (45, 210), "cedar": (7, 3)}
SLOTS = 8
LATE = Weather(delay_ms=2 * 1000 * QUICK.request_timeout_s)


def get_registers(name: str, time_s: int) -> tuple[int, int]:
    """What a home's meter shows at any time, in whole Wh."""
    past_s = time_s - FIRST_SLOT_S
    (imported, exported), (draw, feed) = OPENING[name], PER_SLOT[name]
    return imported + draw * past_s // SLOT_S, exported + feed * past_s // SLOT_S


def get_end(slot: int) -> int:
    """The end of a slot, counted from 1."""
    return FIRST_SLOT_S + slot * SLOT_S


class Street:
    """The network, the three homes on it, and the way between them."""

    def __init__(self, community: Community, devices: Devices, links: Links, urls: list[str]) -> None:
        self.community = community
        self.devices = devices
        self.links = links
        self.urls = urls
        self.signers = {name: self._make_signer(name) for name in OPENING}
        self.households: dict[str, Household] = {}

    def _make_signer(self, name: str) -> Signer:
        path = self.community.network.directory / "wallets" / f"{name}{KEY_SUFFIX}"
        create_key(path, PASSPHRASE.encode(), KeyKind.METER, name)
        return self.community.build_signer(open_key(path, PASSPHRASE.encode(), KeyKind.METER).key)

    async def register(self) -> None:
        await self.community.deliver(
            [
                self.community.sign_utility(
                    "energy",
                    "register_meter",
                    RegisterMeter(
                        signer.account,
                        signer.key.public,
                        name,
                        signer.account,
                        43_000,
                        FIRST_SLOT_S,
                        *OPENING[name],
                    ),
                )
                for name, signer in self.signers.items()
            ]
        )

    @asynccontextmanager
    async def collect(self, directory: Path) -> AsyncIterator[None]:
        """Run the three collectors; leaving the block ends them without a word."""
        sources = self.devices.build_sources()
        async with AsyncExitStack() as stack:
            for name, signer in self.signers.items():
                self.households[name] = await stack.enter_async_context(
                    collecting(
                        directory,
                        name,
                        signer,
                        sources[name],
                        self.urls,
                        self.community.anchor,
                        SLOT_S,
                        self.devices.clock,
                    )
                )
            await until(
                lambda: all(not each.collector.state.link_problem for each in self.households.values()),
                "every source is open",
            )
            yield

    async def show(self, time_s: int) -> None:
        """Let it be that time, and every home see what its meter shows: a message that came later would be of later."""
        registers = {name: get_registers(name, time_s) for name in OPENING}
        await self.devices.show(time_s, registers)
        for name, household in self.households.items():
            state = household.collector.state
            await until(
                lambda state=state, shown=registers[name]: (
                    state.last_seen is not None
                    and (state.last_seen.import_wh, state.last_seen.export_wh) == shown
                ),  # type: ignore[misc]
                f"{name} has seen its meter of {time_s}: {state}",
            )

    async def pass_end(self, slot: int) -> None:
        """Let the end of a slot pass; all three readings of it are on disk when this returns."""
        await self.show(get_end(slot) - 5)
        await self.community.step_clocks(get_end(slot) + 3)
        await self.show(get_end(slot) + 3)
        for name, household in self.households.items():
            state = household.collector.state
            await until(
                lambda state=state: (
                    state.last_reading is not None and state.last_reading.time_s == get_end(slot)
                ),  # type: ignore[misc]
                f"{name} has its reading of slot {slot}: {state}",
            )

    async def wait_delivered(self) -> None:
        for name, household in self.households.items():
            await until(lambda spool=household.spool: spool.count_open() == 0, f"nothing of {name} waits")  # type: ignore[misc]

    async def check(self, slots: int) -> None:
        """Every slot of every home has settled with exactly what its meter counted in it, and nothing stands twice."""
        async with self.community.open_client() as client:
            for name, signer in self.signers.items():
                await wait_settled(self.community, get_end(slots) - SLOT_S)
                slots_s = [get_end(slot) - SLOT_S for slot in range(1, slots + 1)]
                answer = await client.get_bill(
                    signer.account.hex(), slots_s[0], slots_s[-1], with_proofs=True
                )
                bill = verify_bill(client.anchor, signer.account, slots_s, answer)
                told = [(at, line.import_wh, line.export_wh, line.flags) for at, line in bill.lines.items()]
                assert told == [self._expect(name, slot) for slot in range(1, slots + 1)]
                household = self.households[name]
                counts = household.spool.count()
                assert counts[SpoolState.COMMITTED] == slots
                assert counts[SpoolState.REFUSED] == 0
                assert household.collector.state.refused == {}
                assert household.collector.state.gaps == 0

    @staticmethod
    def _expect(name: str, slot: int) -> tuple[int, int, int, int]:
        """The line of a slot: registers are taken three seconds after each end."""
        before = OPENING[name] if slot == 1 else get_registers(name, get_end(slot - 1) + 3)
        after = get_registers(name, get_end(slot) + 3)
        return get_end(slot) - SLOT_S, after[0] - before[0], after[1] - before[1], 0


@asynccontextmanager
async def open_street(directory: Path) -> AsyncIterator[Street]:
    community = found_community(directory / "net", energy=EnergySpec(slot_s=SLOT_S, grace_s=7200))
    ports = {validator.name: validator.api_port for validator in community.validators}
    detours = dict(zip([("home", name) for name in ports], find_free_ports(len(ports)), strict=True))
    clock = Clock(FIRST_SLOT_S)
    async with (
        running(community),
        open_devices(clock) as devices,
        open_proxy(["home", *ports], detours, ports) as links,
    ):
        urls = [f"http://127.0.0.1:{port}" for port in detours.values()]
        street = Street(community, devices, links, urls)
        await street.register()
        yield street


async def replay(community: Community, directory: Path) -> None:
    """A recorded file through the command line, twice: what a household types, and what it is told."""
    name, opening = "dogwood", (1_000_000, 5_000)
    label = create_key(
        community.network.directory / "wallets" / f"{name}{KEY_SUFFIX}",
        PASSPHRASE.encode(),
        KeyKind.METER,
        name,
    )
    begin_s = get_end(SLOTS + 2)
    registration = RegisterMeter(
        label.account, label.public_key, name, label.account, 43_000, begin_s, *opening
    )
    await community.deliver([community.sign_utility("energy", "register_meter", registration)])
    await community.step_clocks(begin_s + 2 * SLOT_S)
    telegrams = [
        build_telegram(begin_s + s, opening[0] + s, opening[1] + s // 9) for s in range(0, 2 * SLOT_S + 1, 10)
    ]
    telegrams[7] = telegrams[7].replace(b"!", b"!0")
    path = directory / "recorded.txt"
    path.write_bytes(b"".join(telegrams))
    command = ("collect", "p1", "--device", path, "--meter", name, "--json")
    lines = [json.loads(line) for line in (await community.run_cli(*command)).splitlines()]
    assert lines == [
        {"time_s": begin_s + SLOT_S, "import_wh": 1_000_900, "export_wh": 5_100},
        {"time_s": begin_s + 2 * SLOT_S, "import_wh": 1_001_800, "export_wh": 5_200},
    ]
    assert await community.run_cli(*command) == ""
    told = json.loads(await community.run_cli("meter", "status", name, "--json"))
    assert told["latest"]["import_wh"] == 1_001_800
    state = told["collector"]
    assert (state["readings"], state["committed"], state["waiting"], state["refused"]) == (2, 2, 0, {})
    assert state["dropped"] == {"CRC_WRONG": 2}
    assert state["last_proof"]["reading_s"] == begin_s + 2 * SLOT_S


@pytest.mark.slow
def test_three_kinds_of_meters_settle_every_slot_though_the_network_and_the_homes_go_away(
    tmp_path: Path,
) -> None:
    async def act() -> None:
        async with open_street(tmp_path) as street:
            home = [("home", validator.name) for validator in street.community.validators]
            back = [(name, source) for source, name in home]
            async with street.collect(tmp_path):
                for slot in (1, 2):
                    await street.pass_end(slot)
                    await street.wait_delivered()
                # Ten minutes without network, around the end of a slot.
                await street.show(get_end(3) - 300)
                await street.links.set(CUT, home + back)
                await street.pass_end(3)
                await street.community.step_clocks(get_end(3) + 300)
                await street.show(get_end(3) + 300)
                assert all(each.spool.count_open() == 1 for each in street.households.values())
                await street.links.heal()
                await street.wait_delivered()
                # What is sent arrives, every answer too late; then the homes die, and wake without a network.
                await street.links.set(LATE, back)
                await street.pass_end(4)
                await until_committed(street, 4)
                await street.links.set(CUT, home + back)
            async with street.collect(tmp_path):
                await street.show(get_end(4) + 40)
                await street.pass_end(5)
                await street.pass_end(6)
                assert all(each.spool.count_open() == 3 for each in street.households.values())
                await street.links.set(CALM, home + back)
                await street.wait_delivered()
                for slot in range(7, SLOTS + 1):
                    await street.pass_end(slot)
                await street.wait_delivered()
                await street.check(SLOTS)
                state = street.households["alder"].collector.state
                assert set(state.dropped) == {"NOISE"}
                await exchange(street)
            await replay(street.community, tmp_path)
            await street.community.wait_agreed()

    asyncio.run(act())


async def exchange(street: Street) -> None:
    """Another meter hangs at a home: nothing of it counts until the utility has booked the exchange."""
    alder, slot = street.households["alder"], SLOTS + 1
    end_s, first = get_end(slot), (12, 5)
    before = street.signers["alder"].account
    await street.community.step_clocks(get_end(slot + 1) + 3)
    street.devices.clock.now_s = end_s + 3
    await street.devices.bridge.send(build_telegram(end_s + 3, *first, equipment="4E4557"))
    await until(lambda: "METER_CHANGED" in alder.collector.state.dropped, "the other meter is noticed")
    last = get_registers("alder", end_s)
    replacement = ReplaceMeter(before, end_s, *last, *first)
    await street.community.deliver([street.community.sign_utility("energy", "replace_meter", replacement)])
    await until(lambda: alder.collector.facts.latest_s == end_s, "the collector has heard of the exchange")
    street.devices.clock.now_s = get_end(slot + 1) + 3
    await street.devices.bridge.send(build_telegram(get_end(slot + 1) + 3, 99, 6, equipment="4E4557"))
    state = alder.collector.state
    await until(
        lambda: state.last_reading is not None and state.last_reading.import_wh == 99, "the new meter counts"
    )
    await street.wait_delivered()
    async with street.community.open_client() as client:
        meter = await client.ask(f"/v1/meters/{before.hex()}", MeterAnswer)
    assert (meter.latest.time_s, meter.latest.import_wh, meter.latest.export_wh) == (get_end(slot + 1), 99, 6)


async def until_committed(street: Street, slot: int) -> None:
    """Wait until the validators have settled a slot, though the homes do not know."""
    end_s = monotonic() + DEADLINE_S
    async with street.community.open_client() as client:
        while True:
            try:
                settled = (await client.get_slot(get_end(slot) - SLOT_S)).settled
            except NotFoundError:
                settled = False
            if settled:
                break
            assert monotonic() < end_s, f"slot {slot} did not settle"
            await asyncio.sleep(POLL_S)
    assert all(each.spool.count_open() == 1 for each in street.households.values())
