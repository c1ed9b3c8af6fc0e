"""Settling a slot by lines: every home against the pool and the grid, to the last unit (energy.md, "Prices").

What a round agreed beforehand comes first, at its own price; the pool takes what is metered beyond it. A buyer pays
the pool price for its pool part and retail for the rest; a seller receives the pool price for its pool part and
feed-in for the rest. No division happens, so nothing is rounded and money sums to zero.
"""

from primitives.ids import AccountId
from vm.contract import BlockContext, CallContext
from vm.contracts import ledger
from vm.contracts.energy.coordination.positions import NOTHING, Position, find_agreed_slot, get_position
from vm.contracts.energy.market import clear_pool, share_energy
from vm.contracts.energy.records import (
    METER_PREFIX,
    PROGRESS_KEY,
    Flag,
    Line,
    Meter,
    Progress,
    Reading,
    Slot,
    Tariff,
    get_line_key,
    get_reading_key,
    get_slot_key,
    get_tariff_key,
)
from vm.contracts.permissions import get_account
from vm.state import Overlay

Context = CallContext | BlockContext


def get_prices(context: Context, slot_s: int) -> Tariff:
    """Return the prices of a slot: the published ones, else the genesis'."""
    energy = context.ledger.genesis.energy
    published = context.state.read(get_tariff_key(slot_s), Tariff)
    return published or Tariff(energy.retail_price, energy.feed_in_price)


def get_slot(context: Context, slot_s: int) -> Slot:
    """Return a slot, opened with the meters expected in it when nobody has touched it yet."""
    slot = context.state.read(get_slot_key(slot_s), Slot)
    return slot or _open_slot(context.state, slot_s)


def is_settled(context: Context, slot_s: int) -> bool:
    """Tell whether a slot has settled."""
    slot = context.state.read(get_slot_key(slot_s), Slot)
    return slot is not None and slot.settled


def count_silent_meters(context: Context, slot_s: int) -> int:
    """Return how many meters that may send, now, have no reading of a slot yet."""
    end_s = slot_s + context.ledger.genesis.energy.slot_s
    return sum(
        1
        for account, _ in iterate_meters(context.state, slot_s)
        if context.state.read(get_reading_key(account, end_s), Reading) is None
        and not _is_suspended(context.state, account)
    )


def iterate_meters(state: Overlay, slot_s: int) -> list[tuple[bytes, Meter]]:
    """Return (account, meter) of the meters opened at or before a slot, sorted by the home's name."""
    meters = [
        (key[len(METER_PREFIX) :], meter)
        for key, meter in state.iterate(METER_PREFIX, Meter)
        if meter.opening_s <= slot_s
    ]
    return sorted(meters, key=lambda entry: entry[1].home)


def settle_slot(context: Context, slot_s: int) -> int:
    """Clear the pool of a slot and book every home's line; return how many lines were written."""
    state = context.state
    slot = get_slot(context, slot_s)
    prices = get_prices(context, slot_s)
    meters = iterate_meters(state, slot_s)
    end_s = slot_s + context.ledger.genesis.energy.slot_s
    readings = {meter.home: state.read(get_reading_key(account, end_s), Reading) for account, meter in meters}
    imports = {home: 0 if r is None else r.delta_import_wh for home, r in readings.items()}
    exports = {home: 0 if r is None else r.delta_export_wh for home, r in readings.items()}
    agreed = find_agreed_slot(state, slot_s, context.ledger.genesis.energy.slot_s)
    positions = {meter.home: get_position(state, agreed, account) for account, meter in meters}
    wanted = {home: max(energy - positions[home].bought_wh, 0) for home, energy in imports.items()}
    offered = {home: max(energy - positions[home].sold_wh, 0) for home, energy in exports.items()}
    clearing = clear_pool(
        sum(offered.values()), sum(wanted.values()), prices.feed_in_price, prices.retail_price
    )
    bought = share_energy(clearing.pool_wh, wanted)
    sold = share_energy(clearing.pool_wh, offered)
    totals = _Totals()
    for account, meter in meters:
        reading = readings[meter.home]
        flags = int(Flag.MISSING) if reading is None else reading.flags
        line = build_line(
            imports[meter.home],
            exports[meter.home],
            (bought[meter.home], sold[meter.home]),
            prices,
            clearing.pool_price,
            flags,
            positions[meter.home],
        )
        state.write(get_line_key(account, slot_s), line)
        ledger.settle(state, AccountId(meter.owner), ledger.GRID, line.net_nano)
        totals.add(line)
    state.write(
        get_slot_key(slot_s),
        Slot(
            settled=True,
            expected=slot.expected,
            received=slot.received,
            missing=sum(1 for reading in readings.values() if reading is None),
            supply_wh=sum(exports.values()),
            demand_wh=sum(imports.values()),
            pool_wh=clearing.pool_wh,
            pool_price=clearing.pool_price,
            buyers_price=clearing.buyers_price,
            retail_price=prices.retail_price,
            feed_in_price=prices.feed_in_price,
            grid_bought_wh=totals.grid_bought_wh,
            grid_sold_wh=totals.grid_sold_wh,
            grid_net_nano=totals.net_nano,
            adjusted=0,
            settled_height=context.height,
        ),
    )
    return len(meters)


def adjust_line(
    context: Context, account: bytes, slot_s: int, changes_wh: tuple[int, int], flags: int
) -> None:
    """Move a settled line to another metered energy by changes of (import, export), at grid price; ``flags`` are those
    of the line's reading as it stands now.

    The pool's parts stay, so its other members are never touched: more import is bought at retail, more export sold
    at feed-in; import that did not happen is cancelled at retail, and what the pool had covered of it is sold to the
    grid at feed-in; export that did not happen is bought at retail where the pool had it. The result depends on the
    metered energy alone, not on the way to it, so nobody gains by metering wrongly first.
    """
    state = context.state
    line = state.read(get_line_key(account, slot_s), Line)
    slot = state.read(get_slot_key(slot_s), Slot)
    meter = state.read(METER_PREFIX + account, Meter)
    if line is None or slot is None or meter is None:
        message = "a settled slot has no line of a registered meter"
        raise AssertionError(message)
    import_wh, export_wh = changes_wh
    changed = build_line(
        line.import_wh + import_wh,
        line.export_wh + export_wh,
        (line.pool_bought_wh, line.pool_sold_wh),
        Tariff(line.retail_price, line.feed_in_price),
        line.pool_price,
        flags,
        Position(line.agreed_bought_wh, line.agreed_sold_wh, line.agreed_nano, line.penalty_price),
    )
    came = 1 if line.flags & Flag.MISSING else 0
    state.write(get_line_key(account, slot_s), changed)
    difference = changed.net_nano - line.net_nano
    ledger.settle(state, AccountId(meter.owner), ledger.GRID, difference)
    state.write(
        get_slot_key(slot_s),
        Slot(
            settled=True,
            expected=slot.expected,
            received=slot.received + came,
            missing=slot.missing - came,
            supply_wh=slot.supply_wh + export_wh,
            demand_wh=slot.demand_wh + import_wh,
            pool_wh=slot.pool_wh,
            pool_price=slot.pool_price,
            buyers_price=slot.buyers_price,
            retail_price=slot.retail_price,
            feed_in_price=slot.feed_in_price,
            grid_bought_wh=slot.grid_bought_wh + changed.grid_bought_wh - line.grid_bought_wh,
            grid_sold_wh=slot.grid_sold_wh + changed.grid_sold_wh - line.grid_sold_wh,
            grid_net_nano=slot.grid_net_nano + difference,
            adjusted=slot.adjusted + 1,
            settled_height=slot.settled_height,
        ),
    )


def build_line(
    import_wh: int,
    export_wh: int,
    pool: tuple[int, int],
    prices: Tariff,
    pool_price: int,
    flags: int,
    agreed: Position = NOTHING,
) -> Line:
    """Return the line of a metered energy with its (bought, sold) parts in the pool; grid and money follow from them.

    The grid takes what neither a round nor the pool covers, and stands in for what was promised to them and did not
    happen; for what was agreed and not delivered the penalty comes on top.
    """
    bought, sold = agreed.bought_wh + pool[0], agreed.sold_wh + pool[1]
    grid_bought = max(import_wh - bought, 0) + max(sold - export_wh, 0)
    grid_sold = max(export_wh - sold, 0) + max(bought - import_wh, 0)
    net = (
        agreed.paid_nano
        + max(agreed.sold_wh - export_wh, 0) * agreed.penalty_price
        + (pool[0] - pool[1]) * pool_price
        + grid_bought * prices.retail_price
        - grid_sold * prices.feed_in_price
    )
    return Line(
        import_wh=import_wh,
        export_wh=export_wh,
        pool_bought_wh=pool[0],
        pool_sold_wh=pool[1],
        grid_bought_wh=grid_bought,
        grid_sold_wh=grid_sold,
        retail_price=prices.retail_price,
        feed_in_price=prices.feed_in_price,
        pool_price=pool_price,
        net_nano=net,
        alone_nano=import_wh * prices.retail_price - export_wh * prices.feed_in_price,
        flags=flags,
        agreed_bought_wh=agreed.bought_wh,
        agreed_sold_wh=agreed.sold_wh,
        agreed_nano=agreed.paid_nano,
        penalty_price=agreed.penalty_price,
    )


def get_progress(state: Overlay) -> Progress | None:
    """Return how far settlement is; None before the first meter."""
    return state.read(PROGRESS_KEY, Progress)


def advance_progress(context: Context) -> None:
    """Move to the first slot that is not settled."""
    state = context.state
    progress = get_progress(state)
    if progress is None:
        return
    slot_s = progress.next_slot_s
    while True:
        slot = state.read(get_slot_key(slot_s), Slot)
        if slot is None or not slot.settled:
            break
        slot_s += context.ledger.genesis.energy.slot_s
    if slot_s != progress.next_slot_s:
        state.write(PROGRESS_KEY, Progress(progress.meters, slot_s))


def build_open_slot(expected: int, received: int) -> Slot:
    """Return a slot that waits for readings."""
    return Slot(
        settled=False,
        expected=expected,
        received=received,
        missing=0,
        supply_wh=0,
        demand_wh=0,
        pool_wh=0,
        pool_price=0,
        buyers_price=0,
        retail_price=0,
        feed_in_price=0,
        grid_bought_wh=0,
        grid_sold_wh=0,
        grid_net_nano=0,
        adjusted=0,
        settled_height=0,
    )


class _Totals:
    """Sums of a slot while its lines are written."""

    def __init__(self) -> None:
        self.grid_bought_wh = 0
        self.grid_sold_wh = 0
        self.net_nano = 0

    def add(self, line: Line) -> None:
        self.grid_bought_wh += line.grid_bought_wh
        self.grid_sold_wh += line.grid_sold_wh
        self.net_nano += line.net_nano


def _open_slot(state: Overlay, slot_s: int) -> Slot:
    expected = sum(1 for account, _ in iterate_meters(state, slot_s) if not _is_suspended(state, account))
    return build_open_slot(expected, 0)


def _is_suspended(state: Overlay, account: bytes) -> bool:
    record = get_account(state, account)
    return record is None or record.suspended
