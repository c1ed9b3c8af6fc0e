"""A SunSpec meter's registers are found wherever its map begins, and read exactly; against a real Modbus server."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter.collect.observation import DropError, Dropped, DropReason, LinkState, Observation, Observed
from meter.sources.devices import parse_tcp
from meter.sources.modbus import read_modbus
from meter.sources.sunspec import MODELS_MAX, find_meter, read_registers
from primitives.ids import UnixMs
from tests.meter.sources.gadgets import (
    COMMON,
    INVERTER,
    ModbusDevice,
    build_meter,
    build_model,
    open_modbus,
)

LONG_S = 30.0
ODD = [build_model(COMMON, 66), build_model(INVERTER, 50)]


def read_now() -> UnixMs:
    return UnixMs(1_000)


async def read_first(device: ModbusDevice, unit: int = 1) -> list[Observed]:
    """What the source says until it says something of the meter."""
    source = read_modbus(parse_tcp(f"tcp://127.0.0.1:{device.port}"), unit, 0.01, read_now)
    found: list[Observed] = []
    async with asyncio.timeout(LONG_S), aclosing(source):
        async for observed in source:
            found.append(observed)
            if not isinstance(observed, LinkState):
                break
    return found


@pytest.mark.parametrize("base", [40_000, 50_000, 0])
def test_the_meter_is_found_behind_other_models_wherever_the_map_begins(base: int) -> None:
    async def act() -> list[Observed]:
        async with open_modbus(base, [*ODD, build_meter(52_185_782, 19_949_322, 0)]) as device:
            return await read_first(device)

    state, observation = asyncio.run(act())
    assert state == LinkState()
    assert isinstance(observation, Observation)
    assert (observation.import_wh, observation.export_wh) == (52_185_782, 19_949_322)


def test_a_device_that_restarts_is_asked_again_and_a_changed_register_is_seen() -> None:
    async def act() -> None:
        async with open_modbus(40_000, [*ODD, build_meter(1000, 5, 0)]) as device:
            source = read_modbus(parse_tcp(f"tcp://127.0.0.1:{device.port}"), 1, 0.01, read_now)
            async with asyncio.timeout(LONG_S), aclosing(source):
                assert await anext(source) == LinkState()
                assert await anext(source) == Observation(UnixMs(1000), 1000, 5)  # type: ignore[arg-type]
                await device.stop()
                while (observed := await anext(source)) != LinkState("cannot connect"):
                    assert observed != LinkState()
                await device.show(build_meter(1001, 6, 0))
                await device.start()
                async for observed in source:
                    if isinstance(observed, Observation):
                        assert (observed.import_wh, observed.export_wh) == (1001, 6)
                        break

    asyncio.run(act())


def test_a_device_without_a_meter_model_is_told_by_name() -> None:
    async def act() -> list[Observed]:
        async with open_modbus(40_000, ODD) as device:
            return await read_first(device)

    assert asyncio.run(act())[-1] == Dropped(DropReason.MODEL_MISSING)


class Map:
    """Registers in memory that count how often they are asked."""

    def __init__(self, registers: dict[int, int]) -> None:
        self.registers = registers
        self.asked = 0

    async def read(self, address: int, count: int) -> list[int] | None:
        self.asked += 1
        found = [self.registers.get(place) for place in range(address, address + count)]
        return [each for each in found if each is not None] if None not in found else None


def build_map(base: int, *models: list[int]) -> Map:
    flat = [0x5375, 0x6E53, *(register for model in models for register in model), 0xFFFF, 0]
    return Map({base + place: value for place, value in enumerate(flat)})


@pytest.mark.parametrize("model", [201, 202, 203, 204])
def test_every_meter_model_with_whole_numbers_is_read(model: int) -> None:
    device = build_map(0, build_meter(7, 3, 2, model))
    address = asyncio.run(find_meter(device.read))
    assert address == 2
    assert asyncio.run(read_registers(device.read, address)) == (700, 300)


@given(raw=st.integers(0, 2**32 - 1), scale=st.integers(-10, 4))
def test_scale_factors_are_exact_and_what_is_not_whole_is_cut_off(raw: int, scale: int) -> None:
    device = build_map(0, build_meter(raw, 0, scale))
    expected = raw * 10**scale if scale >= 0 else raw // 10**-scale
    assert asyncio.run(read_registers(device.read, 2)) == (expected, 0)


@pytest.mark.parametrize("scale", [-0x8000, 11, -11, 10])
def test_a_scale_that_is_none_or_leads_beyond_every_register_is_refused(scale: int) -> None:
    device = build_map(0, build_meter(2**32 - 1, 0, scale))
    with pytest.raises(DropError) as raised:
        asyncio.run(read_registers(device.read, 2))
    assert raised.value.reason is DropReason.NUMBER_INVALID


def test_a_map_without_end_is_walked_a_bounded_way() -> None:
    endless = Map(dict.fromkeys(range(70000), 0) | {0: 0x5375, 1: 0x6E53})
    assert asyncio.run(find_meter(endless.read)) is None
    assert endless.asked <= MODELS_MAX + 3


def test_a_meter_model_that_is_too_short_is_passed_over() -> None:
    device = build_map(0, build_model(203, 10), build_meter(5, 4, 0))
    assert asyncio.run(find_meter(device.read)) == 2 + 12


def test_a_device_that_stops_answering_in_the_middle_is_told_by_name() -> None:
    device = build_map(0, build_meter(5, 4, 0))
    del device.registers[2 + 50]
    with pytest.raises(DropError) as raised:
        asyncio.run(read_registers(device.read, 2))
    assert raised.value.reason is DropReason.ANSWER_MISSING
