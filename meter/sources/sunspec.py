"""Meters that speak SunSpec over Modbus: where the models begin, which of them is a meter, what its registers say.

Source: SunSpec Device Information Model Specification 1.1, chapter 6 (the map and its end), and the models 201 to 204
(AC meters with whole numbers and scale factors), which share one layout.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from meter.collect.observation import DropError, DropReason, round_register
from primitives.ids import WattHours

BASES = (40_000, 50_000, 0)
"""Where a device may begin its map, in the order in which the specification says to look."""
MARKER = [0x5375, 0x6E53]
"""'SunS'."""
END_MODEL = 0xFFFF
METER_MODELS = frozenset({201, 202, 203, 204})
MODELS_MAX = 64
"""Devices have a dozen; a map that goes on is no map."""
ADDRESS_MAX = 0xFFFF
HEAD_REGISTERS = 2
EXPORTED, IMPORTED, SCALE = 38, 46, 54
"""TotWhExp, TotWhImp (two registers each) and TotWh_SF, counted from the model's id."""
BLOCK = range(EXPORTED, SCALE + 1)
"""Read at once, so that all of it is of one instant."""
SCALE_MAX = 10
SIGN_BIT = 0x8000

Read = Callable[[int, int], Awaitable[list[int] | None]]
"""Return so many holding registers from an address, None where the device has none there."""


async def find_meter(read: Read) -> int | None:
    """Return the address of the first meter model, None where there is none."""
    for base in BASES:
        if await read(base, len(MARKER)) == MARKER:
            found = await _walk(read, base + len(MARKER))
            if found is not None:
                return found
    return None


async def _walk(read: Read, address: int) -> int | None:
    for _ in range(MODELS_MAX):
        if address + HEAD_REGISTERS + BLOCK.stop > ADDRESS_MAX:
            return None
        head = await read(address, HEAD_REGISTERS)
        if head is None or len(head) != HEAD_REGISTERS or head[0] == END_MODEL:
            return None
        model, length = head
        if model in METER_MODELS and length + HEAD_REGISTERS >= BLOCK.stop:
            return address
        address += HEAD_REGISTERS + length
    return None


async def read_registers(read: Read, address: int) -> tuple[WattHours, WattHours]:
    """Return (import, export) of the meter model at an address.

    Raises:
        DropError: ANSWER_MISSING; NUMBER_INVALID, no scale is told, or the number is beyond every register.

    """
    block = await read(address + BLOCK.start, len(BLOCK))
    if block is None or len(block) != len(BLOCK):
        raise DropError(DropReason.ANSWER_MISSING)
    scale = _get_scale(block[SCALE - BLOCK.start])
    exported, imported = (_get_total(block, place - BLOCK.start) for place in (EXPORTED, IMPORTED))
    return round_register(imported.scaleb(scale)), round_register(exported.scaleb(scale))


def _get_total(block: list[int], place: int) -> Decimal:
    return Decimal((block[place] << 16) | block[place + 1])


def _get_scale(raw: int) -> int:
    scale = raw - 0x10000 if raw & SIGN_BIT else raw
    if abs(scale) > SCALE_MAX:
        raise DropError(DropReason.NUMBER_INVALID)
    return scale
