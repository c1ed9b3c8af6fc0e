"""The energy contract's door: which call goes to which rule, and what happens by time (prefix ``e``)."""

from primitives.encoding import Struct
from vm.contract import BlockContext, CallContext, Contract, LedgerContext
from vm.contracts.energy import metering, replacement
from vm.contracts.energy.calls import (
    CorrectReading,
    RegisterMeter,
    ReplaceMeter,
    SetTariff,
    SubmitReading,
)
from vm.contracts.energy.records import Slot, get_slot_key
from vm.contracts.energy.settlement import advance_progress, get_progress, settle_slot
from vm.receipt import Rejection
from vm.state import Overlay

SLOTS_PER_BLOCK_MAX = 32
LINES_PER_BLOCK_MAX = 500
"""After an outage the backlog of silent slots spreads over blocks: at most so many slots, and lines, in one."""


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the call cannot succeed as things stand."""
    match call:
        case RegisterMeter():
            return metering.check_register_meter(context, call)
        case SetTariff():
            return metering.check_set_tariff(context, call)
        case SubmitReading():
            return metering.check_submit_reading(context, call)
        case CorrectReading():
            return metering.check_correct_reading(context, call)
        case ReplaceMeter():
            return replacement.check_replace_meter(context, call)
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Do what ``check`` allowed."""
    match call:
        case RegisterMeter():
            metering.register_meter(context, call)
        case SetTariff():
            metering.set_tariff(context, call)
        case SubmitReading():
            metering.submit_reading(context, call)
        case CorrectReading():
            metering.correct_reading(context, call)
        case ReplaceMeter():
            replacement.replace_meter(context, call)


def begin_block(context: BlockContext) -> None:
    """Settle the slots whose grace has passed, oldest first, silent meters flagged, within the block's bound."""
    energy = context.ledger.genesis.energy
    lines = 0
    for _ in range(SLOTS_PER_BLOCK_MAX):
        progress = get_progress(context.state)
        if progress is None or lines >= LINES_PER_BLOCK_MAX:
            return
        slot_s = progress.next_slot_s
        slot = context.state.read(get_slot_key(slot_s), Slot)
        if slot is None or not slot.settled:
            if (slot_s + energy.slot_s + energy.grace_s) * 1000 > context.time_ms:
                return
            lines += settle_slot(context, slot_s)
        advance_progress(context)


def get_next_due_ms(ledger: LedgerContext, state: Overlay) -> int | None:
    """Return when the oldest open slot settles without its silent meters, in milliseconds."""
    progress = get_progress(state)
    if progress is None:
        return None
    energy = ledger.genesis.energy
    return (progress.next_slot_s + energy.slot_s + energy.grace_s) * 1000


CONTRACT = Contract(
    name="energy",
    key_prefix=b"e",
    methods={
        "register_meter": RegisterMeter,
        "set_tariff": SetTariff,
        "submit_reading": SubmitReading,
        "correct_reading": CorrectReading,
        "replace_meter": ReplaceMeter,
    },
    check=check,
    apply=apply,
    begin_block=begin_block,
    get_next_due_ms=get_next_due_ms,
)
