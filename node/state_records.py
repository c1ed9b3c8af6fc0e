"""What lies in the state under which prefix: the record of each value, for whoever looks at a store."""

from dataclasses import dataclass

import msgspec

from node.described import describe
from primitives.encoding import Struct, decode_trusted
from vm.contracts import ledger, permissions, validators
from vm.contracts.energy import records as energy
from vm.contracts.energy.coordination import records as coordination
from vm.contracts.energy.response import records as response

PREFIX_BYTES = 2

RECORDS: dict[bytes, type[Struct]] = {
    permissions.ACCOUNT_PREFIX: permissions.Account,
    permissions.KEY_PREFIX: permissions.Owner,
    permissions.NAME_PREFIX: permissions.Owner,
    permissions.UTILITIES_KEY: permissions.Utilities,
    validators.CURRENT_KEY: validators.Current,
    validators.SET_PREFIX: validators.ValidatorSet,
    validators.BALLOT_PREFIX: validators.Ballot,
    validators.ENDPOINT_PREFIX: validators.Endpoint,
    ledger.BALANCE_PREFIX: ledger.Balance,
    ledger.PENDING_PREFIX: ledger.Pending,
    ledger.DUE_PREFIX: ledger.Due,
    energy.METER_PREFIX: energy.Meter,
    energy.LATEST_PREFIX: energy.LatestReading,
    energy.READING_PREFIX: energy.Reading,
    energy.HISTORY_PREFIX: energy.Reading,
    energy.REPLACEMENT_PREFIX: energy.Replacement,
    energy.LINE_PREFIX: energy.Line,
    energy.SLOT_PREFIX: energy.Slot,
    energy.TARIFF_PREFIX: energy.Tariff,
    energy.PROGRESS_KEY: energy.Progress,
    coordination.ROUND_PREFIX: coordination.Round,
    coordination.MEMBER_PREFIX: coordination.Member,
    coordination.ROW_PREFIX: coordination.Row,
    coordination.EXCHANGE_PREFIX: coordination.Exchange,
    coordination.AGREEMENT_PREFIX: coordination.Agreement,
    coordination.SLOT_ROUND_PREFIX: coordination.SlotRound,
    coordination.DEADLINE_PREFIX: coordination.Deadline,
    coordination.OPEN_KEY: coordination.OpenRounds,
    response.EVENT_PREFIX: response.Event,
    response.CHOICE_PREFIX: response.Choice,
    response.SLOT_PREFIX: response.EventSlot,
    response.DUE_PREFIX: response.Due,
    response.EVENTS_KEY: response.Events,
}


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A pair of the state: ``value`` is its record by fields, or hex where the bytes are no such record."""

    key: str
    prefix: str
    kind: str
    value: object


def describe_entry(key: bytes, value: bytes) -> StateEntry:
    """Return a pair of the state as a person reads it; never fails, whatever the bytes are."""
    prefix = key[:PREFIX_BYTES]
    shown = prefix.decode("ascii", errors="backslashreplace")
    expected = RECORDS.get(prefix)
    if expected is None:
        return StateEntry(key.hex(), shown, "unknown", value.hex())
    try:
        record = decode_trusted(value, expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return StateEntry(key.hex(), shown, f"unreadable {expected.__name__}", value.hex())
    return StateEntry(key.hex(), shown, expected.__name__, describe(record))
