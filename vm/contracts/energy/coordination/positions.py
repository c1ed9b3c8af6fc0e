"""What settlement asks of a round: each home's agreed position in a slot."""

from dataclasses import dataclass

from vm.contracts.energy.coordination.records import (
    Agreement,
    Round,
    SlotRound,
    Status,
    get_agreement_key,
    get_round_key,
    get_slot_round_key,
)
from vm.state import Overlay


@dataclass(frozen=True, slots=True)
class Position:
    """What a home agreed to for one slot: energy on one side only, what it pays for it, and what failing costs."""

    bought_wh: int
    sold_wh: int
    paid_nano: int
    penalty_price: int


NOTHING = Position(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class AgreedSlot:
    """A slot of a round whose trades are fixed."""

    first_slot_s: int
    index: int
    penalty_price: int


def find_agreed_slot(state: Overlay, slot_s: int, slot_seconds: int) -> AgreedSlot | None:
    """Return the fixed round that covers a slot, or None: nothing was agreed for it."""
    covering = state.read(get_slot_round_key(slot_s), SlotRound)
    if covering is None:
        return None
    found = state.read(get_round_key(covering.first_slot_s), Round)
    if found is None or found.status not in (Status.FIXED, Status.CLOSED):
        return None
    index = (slot_s - covering.first_slot_s) // slot_seconds
    return AgreedSlot(covering.first_slot_s, index, found.terms.penalty_price)


def get_position(state: Overlay, agreed: AgreedSlot | None, meter: bytes) -> Position:
    """Return a home's position in a slot."""
    if agreed is None:
        return NOTHING
    agreement = state.read(get_agreement_key(agreed.first_slot_s, meter), Agreement)
    if agreement is None:
        return NOTHING
    net = agreement.net_wh[agreed.index]
    return Position(max(-net, 0), max(net, 0), agreement.paid_nano[agreed.index], agreed.penalty_price)
