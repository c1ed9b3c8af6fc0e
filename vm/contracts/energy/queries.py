"""What can be asked about meters, slots and bills: pure reads over a store or a snapshot pinned at a height."""

from collections.abc import Iterator

from primitives.encoding import Struct, decode_trusted
from vm.contracts.energy.records import (
    METER_PREFIX,
    PROGRESS_KEY,
    LatestReading,
    Line,
    Meter,
    Progress,
    Reading,
    Slot,
    Tariff,
    get_latest_key,
    get_line_key,
    get_meter_key,
    get_reading_key,
    get_slot_key,
    get_tariff_key,
)
from vm.state import StateReader, read_record

BILL_SLOTS_MAX = 31 * 100
"""A bill covers at most a month of quarter hours in one answer."""


class MeterView(Struct, frozen=True):
    """A meter with its account and newest registers."""

    account: bytes
    meter: Meter
    latest: LatestReading


class BillLine(Struct, frozen=True):
    """A home's line of one slot, with the key under which a proof shows it."""

    slot_s: int
    key: bytes
    line: Line


class BillTotals(Struct, frozen=True):
    """Sums over a bill's lines: energy in Wh, money in nano-currency."""

    import_wh: int
    export_wh: int
    pool_bought_wh: int
    pool_sold_wh: int
    grid_bought_wh: int
    grid_sold_wh: int
    net_nano: int
    alone_nano: int


def get_meter(state: StateReader, account: bytes) -> MeterView | None:
    """Return one meter."""
    meter = read_record(state, get_meter_key(account), Meter)
    latest = read_record(state, get_latest_key(account), LatestReading)
    return None if meter is None or latest is None else MeterView(account, meter, latest)


def iterate_meters(state: StateReader) -> Iterator[MeterView]:
    """Yield every meter in the order of its account id."""
    for key, value in state.iterate(METER_PREFIX):
        account = key[len(METER_PREFIX) :]
        latest = read_record(state, get_latest_key(account), LatestReading)
        if latest is not None:
            yield MeterView(account, decode_trusted(value, Meter), latest)


def get_slot(state: StateReader, slot_s: int) -> Slot | None:
    """Return a slot, or None while nothing has happened in it."""
    return read_record(state, get_slot_key(slot_s), Slot)


def get_tariff(state: StateReader, slot_s: int) -> Tariff | None:
    """Return the prices published for a slot, or None when the genesis' hold."""
    return read_record(state, get_tariff_key(slot_s), Tariff)


def get_progress(state: StateReader) -> Progress | None:
    """Return how far settlement is."""
    return read_record(state, PROGRESS_KEY, Progress)


def get_reading(state: StateReader, account: bytes, time_s: int) -> Reading | None:
    """Return the valid reading of a meter at an instant."""
    return read_record(state, get_reading_key(account, time_s), Reading)


def get_bill_line(state: StateReader, account: bytes, slot_s: int) -> BillLine | None:
    """Return a home's line of a settled slot."""
    key = get_line_key(account, slot_s)
    line = read_record(state, key, Line)
    return None if line is None else BillLine(slot_s, key, line)


def compute_totals(lines: list[BillLine]) -> BillTotals:
    """Return the sums of a bill."""
    return BillTotals(
        *(sum(getattr(entry.line, field) for entry in lines) for field in BillTotals.__struct_fields__)
    )
