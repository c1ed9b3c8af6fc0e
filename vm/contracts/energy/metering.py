"""Meters and their readings: cumulative registers in, differences out, nothing lost and nothing counted twice."""

from dataclasses import dataclass

from primitives.ids import ACCOUNT_BYTES
from vm.contract import CallContext
from vm.contracts import permissions
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
    Line,
    Meter,
    Progress,
    Reading,
    Slot,
    Tariff,
    get_history_key,
    get_latest_key,
    get_line_key,
    get_meter_key,
    get_reading_key,
    get_slot_key,
    get_tariff_key,
)
from vm.contracts.energy.settlement import (
    adjust_line,
    advance_progress,
    build_open_slot,
    get_progress,
    get_slot,
    settle_slot,
)
from vm.genesis import is_price_pair_sound
from vm.receipt import Rejection

METERS_MAX = 10_000
"""A slot settles in one block: 10,000 lines take well under a second."""

RATING_W_MAX = 1_000_000
"""One megawatt: beyond any connection in a community."""

REGISTER_WH_MAX = 2**48
"""More than any meter counts in its life; products with prices stay inside 64 bits by the rating's limit."""

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
    """The utility, sound numbers, an aligned opening that no slot has passed, a free account, room for a meter."""
    state = context.state
    if not permissions.has_role(state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if not 0 < call.rating_w <= RATING_W_MAX or len(call.owner) != ACCOUNT_BYTES:
        return Rejection.ARGUMENTS_INVALID
    if not (
        0 <= call.opening_import_wh <= REGISTER_WH_MAX and 0 <= call.opening_export_wh <= REGISTER_WH_MAX
    ):
        return Rejection.ARGUMENTS_INVALID
    energy = context.ledger.genesis.energy
    if call.opening_s < 0 or call.opening_s % energy.slot_s:
        return Rejection.SLOT_MISALIGNED
    progress = get_progress(state)
    earliest = context.time_ms - energy.correction_s * 1000
    if call.opening_s * 1000 < earliest or (progress is not None and call.opening_s < progress.next_slot_s):
        return Rejection.SLOT_STARTED
    if state.read(get_slot_key(call.opening_s), Slot) is not None:
        return Rejection.SLOT_STARTED
    if progress is not None and progress.meters >= METERS_MAX:
        return Rejection.METER_LIMIT
    if state.read(get_meter_key(call.account), Meter) is not None:
        return Rejection.METER_EXISTS
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
    if progress is None or progress.meters == 0:
        state.write(PROGRESS_KEY, Progress(1, call.opening_s))
    else:
        state.write(PROGRESS_KEY, Progress(progress.meters + 1, progress.next_slot_s))


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
    rejection = _check_instant(context, meter, call.time_s)
    if rejection is not None:
        return rejection
    before, after = find_neighbours(context, context.sender, call.time_s)
    if before is None:
        return Rejection.READING_EXISTS
    rejection = _check_registers(meter, call.time_s, (call.import_wh, call.export_wh), before, after)
    if rejection is not None:
        return rejection
    if call.pagination <= before.pagination or (after is not None and call.pagination >= after.pagination):
        return Rejection.PAGINATION_REUSED
    return None


def submit_reading(context: CallContext, call: SubmitReading) -> None:
    """Keep the reading, move the energy that a later reading had booked for it, settle the slot if it was the last."""
    before, after = find_neighbours(context, context.sender, call.time_s)
    if before is None:
        message = "a reading that was just checked exists"
        raise AssertionError(message)
    slot_seconds = context.ledger.genesis.energy.slot_s
    slot_s = call.time_s - slot_seconds
    flags = 0 if call.status == STATUS_GOOD else int(Flag.STATUS_NOT_GOOD)
    flags |= int(Flag.GAP) if before.time_s < slot_s else 0
    flags |= int(Flag.PAGINATION_GAP) if call.pagination != before.pagination + 1 else 0
    is_late = get_slot(context, slot_s).settled
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
    context.state.write(get_reading_key(context.sender, call.time_s), reading)
    if after is None:
        latest = LatestReading(call.time_s, call.import_wh, call.export_wh, call.pagination)
        context.state.write(get_latest_key(context.sender), latest)
    else:
        _shift_following(context, context.sender, after.time_s, call.time_s, reading)
    if is_late:
        _add_to_settled(context, context.sender, slot_s, reading)
    else:
        _count_reading(context, slot_s)


def check_correct_reading(context: CallContext, call: CorrectReading) -> Rejection | None:
    """The meter itself or the utility; an existing reading inside the correction window; registers between their
    neighbours and within the rating; not corrected too often.
    """
    state = context.state
    if call.status not in METER_STATUS_CODES or len(call.reason.encode()) > REASON_BYTES_MAX:
        return Rejection.ARGUMENTS_INVALID
    meter = state.read(get_meter_key(call.meter), Meter)
    if meter is None:
        return Rejection.METER_UNKNOWN
    if context.sender != call.meter and not permissions.has_role(state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    rejection = _check_instant(context, meter, call.time_s)
    if rejection is not None:
        return rejection
    current = state.read(get_reading_key(call.meter, call.time_s), Reading)
    if current is None:
        return Rejection.READING_MISSING
    if current.version >= VERSIONS_MAX:
        return Rejection.CORRECTION_LIMIT
    before = _get_registers(context, call.meter, meter, current.previous_s)
    after = _find_following(context, call.meter, call.time_s)
    return _check_registers(meter, call.time_s, (call.import_wh, call.export_wh), before, after)


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
    if get_slot(context, slot_s).settled:
        adjust_line(context, call.meter, slot_s, change_import, change_export, int(Flag.CORRECTED))
    after = _find_following(context, call.meter, call.time_s)
    if after is None:
        latest = LatestReading(call.time_s, call.import_wh, call.export_wh, current.pagination)
        state.write(get_latest_key(call.meter), latest)
    else:
        _shift_following(context, call.meter, after.time_s, call.time_s, corrected)


def find_neighbours(
    context: CallContext, account: bytes, time_s: int
) -> tuple[Neighbour | None, Neighbour | None]:
    """Return the registers next before and next after an instant; (None, None) when a reading stands at it.

    Walks back from the newest reading; inside the correction window that is at most one step per slot.
    """
    latest = context.state.read(get_latest_key(account), LatestReading)
    meter = context.state.read(get_meter_key(account), Meter)
    if latest is None or meter is None:
        return None, None
    here = Neighbour(latest.time_s, latest.import_wh, latest.export_wh, latest.pagination)
    after: Neighbour | None = None
    while here.time_s > time_s:
        reading = context.state.read(get_reading_key(account, here.time_s), Reading)
        if reading is None:
            return None, None
        after = here
        here = _get_registers(context, account, meter, reading.previous_s)
    return (None, None) if here.time_s == time_s else (here, after)


def _check_instant(context: CallContext, meter: Meter, time_s: int) -> Rejection | None:
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


def _check_registers(
    meter: Meter, time_s: int, registers: tuple[int, int], before: Neighbour, after: Neighbour | None
) -> Rejection | None:
    now = Neighbour(time_s, registers[0], registers[1], 0)
    for earlier, later in ((before, now), (now, after)):
        if later is None:
            continue
        if later.import_wh < earlier.import_wh or later.export_wh < earlier.export_wh:
            return Rejection.READING_NOT_INCREASING
    limit = meter.rating_w * (time_s - before.time_s)
    increases = (registers[0] - before.import_wh, registers[1] - before.export_wh)
    if max(registers) > REGISTER_WH_MAX or max(increases) * 3600 > limit:
        return Rejection.READING_ABOVE_LIMIT
    return None


def _get_registers(context: CallContext, account: bytes, meter: Meter, time_s: int) -> Neighbour:
    reading = context.state.read(get_reading_key(account, time_s), Reading)
    if reading is None:
        return Neighbour(meter.opening_s, meter.opening_import_wh, meter.opening_export_wh, 0)
    return Neighbour(time_s, reading.import_wh, reading.export_wh, reading.pagination)


def _find_following(context: CallContext, account: bytes, time_s: int) -> Neighbour | None:
    """Return the reading next after the one at ``time_s``."""
    latest = context.state.read(get_latest_key(account), LatestReading)
    at_s = time_s if latest is None else latest.time_s
    following: Neighbour | None = None
    while at_s > time_s:
        reading = context.state.read(get_reading_key(account, at_s), Reading)
        if reading is None:
            break
        following = Neighbour(at_s, reading.import_wh, reading.export_wh, reading.pagination)
        at_s = reading.previous_s
    return following


def _shift_following(
    context: CallContext, account: bytes, following_s: int, previous_s: int, previous: Reading
) -> None:
    """Recompute the difference of the reading after a new or corrected one, and adjust its line if it is settled."""
    state = context.state
    following = state.read(get_reading_key(account, following_s), Reading)
    if following is None:
        return
    delta_import, delta_export = (
        following.import_wh - previous.import_wh,
        following.export_wh - previous.export_wh,
    )
    slot_seconds = context.ledger.genesis.energy.slot_s
    is_split = previous_s != following.previous_s
    flags = following.flags | (int(Flag.SPLIT) if is_split else 0)
    if previous_s >= following_s - slot_seconds:
        flags &= ~int(Flag.GAP)
    change = (delta_import - following.delta_import_wh, delta_export - following.delta_export_wh)
    shifted = Reading(
        time_s=following.time_s,
        import_wh=following.import_wh,
        export_wh=following.export_wh,
        status=following.status,
        pagination=following.pagination,
        previous_s=previous_s,
        delta_import_wh=delta_import,
        delta_export_wh=delta_export,
        flags=flags,
        version=following.version,
        author=following.author,
        transaction_id=following.transaction_id,
    )
    state.write(get_reading_key(account, following_s), shifted)
    slot_s = following_s - slot_seconds
    if get_slot(context, slot_s).settled:
        adjust_line(context, account, slot_s, change[0], change[1], flags & int(Flag.SPLIT))


def _add_to_settled(context: CallContext, account: bytes, slot_s: int, reading: Reading) -> None:
    if context.state.read(get_line_key(account, slot_s), Line) is None:
        message = "a settled slot has no line of a registered meter"
        raise AssertionError(message)
    adjust_line(context, account, slot_s, reading.delta_import_wh, reading.delta_export_wh, reading.flags)


def _count_reading(context: CallContext, slot_s: int) -> None:
    """Count a reading of an open slot, and settle the slot in this very block when all that are expected are in."""
    slot = get_slot(context, slot_s)
    counted = build_open_slot(slot.expected, slot.received + 1)
    context.state.write(get_slot_key(slot_s), counted)
    if counted.received >= counted.expected:
        settle_slot(context, slot_s)
        advance_progress(context)
