"""A meter that is exchanged: its last registers are booked, and the new meter's are where counting goes on."""

from vm.contract import CallContext
from vm.contracts import permissions
from vm.contracts.energy.calls import STATUS_GOOD, ReplaceMeter, SubmitReading
from vm.contracts.energy.metering import (
    REGISTER_WH_MAX,
    Neighbour,
    book_reading,
    check_instant,
    check_money,
    check_registers,
)
from vm.contracts.energy.records import (
    LatestReading,
    Meter,
    Replacement,
    get_latest_key,
    get_meter_key,
    get_replacement_key,
)
from vm.receipt import Rejection


def check_replace_meter(context: CallContext, call: ReplaceMeter) -> Rejection | None:
    """The utility; a registered meter; sound first registers; a sound instant after every reading of the old meter,
    whose last registers do not fall and are within the rating.
    """
    state = context.state
    if not permissions.has_role(state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if not (
        0 <= call.opening_import_wh <= REGISTER_WH_MAX and 0 <= call.opening_export_wh <= REGISTER_WH_MAX
    ):
        return Rejection.ARGUMENTS_INVALID
    meter = state.read(get_meter_key(call.meter), Meter)
    latest = state.read(get_latest_key(call.meter), LatestReading)
    if meter is None or latest is None:
        return Rejection.METER_UNKNOWN
    rejection = check_instant(context, meter, call.time_s)
    if rejection is not None:
        return rejection
    if call.time_s <= latest.time_s:
        return Rejection.READING_EXISTS
    before = Neighbour(latest.time_s, latest.import_wh, latest.export_wh, latest.pagination)
    rejection = check_registers(meter, call.time_s, (call.import_wh, call.export_wh), before, None)
    return rejection or check_money(context, meter)


def replace_meter(context: CallContext, call: ReplaceMeter) -> None:
    """Book the old meter's last registers as its reading, by the utility; count on from the new meter's."""
    state = context.state
    latest = state.read(get_latest_key(call.meter), LatestReading)
    if latest is None:
        message = "a meter that was just checked is gone"
        raise AssertionError(message)
    slots = (call.time_s - latest.time_s) // context.ledger.genesis.energy.slot_s
    pagination = latest.pagination + slots
    last = SubmitReading(call.time_s, call.import_wh, call.export_wh, STATUS_GOOD, pagination)
    book_reading(context, call.meter, last)
    replacement = Replacement(
        call.opening_import_wh, call.opening_export_wh, context.sender, context.transaction_id
    )
    state.write(get_replacement_key(call.meter, call.time_s), replacement)
    first = LatestReading(call.time_s, call.opening_import_wh, call.opening_export_wh, pagination)
    state.write(get_latest_key(call.meter), first)
