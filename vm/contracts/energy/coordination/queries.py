"""What can be asked about rounds: pure reads over a store or a snapshot pinned at a height."""

from vm.contracts.energy.coordination.records import (
    Agreement,
    Exchange,
    Member,
    Round,
    Row,
    get_agreement_key,
    get_exchange_key,
    get_member_key,
    get_round_key,
    get_row_key,
)
from vm.state import StateReader, read_record


def get_round(state: StateReader, first_slot_s: int) -> Round | None:
    """Return a round by its first slot."""
    return read_record(state, get_round_key(first_slot_s), Round)


def get_member(state: StateReader, first_slot_s: int, meter: bytes) -> Member | None:
    """Return a member with its newest vector, while the round is under way."""
    return read_record(state, get_member_key(first_slot_s, meter), Member)


def get_row(state: StateReader, first_slot_s: int, meter: bytes) -> Row | None:
    """Return what a member of a bilateral round is told, while the round is under way."""
    return read_record(state, get_row_key(first_slot_s, meter), Row)


def get_exchange(state: StateReader, first_slot_s: int) -> Exchange | None:
    """Return what the members of an exchange are told, while the round is under way."""
    return read_record(state, get_exchange_key(first_slot_s), Exchange)


def get_agreement(state: StateReader, first_slot_s: int, meter: bytes) -> Agreement | None:
    """Return what a home agreed to."""
    return read_record(state, get_agreement_key(first_slot_s, meter), Agreement)
