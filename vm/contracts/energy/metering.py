"""Meters and their readings: cumulative registers in, differences out, nothing lost and nothing counted twice."""

from dataclasses import dataclass

from primitives.ids import ACCOUNT_BYTES
from vm.contract import CallContext
from vm.contracts import ledger, permissions
from vm.contracts.energy.calls import (
    METER_STATUS_CODES,
    STATUS_GOOD,
    TARIFF_SLOTS_MAX,
    CorrectReading,
    RegisterMeter,
    SetTariff,
    SubmitReading,
)
from vm.contracts.energy.records import (
    PROGRESS_KEY,
    Flag,
    LatestReading,
    Meter,
    Progress,
    Reading,
    Replacement,
    Slot,
    Tariff,
    get_history_key,
    get_latest_key,
    get_meter_key,
    get_reading_key,
    get_replacement_key,
    get_slot_key,
    get_tariff_key,
)
from vm.contracts.energy.settlement import (
    adjust_line,
    advance_progress,
    build_open_slot,
    count_silent_meters,
    get_progress,
    get_slot,
    is_settled,
    settle_slot,
)
from vm.genesis import is_price_pair_sound
from vm.receipt import Rejection

METERS_MAX = 10_000
"""A slot settles in one block, and 10,000 lines take about a second of one core: no more may wait for it."""

RATING_W_MAX = 1_000_000
"""One megawatt: beyond any connection in a community."""

REGISTER_WH_MAX = 2**48
"""More than any meter counts in its life."""

INCREASE_WH_MAX = 2**32
"""What one line books at most: times PRICE_MAX it fits 64 bits. A megawatt reaches it after a silence of 178 days."""

SETTLEMENT_MAX = ledger.BALANCE_MAX // 2
"""Readings are refused while a settlement balance is beyond this: what waits for settlement then still fits 64 bits."""

VERSIONS_MAX = 16
"""Corrections of one reading: enough for every real dispute, few enough to bound the state."""

TARIFF_AHEAD_S = 366 * 86400
"""Prices are published at most a year ahead."""

REASON_BYTES_MAX = 120


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The registers before or after an instant."""

    time_s: int
    import_wh: int
    export_wh: int
    pagination: int


def check_register_meter(context: CallContext, call: RegisterMeter) -> Rejection | None:
    """The utility, sound numbers, a new meter, an aligned opening, no reading yet of a slot from there on, room for a
    meter, a free account.
    """
    state = context.state
    if not permissions.has_role(state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if not 0 < call.rating_w <= RATING_W_MAX or len(call.owner) != ACCOUNT_BYTES:
        return Rejection.ARGUMENTS_INVALID
    if not (
        0 <= call.opening_import_wh <= REGISTER_WH_MAX and 0 <= call.opening_export_wh <= REGISTER_WH_MAX
    ):
        return Rejection.ARGUMENTS_INVALID
    if state.read(get_meter_key(call.account), Meter) is not None:
        return Rejection.METER_EXISTS
    energy = context.ledger.genesis.energy
    if call.opening_s < 0 or call.opening_s % energy.slot_s:
        return Rejection.SLOT_MISALIGNED
    if call.opening_s * 1000 < context.time_ms - energy.correction_s * 1000:
        return Rejection.SLOT_STARTED
    if _is_any_slot_touched(context, call.opening_s):
        return Rejection.SLOT_STARTED
    progress = get_progress(state)
    if progress is not None and progress.meters >= METERS_MAX:
        return Rejection.METER_LIMIT
    if call.owner != call.account and permissions.get_account(state, call.owner) is None:
        return Rejection.ACCOUNT_UNKNOWN
    return permissions.check_new_account(state, call.account, call.public_key, "prosumer", call.home)


def register_meter(context: CallContext, call: RegisterMeter) -> None:
    """Open the meter's account and its first registers."""
    state = context.state
    permissions.open_account(state, call.account, call.public_key, "prosumer", call.home)
    meter = Meter(
        call.home,
        call.owner,
        call.rating_w,
        call.opening_s,
        call.opening_import_wh,
        call.opening_export_wh,
    )
    state.write(get_meter_key(call.account), meter)
    opening = LatestReading(call.opening_s, call.opening_import_wh, call.opening_export_wh, 0)
    state.write(get_latest_key(call.account), opening)
    progress = get_progress(state)
    if progress is None:
        state.write(PROGRESS_KEY, Progress(1, call.opening_s))
    else:
        next_slot_s = min(progress.next_slot_s, call.opening_s)
        state.write(PROGRESS_KEY, Progress(progress.meters + 1, next_slot_s))


def check_set_tariff(context: CallContext, call: SetTariff) -> Rejection | None:
    """The utility, 1 to 100 sound price pairs, aligned slots that have not begun and lie within a year."""
    if not permissions.has_role(context.state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if not 0 < len(call.prices) <= TARIFF_SLOTS_MAX:
        return Rejection.ARGUMENTS_INVALID
    if not all(is_price_pair_sound(feed_in, retail) for retail, feed_in in call.prices):
        return Rejection.PRICE_INVALID
    slot_s = context.ledger.genesis.energy.slot_s
    if call.first_slot_s % slot_s:
        return Rejection.SLOT_MISALIGNED
    if call.first_slot_s * 1000 <= context.time_ms:
        return Rejection.SLOT_STARTED
    if (call.first_slot_s + slot_s * len(call.prices) - TARIFF_AHEAD_S) * 1000 > context.time_ms:
        return Rejection.TARIFF_TOO_FAR
    return None


def set_tariff(context: CallContext, call: SetTariff) -> None:
    """Publish the prices."""
    slot_s = context.ledger.genesis.energy.slot_s
    for index, (retail, feed_in) in enumerate(call.prices):
        context.state.write(get_tariff_key(call.first_slot_s + index * slot_s), Tariff(retail, feed_in))


def check_submit_reading(context: CallContext, call: SubmitReading) -> Rejection | None:
    """Sender's own meter; a sound instant (aligned, after the opening, not of the future, not beyond the correction
    window); nothing there yet; registers between their neighbours and within the rating; a fresh pagination.
    """
    if call.status not in METER_STATUS_CODES:
        return Rejection.ARGUMENTS_INVALID
    meter = context.state.read(get_meter_key(context.sender), Meter)
    if meter is None:
        return Rejection.METER_UNKNOWN
    rejection = check_instant(context, meter, call.time_s)
    if rejection is not None:
        return rejection
    before, after = find_neighbours(context, context.sender, call.time_s)
    if before is None:
        return Rejection.READING_EXISTS
    rejection = check_registers(meter, call.time_s, (call.import_wh, call.export_wh), before, after)
    if rejection is not None:
        return rejection
    if call.pagination <= before.pagination or (after is not None and call.pagination >= after.pagination):
        return Rejection.PAGINATION_REUSED
    return check_money(context, meter)


def submit_reading(context: CallContext, call: SubmitReading) -> None:
    """Keep the reading, move the energy that a later reading had booked for it, settle the slot if it was the last."""
    book_reading(context, context.sender, call)


def book_reading(context: CallContext, account: bytes, call: SubmitReading) -> None:
    """Do what ``submit_reading`` promises for the meter ``account``; the sender is the reading's author."""
    before, after = find_neighbours(context, account, call.time_s)
    if before is None:
        message = "a reading that was just checked exists"
        raise AssertionError(message)
    slot_seconds = context.ledger.genesis.energy.slot_s
    slot_s = call.time_s - slot_seconds
    flags = 0 if call.status == STATUS_GOOD else int(Flag.STATUS_NOT_GOOD)
    flags |= int(Flag.GAP) if before.time_s < slot_s else 0
    flags |= int(Flag.PAGINATION_GAP) if call.pagination != before.pagination + 1 else 0
    is_late = is_settled(context, slot_s)
    flags |= int(Flag.LATE) if is_late else 0
    reading = Reading(
        time_s=call.time_s,
        import_wh=call.import_wh,
        export_wh=call.export_wh,
        status=call.status,
        pagination=call.pagination,
        previous_s=before.time_s,
        delta_import_wh=call.import_wh - before.import_wh,
        delta_export_wh=call.export_wh - before.export_wh,
        flags=flags,
        version=1,
        author=context.sender,
        transaction_id=context.transaction_id,
    )
    context.state.write(get_reading_key(account, call.time_s), reading)
    if after is None:
        latest = LatestReading(call.time_s, call.import_wh, call.export_wh, call.pagination)
        context.state.write(get_latest_key(account), latest)
    else:
        _shift_following(context, account, after.time_s, reading)
    if is_late:
        changes = (reading.delta_import_wh, reading.delta_export_wh)
        adjust_line(context, account, slot_s, changes, reading.flags)
    else:
        _count_reading(context, slot_s)


def check_correct_reading(context: CallContext, call: CorrectReading) -> Rejection | None:
    """The meter itself or the utility; an existing reading inside the correction window, not the last one of a meter
    that was replaced; registers between their neighbours and within the rating; not corrected too often.
    """
    state = context.state
    if call.status not in METER_STATUS_CODES or len(call.reason.encode()) > REASON_BYTES_MAX:
        return Rejection.ARGUMENTS_INVALID
    meter = state.read(get_meter_key(call.meter), Meter)
    if meter is None:
        return Rejection.METER_UNKNOWN
    if context.sender != call.meter and not permissions.has_role(state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    rejection = check_instant(context, meter, call.time_s)
    if rejection is not None:
        return rejection
    if state.read(get_replacement_key(call.meter, call.time_s), Replacement) is not None:
        return Rejection.METER_REPLACED
    current = state.read(get_reading_key(call.meter, call.time_s), Reading)
    if current is None:
        return Rejection.READING_MISSING
    if current.version >= VERSIONS_MAX:
        return Rejection.CORRECTION_LIMIT
    before = _get_registers(context, call.meter, meter, current.previous_s)
    following = _find_following(context, call.meter, call.time_s)
    after = None if following is None else _get_neighbour(following)
    rejection = check_registers(meter, call.time_s, (call.import_wh, call.export_wh), before, after)
    return rejection or check_money(context, meter)


def correct_reading(context: CallContext, call: CorrectReading) -> None:
    """Supersede the reading: the raw one stays, the difference moves between the two slots that it touches."""
    state = context.state
    current = state.read(get_reading_key(call.meter, call.time_s), Reading)
    if current is None:
        message = "a reading that was just checked is gone"
        raise AssertionError(message)
    change_import, change_export = call.import_wh - current.import_wh, call.export_wh - current.export_wh
    flags = (current.flags & ~int(Flag.STATUS_NOT_GOOD)) | int(Flag.CORRECTED)
    flags |= 0 if call.status == STATUS_GOOD else int(Flag.STATUS_NOT_GOOD)
    corrected = Reading(
        time_s=current.time_s,
        import_wh=call.import_wh,
        export_wh=call.export_wh,
        status=call.status,
        pagination=current.pagination,
        previous_s=current.previous_s,
        delta_import_wh=current.delta_import_wh + change_import,
        delta_export_wh=current.delta_export_wh + change_export,
        flags=flags,
        version=current.version + 1,
        author=context.sender,
        transaction_id=context.transaction_id,
    )
    state.write(get_history_key(call.meter, call.time_s, current.version), current)
    state.write(get_reading_key(call.meter, call.time_s), corrected)
    slot_s = call.time_s - context.ledger.genesis.energy.slot_s
    if is_settled(context, slot_s):
        adjust_line(context, call.meter, slot_s, (change_import, change_export), corrected.flags)
    after = _find_following(context, call.meter, call.time_s)
    if after is None:
        latest = LatestReading(call.time_s, call.import_wh, call.export_wh, current.pagination)
        state.write(get_latest_key(call.meter), latest)
    else:
        _shift_following(context, call.meter, after.time_s, corrected)


def find_neighbours(
    context: CallContext, account: bytes, time_s: int
) -> tuple[Neighbour | None, Neighbour | None]:
    """Return the registers next before and next after an aligned instant; (None, None) when a reading stands at it."""
    latest = context.state.read(get_latest_key(account), LatestReading)
    if latest is None:
        return None, None
    if time_s > latest.time_s:  # the common case: nothing is read that is not there
        return Neighbour(latest.time_s, latest.import_wh, latest.export_wh, latest.pagination), None
    meter = context.state.read(get_meter_key(account), Meter)
    if meter is None or context.state.read(get_reading_key(account, time_s), Reading) is not None:
        return None, None
    following = _find_following(context, account, time_s)
    if following is None:
        return Neighbour(latest.time_s, latest.import_wh, latest.export_wh, latest.pagination), None
    before = _get_registers(context, account, meter, following.previous_s)
    return before, _get_neighbour(following)


def _is_any_slot_touched(context: CallContext, first_slot_s: int) -> bool:
    """Tell whether a reading or the grace has opened a slot from ``first_slot_s`` on: such a slot knows its meters.

    A reading is at most ``future_s`` ahead and an opening at most ``correction_s`` back, so the walk is bounded.
    """
    energy = context.ledger.genesis.energy
    end_s = context.time_ms // 1000 + energy.future_s
    return any(
        context.state.read(get_slot_key(slot_s), Slot) is not None
        for slot_s in range(first_slot_s, end_s + 1, energy.slot_s)
    )


def check_instant(context: CallContext, meter: Meter, time_s: int) -> Rejection | None:
    """Aligned, after the opening, not of the future, not beyond the correction window."""
    energy = context.ledger.genesis.energy
    if time_s % energy.slot_s:
        return Rejection.SLOT_MISALIGNED
    if time_s <= meter.opening_s:
        return Rejection.READING_BEFORE_OPENING
    if time_s * 1000 > context.time_ms + energy.future_s * 1000:
        return Rejection.READING_OF_FUTURE
    if (time_s + energy.correction_s) * 1000 < context.time_ms:
        return Rejection.READING_TOO_LATE
    return None


def check_registers(
    meter: Meter, time_s: int, registers: tuple[int, int], before: Neighbour, after: Neighbour | None
) -> Rejection | None:
    """Between the neighbours, and no more than the rating carries since, and until, them."""
    now = Neighbour(time_s, registers[0], registers[1], 0)
    if max(registers) > REGISTER_WH_MAX:
        return Rejection.READING_ABOVE_LIMIT
    for earlier, later in ((before, now), (now, after)):
        if later is None:
            continue
        if later.import_wh < earlier.import_wh or later.export_wh < earlier.export_wh:
            return Rejection.READING_NOT_INCREASING
        increase = max(later.import_wh - earlier.import_wh, later.export_wh - earlier.export_wh)
        if increase * 3600 > meter.rating_w * (later.time_s - earlier.time_s):
            return Rejection.READING_ABOVE_LIMIT
        if increase > INCREASE_WH_MAX:
            return Rejection.GAP_TOO_LONG
    return None


def check_money(context: CallContext, meter: Meter) -> Rejection | None:
    """What a reading costs must still fit the balances when its slot settles: settlement cannot refuse."""
    for account in (meter.owner, ledger.GRID):
        balance = ledger.get_balance(context.state, account, ledger.Asset.SETTLEMENT)
        if abs(balance.amount) > SETTLEMENT_MAX:
            return Rejection.BALANCE_OVERFLOW
    return None


def _get_registers(context: CallContext, account: bytes, meter: Meter, time_s: int) -> Neighbour:
    """Return the registers from which what follows is counted: a new meter's own after a replacement."""
    reading = context.state.read(get_reading_key(account, time_s), Reading)
    if reading is None:
        return Neighbour(meter.opening_s, meter.opening_import_wh, meter.opening_export_wh, 0)
    replacement = context.state.read(get_replacement_key(account, time_s), Replacement)
    if replacement is not None:
        first = (replacement.opening_import_wh, replacement.opening_export_wh)
        return Neighbour(time_s, *first, reading.pagination)
    return Neighbour(time_s, reading.import_wh, reading.export_wh, reading.pagination)


def _get_neighbour(reading: Reading) -> Neighbour:
    return Neighbour(reading.time_s, reading.import_wh, reading.export_wh, reading.pagination)


def _find_following(context: CallContext, account: bytes, time_s: int) -> Reading | None:
    """Return the reading next after an aligned instant, looking slot by slot: as many steps as the gap is long.

    Callers have checked that the instant lies inside the correction window, which bounds the gap.
    """
    latest = context.state.read(get_latest_key(account), LatestReading)
    end_s = time_s if latest is None else latest.time_s
    slot_seconds = context.ledger.genesis.energy.slot_s
    for at_s in range(time_s + slot_seconds, end_s + 1, slot_seconds):
        reading = context.state.read(get_reading_key(account, at_s), Reading)
        if reading is not None:
            return reading
    return None


def _shift_following(context: CallContext, account: bytes, following_s: int, previous: Reading) -> None:
    """Recompute the difference of the reading after a new or corrected one, and adjust its line if it is settled."""
    state = context.state
    following = state.read(get_reading_key(account, following_s), Reading)
    if following is None:
        message = "a reading that was just found is gone"
        raise AssertionError(message)
    slot_seconds = context.ledger.genesis.energy.slot_s
    slot_s = following_s - slot_seconds
    is_line_settled = is_settled(context, slot_s)
    flags = following.flags & ~int(Flag.GAP | Flag.PAGINATION_GAP)
    flags |= int(Flag.GAP) if previous.time_s < slot_s else 0
    flags |= int(Flag.PAGINATION_GAP) if following.pagination != previous.pagination + 1 else 0
    if previous.time_s == following.previous_s:
        flags |= int(Flag.CORRECTED)
    elif is_line_settled:
        flags |= int(Flag.SPLIT)
    delta_import = following.import_wh - previous.import_wh
    delta_export = following.export_wh - previous.export_wh
    shifted = Reading(
        time_s=following.time_s,
        import_wh=following.import_wh,
        export_wh=following.export_wh,
        status=following.status,
        pagination=following.pagination,
        previous_s=previous.time_s,
        delta_import_wh=delta_import,
        delta_export_wh=delta_export,
        flags=flags,
        version=following.version,
        author=following.author,
        transaction_id=following.transaction_id,
    )
    state.write(get_reading_key(account, following_s), shifted)
    if is_line_settled:
        changes = (delta_import - following.delta_import_wh, delta_export - following.delta_export_wh)
        adjust_line(context, account, slot_s, changes, flags)


def _count_reading(context: CallContext, slot_s: int) -> None:
    """Count a reading of an open slot, and settle the slot in this very block when all that are expected are in.

    A meter reinstated since the slot was opened was not expected then; it is now, and nobody's place is taken by it.
    """
    slot = get_slot(context, slot_s)
    received = slot.received + 1
    silent = 0 if received < slot.expected else count_silent_meters(context, slot_s)
    expected = received + silent if received >= slot.expected else slot.expected
    context.state.write(get_slot_key(slot_s), build_open_slot(expected, received))
    if received >= expected:
        settle_slot(context, slot_s)
        advance_progress(context)
