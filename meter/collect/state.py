"""What a collector knows and tells: a file beside its spool that anybody in the home may read while it runs.

Nothing in it decides what is signed twice or never: that is the spool's. Losing the file costs the counts.
"""

import contextlib
import os
from pathlib import Path

import msgspec

STATE_BYTES_MAX = 64 * 1024
"""Every list in it is bounded; 2 kB are usual."""
LINE_CHARACTERS_MAX = 200


class Facts(msgspec.Struct, frozen=True):
    """What a validator said of the meter when it was last asked; enough to sign without a network."""

    account: str
    opening_s: int
    slot_s: int
    rating_w: int
    latest_s: int
    latest_import_wh: int
    latest_export_wh: int
    height: int


class Seen(msgspec.Struct, frozen=True):
    """Registers at an instant."""

    time_s: int
    import_wh: int
    export_wh: int


class Gap(msgspec.Struct, frozen=True):
    """Slots without a reading of their own between these two; their energy stands in the slot that ends at ``to_s``."""

    from_s: int
    to_s: int


class Reached(msgspec.Struct, frozen=True):
    """The validator that answered last, and when (UTC seconds, this machine's clock)."""

    name: str
    time_s: int


class Proven(msgspec.Struct, frozen=True):
    """The last verified receipt."""

    transaction: str
    height: int
    reading_s: int


class CollectorState(msgspec.Struct):
    """All of it; counts are of this home's whole life with the meter, as long as the file stays.

    ``link_problem`` and ``network_problem`` are empty while all is well, else one line each. ``dropped`` counts by
    the name of the reason, ``refused`` by the ledger's. ``early`` counts readings that the ledger took for the future
    and this machine did not: one of the clocks is wrong.
    """

    meter: str
    source: str = ""
    facts: Facts | None = None
    equipment: str = ""
    link_problem: str = "not started"
    reconnects: int = 0
    observations: int = 0
    last_seen: Seen | None = None
    readings: int = 0
    last_reading: Seen | None = None
    gaps: int = 0
    last_gap: Gap | None = None
    dropped: dict[str, int] = {}
    last_dropped: str = ""
    last_dropped_s: int = 0
    waiting: int = 0
    oldest_waiting_s: int | None = None
    committed: int = 0
    refused: dict[str, int] = {}
    early: int = 0
    reached: Reached | None = None
    network_problem: str = ""
    last_proof: Proven | None = None
    written_s: int = 0


def read_state(path: Path, meter: str) -> CollectorState:
    """Return what the file says; a new state where it is missing, damaged or of another meter."""
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(STATE_BYTES_MAX), type=CollectorState)
    except (OSError, msgspec.DecodeError):
        return CollectorState(meter)
    return found if found.meter == meter else CollectorState(meter)


def write_state(path: Path, state: CollectorState) -> None:
    """Replace the file as a whole; not synced, because nothing depends on it.

    Raises:
        OSError: the disk refused.

    """
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state))
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def count(counts: dict[str, int], name: str) -> None:
    """Add one to a count."""
    counts[name] = counts.get(name, 0) + 1
