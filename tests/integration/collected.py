"""Three homes whose meters speak P1, MQTT and Modbus, each with its collector, on one movable clock."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from meter.client import open_client
from meter.collect.collector import Collector
from meter.collect.delivery import Delivering, Patience, fetch_facts
from meter.collect.observation import Observed
from meter.collect.slots import MS_PER_S
from meter.collect.state import read_state
from meter.proofs import TrustAnchor
from meter.signer import Signer
from meter.sources.devices import parse_tcp
from meter.sources.modbus import read_modbus
from meter.sources.mqtt import Broker, read_mqtt
from meter.sources.mqtt_maps import MessageReader, build_map
from meter.sources.p1_port import read_p1
from meter.spool import Spool, open_spool
from meter.validators import ClientSettings
from primitives.ids import UnixMs
from tests.integration.community import PATIENCE
from tests.meter.collect.samples import build_telegram
from tests.meter.sources.gadgets import (
    HOST,
    ModbusDevice,
    build_meter,
    find_port,
    open_broker,
    open_modbus,
    publish,
)

TOPIC = "tele/birch/SENSOR"
QUICK = ClientSettings(
    request_timeout_s=0.4, rounds=1, pause_first_s=0.05, pause_max_s=0.1, resend_after_s=0.3
)
EAGER = Patience(attempt_s=3.0, pause_first_s=0.05, pause_max_s=0.2, look_s=1.0)
Observe = Callable[[], AsyncGenerator[Observed, None]]


@dataclass
class Clock:
    """The homes' time."""

    now_s: int = 0

    def __call__(self) -> UnixMs:
        return UnixMs(self.now_s * MS_PER_S)


@dataclass
class P1Bridge:
    """A TCP bridge before a P1 port: whoever is connected hears the next telegram."""

    port: int = field(default_factory=find_port)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)

    async def send(self, telegram: bytes) -> None:
        self.writers = [writer for writer in self.writers if not writer.is_closing()]
        for writer in self.writers:
            with suppress(ConnectionError):  # a home that died is no concern of the bridge
                writer.write(telegram)
                await writer.drain()


@dataclass
class Devices:
    """What hangs in the three homes, and what it shows."""

    clock: Clock
    bridge: P1Bridge
    broker_port: int
    modbus: ModbusDevice

    def build_sources(self) -> dict[str, Observe]:
        """Return how each home is read."""
        return {
            "alder": lambda: read_p1(
                parse_tcp(f"tcp://{HOST}:{self.bridge.port}"), lambda: nullcontext(-1), self.clock
            ),
            "birch": lambda: read_mqtt(
                Broker(HOST, self.broker_port), MessageReader(build_map("tasmota", "birch")), self.clock
            ),
            "cedar": lambda: read_modbus(parse_tcp(f"tcp://{HOST}:{self.modbus.port}"), 1, 0.05, self.clock),
        }

    async def show(self, time_s: int, registers: dict[str, tuple[int, int]]) -> None:
        """Let time be, and let all three meters say their registers of then."""
        # The Modbus meter is asked at any moment: it has its registers before it is that time.
        await self.modbus.show(build_meter(*registers["cedar"], 0))
        self.clock.now_s = time_s
        await self.bridge.send(b"\xffnoise" + build_telegram(time_s, *registers["alder"]))
        imported, exported = registers["birch"]
        message = f'{{"ENERGY": {{"Total": {imported / 1000:.3f}, "ExportActive": {exported / 1000:.3f}}}}}'
        await publish(self.broker_port, TOPIC, message, retain=True)


@asynccontextmanager
async def open_devices(clock: Clock) -> AsyncIterator[Devices]:
    """Run a P1 bridge, an MQTT broker and a Modbus server."""
    async with AsyncExitStack() as stack:
        bridge = P1Bridge()
        server = await asyncio.start_server(bridge.take, HOST, bridge.port)
        stack.callback(server.close)
        broker_port = find_port()
        await stack.enter_async_context(open_broker(broker_port))
        modbus = await stack.enter_async_context(open_modbus(40_000, [build_meter(0, 0, 0)]))
        yield Devices(clock, bridge, broker_port, modbus)


@dataclass
class Household:
    """One home's running collector."""

    spool: Spool
    collector: Collector


@asynccontextmanager
async def collecting(
    directory: Path,
    name: str,
    signer: Signer,
    observe: Observe,
    urls: list[str],
    anchor: TrustAnchor,
    slot_s: int,
    clock: Clock,
) -> AsyncIterator[Household]:
    """Run a home's collector and its delivery until the block ends, as abruptly as a process does."""
    path = directory / f"{name}.json"
    async with AsyncExitStack() as stack:
        spool = stack.enter_context(open_spool(path.with_suffix(".db"), anchor.genesis_hash))
        client = await stack.enter_async_context(open_client(urls, anchor, QUICK))
        state = read_state(path, name)
        collector = Collector(spool, signer, state, path, clock=clock)
        if state.facts is None:
            async with open_client(urls, anchor, PATIENCE) as patient:
                facts, nonce = await fetch_facts(patient, signer.account, signer.key.public, slot_s)
            spool.raise_nonce(signer.account, nonce)
            collector.learn(facts)
        delivering = Delivering(collector, client, EAGER)

        async def take() -> None:
            async with aclosing(observe()) as source:
                async for observed in source:
                    collector.take(observed)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(take()), tasks.create_task(delivering.run())]
        yield Household(spool, collector)
        for task in running:
            task.cancel()
