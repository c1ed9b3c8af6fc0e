"""Which observation is a slot's reading, and which reading cannot be true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter.collect.observation import DropReason, Observation
from meter.collect.slots import Registers, check_reading, pick_reading
from meter.reading import Reading
from primitives.ids import UnixMs, UnixSeconds, WattHours

SLOT_S = 900
END_S = 900 * 1_000_000


def observe(time_ms: int) -> Observation:
    return Observation(UnixMs(time_ms), WattHours(5000), WattHours(70))


@pytest.mark.parametrize("late_ms", [0, 1, 999, 60_000])
def test_the_first_registers_at_or_just_after_a_slots_end_are_its_reading(late_ms: int) -> None:
    reading = pick_reading(observe(END_S * 1000 + late_ms), SLOT_S, window_s=60)
    assert reading == Reading(UnixSeconds(END_S), WattHours(5000), WattHours(70))


@pytest.mark.parametrize("late_ms", [-1, -60_000, 60_001, 899_999])
def test_registers_before_a_slots_end_or_long_after_it_are_no_reading(late_ms: int) -> None:
    assert pick_reading(observe(END_S * 1000 + late_ms), SLOT_S, window_s=60) is None


@given(time_ms=st.integers(0, 2**42), window_s=st.integers(0, SLOT_S - 1))
def test_a_reading_always_lies_on_a_boundary_that_has_just_passed(time_ms: int, window_s: int) -> None:
    reading = pick_reading(observe(time_ms), SLOT_S, window_s)
    if reading is not None:
        assert reading.time_s % SLOT_S == 0
        assert 0 <= time_ms - reading.time_s * 1000 <= window_s * 1000


BEFORE = Registers(UnixSeconds(END_S), WattHours(1_000_000), WattHours(400_000))
RATING_W = 4000  # 1000 Wh in a slot


@pytest.mark.parametrize(
    ("slots", "import_wh", "export_wh", "problem"),
    [
        (1, 1_000_000, 400_000, None),
        (1, 1_001_000, 401_000, None),
        (4, 1_004_000, 400_000, None),  # a gap: more time, more energy
        (1, 1_001_001, 400_000, DropReason.ABOVE_LIMIT),
        (1, 1_000_000, 401_001, DropReason.ABOVE_LIMIT),
        (1, 999_999, 400_000, DropReason.REGISTER_DECREASED),
        (1, 1_000_000, 399_999, DropReason.REGISTER_DECREASED),
        (1, 1_000, 0, DropReason.REGISTER_RESET),
        (1, 1_001, 0, DropReason.REGISTER_DECREASED),
        (8, 8_000, 8_000, DropReason.REGISTER_RESET),
    ],
)
def test_what_cannot_be_true_has_a_name(
    slots: int, import_wh: int, export_wh: int, problem: DropReason | None
) -> None:
    reading = Reading(UnixSeconds(END_S + slots * SLOT_S), WattHours(import_wh), WattHours(export_wh))
    assert check_reading(reading, BEFORE, RATING_W) is problem
