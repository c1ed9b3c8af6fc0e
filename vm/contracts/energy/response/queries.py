"""What can be asked about events: pure reads over a store or a snapshot pinned at a height."""

from collections.abc import Iterator

from primitives.encoding import decode_trusted
from vm.contracts.energy.response.records import (
    CHOICE_PREFIX,
    Choice,
    Event,
    get_choice_key,
    get_event_key,
)
from vm.state import StateReader, read_record


def get_event(state: StateReader, first_slot_s: int) -> Event | None:
    """Return an event by its first slot."""
    return read_record(state, get_event_key(first_slot_s), Event)


def get_choice(state: StateReader, first_slot_s: int, meter: bytes) -> Choice | None:
    """Return a home's word on an event."""
    return read_record(state, get_choice_key(first_slot_s, meter), Choice)


def iterate_choices(state: StateReader, first_slot_s: int) -> Iterator[tuple[bytes, Choice]]:
    """Yield the meters that had a word on an event, and their words, in the order of their accounts."""
    prefix = CHOICE_PREFIX + first_slot_s.to_bytes(8, "big")
    for key, value in state.iterate(prefix):
        yield key[len(prefix) :], decode_trusted(value, Choice)
