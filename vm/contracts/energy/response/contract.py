"""The demand response contract's door: which call goes to which rule, and what happens by time (prefix ``d``)."""

from primitives.encoding import Struct
from vm.contract import BlockContext, CallContext, Contract, LedgerContext
from vm.contracts.energy.response import events
from vm.contracts.energy.response.calls import AnnounceEvent, CancelEvent, OptEvent
from vm.contracts.energy.response.records import DUE_PREFIX, Due
from vm.receipt import Rejection
from vm.state import Overlay


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the call cannot succeed as things stand."""
    match call:
        case AnnounceEvent():
            return events.check_announce_event(context, call)
        case CancelEvent():
            return events.check_cancel_event(context, call)
        case OptEvent():
            return events.check_opt_event(context, call)
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Do what ``check`` allowed."""
    match call:
        case AnnounceEvent():
            events.announce_event(context, call)
        case CancelEvent():
            events.cancel_event(context, call)
        case OptEvent():
            events.opt_event(context, call)


def begin_block(context: BlockContext) -> None:
    """Measure the first event that is due, within a block's bound; the next one follows in the next block."""
    for key, _ in context.state.iterate(DUE_PREFIX, Due):
        due_s, first_slot_s = _read_key(key)
        if due_s * 1000 <= context.time_ms:
            events.measure_event(context, first_slot_s)
        return


def get_next_due_ms(_: LedgerContext, state: Overlay) -> int | None:
    """Return when the first event is measured, in milliseconds."""
    for key, _due in state.iterate(DUE_PREFIX, Due):
        return _read_key(key)[0] * 1000
    return None


def _read_key(key: bytes) -> tuple[int, int]:
    start = len(DUE_PREFIX)
    return int.from_bytes(key[start : start + 8], "big"), int.from_bytes(key[start + 8 :], "big")


CONTRACT = Contract(
    name="response",
    key_prefix=b"d",
    methods={"announce_event": AnnounceEvent, "cancel_event": CancelEvent, "opt_event": OptEvent},
    check=check,
    apply=apply,
    begin_block=begin_block,
    get_next_due_ms=get_next_due_ms,
)
