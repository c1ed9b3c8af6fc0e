"""Real devices of other makers, as far as they are software: an MQTT broker and a Modbus server with a SunSpec map."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).parents[3]
UNIT = 1
REGISTERS = 60_000
COMMON, INVERTER, METER = 1, 103, 203
METER_LENGTH = 105


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def open_broker(port: int, *files: Path) -> AsyncIterator[None]:
    """Run a broker until the block ends, which kills it; with a certificate and its key it speaks TLS."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.meter.sources.broker_process", str(port), *map(str, files)),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def publish(
    port: int, topic: str, payload: bytes | str, *, retain: bool = False, tls: ssl.SSLContext | None = None
) -> None:
    async with aiomqtt.Client(HOST, port, timeout=30, tls_context=tls) as client:
        await client.publish(topic, payload, qos=1, retain=retain)


def build_model(model: int, length: int) -> list[int]:
    return [model, length, *([0] * length)]


def build_meter(import_raw: int, export_raw: int, scale: int, model: int = METER) -> list[int]:
    """A meter model with its totals at the places that the specification gives them."""
    registers = build_model(model, METER_LENGTH)
    registers[38:40] = [export_raw >> 16, export_raw & 0xFFFF]
    registers[46:48] = [import_raw >> 16, import_raw & 0xFFFF]
    registers[54] = scale & 0xFFFF
    return registers


class ModbusDevice:
    """A Modbus server with a map of models at a base address; the last model is the one to look at."""

    def __init__(self, port: int, base: int, models: Sequence[list[int]]) -> None:
        self.port = port
        self._content = [0] * REGISTERS
        flat = [0x5375, 0x6E53, *(register for model in models for register in model), 0xFFFF, 0]
        self._content[base : base + len(flat)] = flat
        self._place = base + len(flat) - 2 - len(models[-1])
        self._server: ModbusTcpServer | None = None

    async def show(self, meter: list[int]) -> None:
        """Give the last model other values, as another Modbus client, or before the next start."""
        self._content[self._place : self._place + len(meter)] = meter
        if self._server is not None:
            client = AsyncModbusTcpClient(HOST, port=self.port)
            assert await client.connect()
            answer = await client.write_registers(self._place, meter, device_id=UNIT)
            assert not answer.isError()
            client.close()

    async def start(self) -> None:
        block = SimData(0, values=self._content, datatype=DataType.REGISTERS)
        self._server = ModbusTcpServer(SimDevice(UNIT, [block]), address=(HOST, self.port))
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None


@asynccontextmanager
async def open_modbus(base: int, models: Sequence[list[int]]) -> AsyncIterator[ModbusDevice]:
    device = ModbusDevice(find_port(), base, models)
    await device.start()
    try:
        yield device
    finally:
        await device.stop()
