"""What the demand response contract keeps in state, and under which keys (prefix ``d``).

====== ========================== ==============================================
prefix key                        value
====== ========================== ==============================================
``de`` event                      ``Event``: terms and how it stands
``do`` event, meter               ``Choice``: in or out, and what it came to
``ds`` slot                       ``EventSlot``: the event that covers a slot
``dd`` time (8 bytes), event      ``Due``: when an event is measured
``dn`` –                          ``Events``: how many are announced
====== ========================== ==============================================

An event is named by its first slot, 8-byte big-endian UTC seconds; energy Wh, money nano-currency.
"""

from enum import IntEnum

from primitives.encoding import Struct

EVENT_PREFIX = b"de"
CHOICE_PREFIX = b"do"
SLOT_PREFIX = b"ds"
DUE_PREFIX = b"dd"
EVENTS_KEY = b"dn"


class Status(IntEnum):
    """How an event stands; far, near and active follow from the time (``events.get_phase``)."""

    ANNOUNCED = 0
    COMPLETED = 1
    CANCELLED = 2


class Event(Struct, frozen=True):
    """An event. ``paid_up_to`` is the last meter that was measured while payment spreads over blocks."""

    slots: int
    reward: int
    baseline_days: int
    status: int
    opted_in: int
    paid_up_to: bytes
    saved_wh: int
    paid_nano: int


class Choice(Struct, frozen=True):
    """A home's word, and after the event: its baseline, what it drew, and what it was paid for."""

    is_in: bool
    reason: str
    baseline_wh: int
    import_wh: int
    saved_wh: int
    paid_nano: int


class EventSlot(Struct, frozen=True):
    """The event that covers a slot."""

    first_slot_s: int


class Due(Struct, frozen=True):
    """Marks an event in the order of its measuring."""


class Events(Struct, frozen=True):
    """How many events are announced."""

    count: int


def get_event_key(first_slot_s: int) -> bytes:
    """Return the key of an event."""
    return EVENT_PREFIX + first_slot_s.to_bytes(8, "big")


def get_choice_key(first_slot_s: int, meter: bytes) -> bytes:
    """Return the key of a home's word on an event."""
    return CHOICE_PREFIX + first_slot_s.to_bytes(8, "big") + meter


def get_slot_key(slot_s: int) -> bytes:
    """Return the key of a slot's event."""
    return SLOT_PREFIX + slot_s.to_bytes(8, "big")


def get_due_key(due_s: int, first_slot_s: int) -> bytes:
    """Return the key of a measuring."""
    return DUE_PREFIX + due_s.to_bytes(8, "big") + first_slot_s.to_bytes(8, "big")
