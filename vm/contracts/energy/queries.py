"""What can be asked about meters, slots and bills: pure reads over a store or a snapshot pinned at a height."""

from collections.abc import Iterator

from primitives.encoding import Struct, decode_trusted
from vm.contracts.energy.records import (
    LINE_PREFIX,
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

BILL_STRETCHES_MAX = 31 * 86400 // 65536 + 2
"""A longer bill is one walk over the home's lines, which BILL_SLOTS_MAX ends."""


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


def iterate_bill_lines(
    state: StateReader, account: bytes, first_slot_s: int, last_slot_s: int
) -> Iterator[BillLine]:
    """Yield a home's lines from one slot to another, both included, at most BILL_SLOTS_MAX.

    However long the history is, a bill of up to a month reads no more than a day around it.
    """
    start = len(LINE_PREFIX) + len(account)
    count = 0
    for prefix in _build_line_prefixes(account, first_slot_s, last_slot_s):
        for key, value in state.iterate(prefix):
            slot_s = int.from_bytes(key[start:], "big")
            if slot_s > last_slot_s or count >= BILL_SLOTS_MAX:
                return
            if slot_s >= first_slot_s:
                count += 1
                yield BillLine(slot_s, key, decode_trusted(value, Line))


def compute_totals(lines: list[BillLine]) -> BillTotals:
    """Return the sums of a bill."""
    return BillTotals(
        *(sum(getattr(entry.line, field) for entry in lines) for field in BillTotals.__struct_fields__)
    )


def _build_line_prefixes(account: bytes, first_slot_s: int, last_slot_s: int) -> list[bytes]:
    """Return key prefixes, in order, that cover a home's lines between two slots.

    The first six of a slot's eight bytes name a stretch of 65,536 seconds, about 18 hours.
    """
    prefix = LINE_PREFIX + account
    first, last = max(first_slot_s, 0) >> 16, min(last_slot_s, 2**64 - 1) >> 16
    if last - first > BILL_STRETCHES_MAX:
        return [prefix]
    return [prefix + stretch.to_bytes(6, "big") for stretch in range(first, last + 1)]
