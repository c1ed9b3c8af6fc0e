"""What must hold in every state: energy and money are neither made nor lost, whatever was called in whatever order."""

from collections.abc import Iterator

from primitives.encoding import decode
from tests.vm.ledger import MemoryState
from vm.contracts.energy import queries
from vm.contracts.energy.records import (
    HISTORY_PREFIX,
    LINE_PREFIX,
    READING_PREFIX,
    SLOT_PREFIX,
    Flag,
    Line,
    Reading,
    Replacement,
    Slot,
    get_replacement_key,
)
from vm.contracts.ledger import BALANCE_PREFIX, GRID, Asset, Balance
from vm.state import read_record

ACCOUNT_BYTES = 16


def audit(state: MemoryState, slot_s: int) -> None:
    """Check every rule of the energy contract's records and of the settlement balances."""
    lines = dict(iterate_lines(state))
    for account_and_slot, line in lines.items():
        check_line(line, account_and_slot)
    check_slots(state, lines, slot_s)
    check_meters(state, lines, slot_s)
    check_balances(state, lines)
    check_history(state)


def iterate_lines(state: MemoryState) -> Iterator[tuple[tuple[bytes, int], Line]]:
    for key, value in state.iterate(LINE_PREFIX):
        slot_s, account = split_key(key)
        yield (account, slot_s), decode(value, Line)


def split_key(key: bytes) -> tuple[int, bytes]:
    """Return the instant and the meter that a key names."""
    return int.from_bytes(key[2:10], "big"), key[10 : 10 + ACCOUNT_BYTES]


def check_line(line: Line, name: object) -> None:
    """The identities of the docstring of Line, and: who was never adjusted is not worse off than alone."""
    pool = line.pool_bought_wh - line.pool_sold_wh
    grid = line.grid_bought_wh - line.grid_sold_wh
    assert line.import_wh - line.export_wh == pool + grid, name
    assert line.net_nano == (
        pool * line.pool_price
        + line.grid_bought_wh * line.retail_price
        - line.grid_sold_wh * line.feed_in_price
    ), name
    assert line.alone_nano == line.import_wh * line.retail_price - line.export_wh * line.feed_in_price, name
    assert line.feed_in_price <= line.pool_price <= line.retail_price, name
    assert min(line.import_wh, line.export_wh, line.pool_bought_wh, line.pool_sold_wh) >= 0, name
    assert min(line.grid_bought_wh, line.grid_sold_wh) >= 0, name
    if not line.flags & (Flag.CORRECTED | Flag.SPLIT):
        assert line.net_nano <= line.alone_nano, name


def check_slots(state: MemoryState, lines: dict[tuple[bytes, int], Line], slot_s: int) -> None:
    progress = queries.get_progress(state)
    meters = list(queries.iterate_meters(state))
    for key, value in state.iterate(SLOT_PREFIX):
        start_s = int.from_bytes(key[2:], "big")
        slot = decode(value, Slot)
        mine = [line for (_, at_s), line in lines.items() if at_s == start_s]
        members = [view for view in meters if view.meter.opening_s <= start_s]
        came = [view for view in members if queries.get_reading(state, view.account, start_s + slot_s)]
        assert slot.received == len(came)
        if not slot.settled:
            assert not mine
            assert slot.received < slot.expected
            assert progress is not None
            assert progress.next_slot_s <= start_s
            continue
        assert len(mine) == len(members) == slot.received + slot.missing
        assert (
            slot.pool_wh
            == sum(line.pool_bought_wh for line in mine)
            == sum(line.pool_sold_wh for line in mine)
        )
        assert slot.demand_wh == sum(line.import_wh for line in mine)
        assert slot.supply_wh == sum(line.export_wh for line in mine)
        assert slot.grid_bought_wh == sum(line.grid_bought_wh for line in mine)
        assert slot.grid_sold_wh == sum(line.grid_sold_wh for line in mine)
        assert slot.demand_wh - slot.supply_wh == slot.grid_bought_wh - slot.grid_sold_wh
        assert slot.grid_net_nano == sum(line.net_nano for line in mine)
        assert slot.grid_net_nano == (
            slot.grid_bought_wh * slot.retail_price - slot.grid_sold_wh * slot.feed_in_price
        )
        assert {line.pool_price for line in mine} == {slot.pool_price}
        assert slot.missing == sum(1 for line in mine if line.flags & Flag.MISSING)
        if slot.adjusted == 0:
            assert slot.pool_wh == min(slot.supply_wh, slot.demand_wh)
    if progress is not None:
        for start_s in range(min(view.meter.opening_s for view in meters), progress.next_slot_s, slot_s):
            slot_before = queries.get_slot(state, start_s)
            assert slot_before is not None
            assert slot_before.settled


def check_meters(state: MemoryState, lines: dict[tuple[bytes, int], Line], slot_s: int) -> None:
    """The readings of a meter are one chain from its opening; what they sum to is on its lines, flags included."""
    for view in queries.iterate_meters(state):
        readings = [
            decode(value, Reading)
            for key, value in state.iterate(READING_PREFIX)
            if split_key(key)[1] == view.account
        ]
        before_s = view.meter.opening_s
        registers = (view.meter.opening_import_wh, view.meter.opening_export_wh)
        pagination = 0
        for reading in readings:
            assert reading.previous_s == before_s
            assert reading.delta_import_wh == reading.import_wh - registers[0] >= 0
            assert reading.delta_export_wh == reading.export_wh - registers[1] >= 0
            assert bool(reading.flags & Flag.GAP) == (reading.time_s - before_s > slot_s)
            assert bool(reading.flags & Flag.PAGINATION_GAP) == (reading.pagination != pagination + 1)
            assert bool(reading.flags & Flag.STATUS_NOT_GOOD) == (reading.status != "G")
            seconds = reading.time_s - before_s
            increase = max(reading.delta_import_wh, reading.delta_export_wh)
            assert increase * 3600 <= view.meter.rating_w * seconds
            replacement = read_record(state, get_replacement_key(view.account, reading.time_s), Replacement)
            before_s, registers, pagination = (
                reading.time_s,
                (reading.import_wh, reading.export_wh)
                if replacement is None
                else (replacement.opening_import_wh, replacement.opening_export_wh),
                reading.pagination,
            )
        latest = view.latest
        assert (latest.time_s, (latest.import_wh, latest.export_wh), latest.pagination) == (
            before_s,
            registers,
            pagination,
        )
        check_lines_of_meter(view.account, readings, lines, slot_s)


def check_lines_of_meter(
    account: bytes, readings: list[Reading], lines: dict[tuple[bytes, int], Line], slot_s: int
) -> None:
    by_slot = {reading.time_s - slot_s: reading for reading in readings}
    for (owner, start_s), line in lines.items():
        if owner != account:
            continue
        reading = by_slot.get(start_s)
        if reading is None:
            assert (line.import_wh, line.export_wh, line.net_nano) == (0, 0, 0)
            assert line.flags == Flag.MISSING
        else:
            assert (line.import_wh, line.export_wh) == (reading.delta_import_wh, reading.delta_export_wh)
            assert line.flags == reading.flags


def check_balances(state: MemoryState, lines: dict[tuple[bytes, int], Line]) -> None:
    """Without transfers, each owner's settlement balance is the sum of its lines, and the grid has the rest."""
    owed: dict[bytes, int] = {}
    owners = {view.account: view.meter.owner for view in queries.iterate_meters(state)}
    for (account, _), line in lines.items():
        owed[owners[account]] = owed.get(owners[account], 0) + line.net_nano
    prefix = BALANCE_PREFIX + bytes([Asset.SETTLEMENT])
    balances = {key[3:]: decode(value, Balance).amount for key, value in state.iterate(prefix)}
    assert sum(balances.values()) == 0
    grid = balances.pop(GRID, 0)
    assert grid == sum(owed.values())
    assert balances == {account: -nano for account, nano in owed.items() if nano or account in balances}


def check_history(state: MemoryState) -> None:
    """Every version before the valid one is kept, in order, and is a flagged reading's past."""
    versions: dict[bytes, list[int]] = {}
    for key, value in state.iterate(HISTORY_PREFIX):
        old = decode(value, Reading)
        assert int.from_bytes(key[-2:], "big") == old.version
        versions.setdefault(key[2:-2], []).append(old.version)
    for key, value in state.iterate(READING_PREFIX):
        reading = decode(value, Reading)
        assert versions.pop(key[2:], []) == list(range(1, reading.version))
        if reading.version > 1:
            assert reading.flags & Flag.CORRECTED
    assert not versions
