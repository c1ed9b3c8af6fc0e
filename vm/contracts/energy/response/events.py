"""An event's life (OpenADR): announced far or near, active, completed or cancelled; opted in or out; measured; paid."""

from enum import StrEnum

from primitives.ids import AccountId
from vm.contract import BlockContext, CallContext
from vm.contracts import ledger, permissions
from vm.contracts.energy.records import Flag, Line, Meter, get_line_key, get_meter_key
from vm.contracts.energy.response.calls import AnnounceEvent, CancelEvent, OptEvent
from vm.contracts.energy.response.records import (
    CHOICE_PREFIX,
    EVENTS_KEY,
    Choice,
    Due,
    Event,
    Events,
    EventSlot,
    Status,
    get_choice_key,
    get_due_key,
    get_event_key,
    get_slot_key,
)
from vm.contracts.energy.settlement import get_progress
from vm.receipt import Rejection
from vm.state import Overlay

SLOTS_MAX = 24
"""Six hours of quarter hours, a day of hours: no event is longer."""

BASELINE_DAYS_MAX = 10
"""Ten days of ten, the longest baseline in use."""

REWARD_MAX = 10**7
"""Ten currency units per kWh: above any reward, and an event of all meters stays below 64 bits."""

EVENTS_MAX = 16
"""Announced at a time."""

AHEAD_S = 31 * 86_400
"""An event is announced at most a month ahead."""

REASON_BYTES_MAX = 120

HOMES_PER_BLOCK_MAX = 200
"""Homes measured in one block, each by at most SLOTS_MAX times BASELINE_DAYS_MAX lines: a tenth of a second."""

DAY_S = 86_400
NEAR_S = 3600
"""An event is near in the hour before it begins."""

Context = CallContext | BlockContext


class Phase(StrEnum):
    """Where an event is in its life, in the words of OpenADR."""

    FAR = "far"
    NEAR = "near"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


def get_phase(event: Event, first_slot_s: int, time_s: int) -> Phase:
    """Return the phase at a time; an event whose time is over is completed once it is measured, active till then."""
    if event.status == Status.CANCELLED:
        return Phase.CANCELLED
    if event.status == Status.COMPLETED:
        return Phase.COMPLETED
    if time_s >= first_slot_s:
        return Phase.ACTIVE
    return Phase.NEAR if time_s >= first_slot_s - NEAR_S else Phase.FAR


def check_announce_event(context: CallContext, call: AnnounceEvent) -> Rejection | None:
    """The utility; sound numbers; aligned slots that have not begun, within a month, in no other event; room."""
    if not permissions.has_role(context.state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if not 0 < call.slots <= SLOTS_MAX or not 0 < call.baseline_days <= BASELINE_DAYS_MAX:
        return Rejection.ARGUMENTS_INVALID
    if not 0 <= call.reward <= REWARD_MAX:
        return Rejection.PRICE_INVALID
    slot_s = context.ledger.genesis.energy.slot_s
    if call.first_slot_s < 0 or call.first_slot_s % slot_s:
        return Rejection.SLOT_MISALIGNED
    if call.first_slot_s * 1000 <= context.time_ms:
        return Rejection.SLOT_STARTED
    if (call.first_slot_s - AHEAD_S) * 1000 > context.time_ms:
        return Rejection.EVENT_TOO_FAR
    for number in range(call.slots):
        if context.state.read(get_slot_key(call.first_slot_s + number * slot_s), EventSlot) is not None:
            return Rejection.EVENT_OVERLAPS
    events = context.state.read(EVENTS_KEY, Events)
    return Rejection.EVENT_LIMIT if events is not None and events.count >= EVENTS_MAX else None


def announce_event(context: CallContext, call: AnnounceEvent) -> None:
    """Write the event, and when it will be measured: when its last slot has settled, silent meters or not."""
    state, energy = context.state, context.ledger.genesis.energy
    event = Event(call.slots, call.reward, call.baseline_days, Status.ANNOUNCED, 0, b"", 0, 0)
    state.write(get_event_key(call.first_slot_s), event)
    for number in range(call.slots):
        slot_s = call.first_slot_s + number * energy.slot_s
        state.write(get_slot_key(slot_s), EventSlot(call.first_slot_s))
    state.write(get_due_key(_get_due(context, call.first_slot_s, event), call.first_slot_s), Due())
    _count(state, 1)


def check_cancel_event(context: CallContext, call: CancelEvent) -> Rejection | None:
    """The utility; an announced event that has not begun."""
    if not permissions.has_role(context.state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    return _check_open(context, call.first_slot_s)


def cancel_event(context: CallContext, call: CancelEvent) -> None:
    """Take the event back; its slots are free for another one, its record and the homes' words stay till then."""
    event = require_event(context.state, call.first_slot_s)
    _close(context, call.first_slot_s, event, Status.CANCELLED)


def check_opt_event(context: CallContext, call: OptEvent) -> Rejection | None:
    """A meter; a reason that is not too long; an announced event that has not begun."""
    if len(call.reason.encode()) > REASON_BYTES_MAX:
        return Rejection.ARGUMENTS_INVALID
    if context.state.read(get_meter_key(context.sender), Meter) is None:
        return Rejection.METER_UNKNOWN
    return _check_open(context, call.first_slot_s)


def opt_event(context: CallContext, call: OptEvent) -> None:
    """Keep the word, and count who is in."""
    state = context.state
    event = require_event(state, call.first_slot_s)
    key = get_choice_key(call.first_slot_s, context.sender)
    before = state.read(key, Choice)
    change = int(call.is_in) - int(before is not None and before.is_in)
    state.write(key, Choice(call.is_in, call.reason, 0, 0, 0, 0))
    state.write(get_event_key(call.first_slot_s), _change(event, opted_in=event.opted_in + change))


def measure_event(context: BlockContext, first_slot_s: int) -> None:
    """Measure and pay homes that opted in, a block's worth of them; with the last one the event is completed."""
    state, slot_s = context.state, context.ledger.genesis.energy.slot_s
    event = require_event(state, first_slot_s)
    progress = get_progress(state)
    if progress is not None and progress.next_slot_s < first_slot_s + event.slots * slot_s:
        return  # slots settle in order, many in one block: the next block looks again
    prefix = CHOICE_PREFIX + first_slot_s.to_bytes(8, "big")
    measured = 0
    for key, choice in list(state.iterate(prefix, Choice)):
        meter = key[len(prefix) :]
        if meter <= event.paid_up_to or not choice.is_in:
            continue
        if measured == HOMES_PER_BLOCK_MAX:
            state.write(get_event_key(first_slot_s), event)
            return
        measured += 1
        found = _measure(context, first_slot_s, event, meter, choice)
        state.write(key, found)
        event = _change(
            event,
            paid_up_to=meter,
            saved_wh=event.saved_wh + found.saved_wh,
            paid_nano=event.paid_nano + found.paid_nano,
        )
    _close(context, first_slot_s, event, Status.COMPLETED)


def compute_baseline(state: Overlay, meter: bytes, slot_s: int, days: int) -> int:
    """Return the mean import (Wh, rounded down) of the same slot on the days before; 0 without any.

    Days whose line is missing, or books the energy of other slots too, say nothing: nobody raises its baseline by
    silence.
    """
    found = []
    for day in range(1, days + 1):
        line = state.read(get_line_key(meter, slot_s - day * DAY_S), Line) if slot_s >= day * DAY_S else None
        if line is not None and not line.flags & (Flag.MISSING | Flag.GAP):
            found.append(line.import_wh)
    return sum(found) // len(found) if found else 0


def require_event(state: Overlay, first_slot_s: int) -> Event:
    """Return an event that was just checked."""
    event = state.read(get_event_key(first_slot_s), Event)
    if event is None:
        message = "an event that was just checked is gone"
        raise AssertionError(message)
    return event


def _measure(context: BlockContext, first_slot_s: int, event: Event, meter: bytes, choice: Choice) -> Choice:
    """Return a home's result and pay it. A slot without a reading saves nothing."""
    state, slot_s = context.state, context.ledger.genesis.energy.slot_s
    baseline = drawn = saved = 0
    for number in range(event.slots):
        at_s = first_slot_s + number * slot_s
        line = state.read(get_line_key(meter, at_s), Line)
        usual = compute_baseline(state, meter, at_s, event.baseline_days)
        baseline += usual
        if line is not None and not line.flags & Flag.MISSING:
            drawn += line.import_wh
            saved += max(usual - line.import_wh, 0)
    paid = saved * event.reward
    record = state.read(get_meter_key(meter), Meter)
    if record is not None:
        ledger.settle(state, ledger.GRID, AccountId(record.owner), paid)
    return Choice(choice.is_in, choice.reason, baseline, drawn, saved, paid)


def _check_open(context: CallContext, first_slot_s: int) -> Rejection | None:
    event = context.state.read(get_event_key(first_slot_s), Event) if 0 <= first_slot_s < 2**63 else None
    if event is None:
        return Rejection.EVENT_UNKNOWN
    if event.status != Status.ANNOUNCED or first_slot_s * 1000 <= context.time_ms:
        return Rejection.EVENT_CLOSED
    return None


def _close(context: Context, first_slot_s: int, event: Event, status: Status) -> None:
    state, slot_s = context.state, context.ledger.genesis.energy.slot_s
    state.write(get_event_key(first_slot_s), _change(event, status=status))
    state.write(get_due_key(_get_due(context, first_slot_s, event), first_slot_s), None)
    if status == Status.CANCELLED:
        for number in range(event.slots):
            state.write(get_slot_key(first_slot_s + number * slot_s), None)
        prefix = CHOICE_PREFIX + first_slot_s.to_bytes(8, "big")
        for key, _ in list(state.iterate(prefix, Choice)):
            state.write(key, None)
    _count(state, -1)


def _get_due(context: Context, first_slot_s: int, event: Event) -> int:
    energy = context.ledger.genesis.energy
    return first_slot_s + event.slots * energy.slot_s + energy.grace_s


def _count(state: Overlay, change: int) -> None:
    events = state.read(EVENTS_KEY, Events)
    state.write(EVENTS_KEY, Events((0 if events is None else events.count) + change))


def _change(event: Event, **changes: object) -> Event:
    values = {name: getattr(event, name) for name in Event.__struct_fields__}
    return Event(**{**values, **changes})
