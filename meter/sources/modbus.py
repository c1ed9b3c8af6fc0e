"""A SunSpec meter behind Modbus over TCP, asked at fixed times."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException, ModbusIOException

from meter.collect.collector import read_clock
from meter.collect.observation import DropError, Dropped, DropReason, LinkState, Observation, Observed
from meter.sources.devices import PAUSE_FIRST_S, PAUSE_MAX_S, Device
from meter.sources.sunspec import find_meter, read_registers
from primitives.ids import UnixMs
from primitives.text import to_line

ANSWER_S = 3.0
PORT_DEFAULT = 502


async def read_modbus(
    device: Device, unit: int, every_s: float, clock: Callable[[], UnixMs] = read_clock
) -> AsyncGenerator[Observed, None]:
    """Yield the registers of the device's meter model, every ``every_s`` seconds; connect again when it breaks."""
    pause_s = PAUSE_FIRST_S
    while True:
        client = AsyncModbusTcpClient(
            device.host, port=device.port, timeout=ANSWER_S, retries=1, reconnect_delay=0
        )
        problem = "cannot connect"
        try:
            if await client.connect():
                yield LinkState()
                meter = _Meter(client, unit)
                while True:
                    yield await meter.ask(clock)
                    pause_s = PAUSE_FIRST_S
                    await asyncio.sleep(every_s)
        except (ModbusException, OSError) as error:
            problem = to_line(str(error))
        finally:
            client.close()
        yield LinkState(problem)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


class _Meter:
    """One connection's device, and where its meter model was found."""

    def __init__(self, client: AsyncModbusTcpClient, unit: int) -> None:
        self._client = client
        self._unit = unit
        self._address: int | None = None

    async def ask(self, clock: Callable[[], UnixMs]) -> Observed:
        if self._address is None:
            self._address = await find_meter(self._read)
        if self._address is None:
            return Dropped(DropReason.MODEL_MISSING)
        try:
            imported, exported = await read_registers(self._read, self._address)
        except DropError as error:
            self._address = None  # another firmware may have another map
            return Dropped(error.reason)
        return Observation(clock(), imported, exported)

    async def _read(self, address: int, count: int) -> list[int] | None:
        """Return registers; a device may say that it has none there by an exception, or by silence."""
        try:
            answer = await self._client.read_holding_registers(address, count=count, device_id=self._unit)
        except ModbusIOException:
            if not self._client.connected:
                raise
            return None
        return None if answer.isError() else list(answer.registers)
