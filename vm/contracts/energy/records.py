"""What the energy contract keeps in state, and under which keys (prefix ``e``).

====== ========================== =============================================
prefix key                        value
====== ========================== =============================================
``em`` meter account              ``Meter``: who and since when
``eq`` meter account              ``LatestReading``: the newest registers
``er`` time, meter account        ``Reading``: the valid reading at an instant
``eh`` time, meter account, count ``Reading``: a superseded one, kept for ever
``ew`` meter account, time        ``Replacement``: a new meter's first registers
``el`` slot, meter account        ``Line``: a home's energy and money of a slot
``es`` slot                       ``Slot``: a slot's clearing and totals
``et`` slot                       ``Tariff``: prices published for a slot
``ec`` –                          ``Progress``: meters, and the next slot due
====== ========================== =============================================

Slots and times are 8-byte big-endian UTC seconds. What every slot brings from every meter has its key begin with the
time: it is written beside its neighbours, and a store of years has no part that a new slot must be merged with.
Energy is in Wh, prices in micro-currency per kWh, money in nano-currency.
"""

from enum import IntFlag

from primitives.encoding import Struct

METER_PREFIX = b"em"
LATEST_PREFIX = b"eq"
READING_PREFIX = b"er"
HISTORY_PREFIX = b"eh"
REPLACEMENT_PREFIX = b"ew"
LINE_PREFIX = b"el"
SLOT_PREFIX = b"es"
TARIFF_PREFIX = b"et"
PROGRESS_KEY = b"ec"
TIME_BYTES = 8
"""Of a slot or an instant in a key."""


class Flag(IntFlag):
    """Quality of a reading and of the line that it settles: a line's flags are its reading's, or MISSING alone."""

    GAP = 1
    """The line books energy of earlier slots too: a reading in between never came."""
    MISSING = 2
    """The slot was settled without a reading of this meter."""
    LATE = 4
    """The reading came after its slot had settled; adjusted at grid price."""
    CORRECTED = 8
    """A reading was superseded: this line's own, or the one before it."""
    STATUS_NOT_GOOD = 16
    """The meter itself reported a status other than good."""
    PAGINATION_GAP = 32
    """The meter's reading counter jumped."""
    SPLIT = 64
    """A reading in between came later: part of this line's energy moved to its own slot, at grid price."""


class Meter(Struct, frozen=True):
    """A registered meter. ``opening_s`` is the boundary of its first slot, with the registers at that instant."""

    home: str
    owner: bytes
    rating_w: int
    opening_s: int
    opening_import_wh: int
    opening_export_wh: int


class LatestReading(Struct, frozen=True):
    """The newest accepted registers of a meter (the opening ones before its first reading, or after a replacement)."""

    time_s: int
    import_wh: int
    export_wh: int
    pagination: int


class Reading(Struct, frozen=True):
    """Cumulative registers at ``time_s`` and what they say: the energy since the reading at ``previous_s``."""

    time_s: int
    import_wh: int
    export_wh: int
    status: str
    pagination: int
    previous_s: int
    delta_import_wh: int
    delta_export_wh: int
    flags: int
    version: int
    author: bytes
    transaction_id: bytes


class Replacement(Struct, frozen=True):
    """A meter was exchanged: the reading at this instant is the old one's last, these registers the new one's first."""

    opening_import_wh: int
    opening_export_wh: int
    author: bytes
    transaction_id: bytes


class Line(Struct, frozen=True):
    """A home's part of a settled slot.

    import - export = agreed_bought - agreed_sold + pool_bought - pool_sold + grid_bought - grid_sold, and
    net = agreed_nano + max(agreed_sold - export, 0) * penalty_price + (pool_bought - pool_sold) * pool_price
    + grid_bought * retail - grid_sold * feed_in: what the home pays. Agreed is what a round fixed beforehand.
    ``alone_nano`` is the same energy at grid prices only.
    """

    import_wh: int
    export_wh: int
    pool_bought_wh: int
    pool_sold_wh: int
    grid_bought_wh: int
    grid_sold_wh: int
    retail_price: int
    feed_in_price: int
    pool_price: int
    net_nano: int
    alone_nano: int
    flags: int
    agreed_bought_wh: int
    agreed_sold_wh: int
    agreed_nano: int
    penalty_price: int


class Slot(Struct, frozen=True):
    """A slot: how many readings are expected and in, and, once settled, its clearing and totals.

    ``buyers_price`` (average price that buyers pay per kWh) is shown and never settled. ``grid_net_nano`` is what the
    grid receives less what it pays. ``adjusted`` counts lines changed after settlement.
    """

    settled: bool
    expected: int
    received: int
    missing: int
    supply_wh: int
    demand_wh: int
    pool_wh: int
    pool_price: int
    buyers_price: int
    retail_price: int
    feed_in_price: int
    grid_bought_wh: int
    grid_sold_wh: int
    grid_net_nano: int
    adjusted: int
    settled_height: int


class Tariff(Struct, frozen=True):
    """Published prices of one slot."""

    retail_price: int
    feed_in_price: int


class Progress(Struct, frozen=True):
    """``next_slot_s`` is the earliest slot that is not settled; everything before it is."""

    meters: int
    next_slot_s: int


def get_meter_key(meter: bytes) -> bytes:
    """Return the key of a meter's record."""
    return METER_PREFIX + meter


def get_latest_key(meter: bytes) -> bytes:
    """Return the key of a meter's newest registers."""
    return LATEST_PREFIX + meter


def get_reading_key(meter: bytes, time_s: int) -> bytes:
    """Return the key of the valid reading at an instant."""
    return READING_PREFIX + time_s.to_bytes(8, "big") + meter


def get_history_key(meter: bytes, time_s: int, version: int) -> bytes:
    """Return the key of a superseded reading."""
    return HISTORY_PREFIX + time_s.to_bytes(8, "big") + meter + version.to_bytes(2, "big")


def get_replacement_key(meter: bytes, time_s: int) -> bytes:
    """Return the key of what became of a meter's registers at an instant."""
    return REPLACEMENT_PREFIX + meter + time_s.to_bytes(8, "big")


def get_line_key(meter: bytes, slot_s: int) -> bytes:
    """Return the key of a home's line."""
    return LINE_PREFIX + slot_s.to_bytes(8, "big") + meter


def get_line_slot(key: bytes) -> int:
    """Return the slot that a line's key names; of other bytes something that ``get_line_key`` does not give back."""
    return int.from_bytes(key[len(LINE_PREFIX) : len(LINE_PREFIX) + TIME_BYTES], "big")


def get_slot_key(slot_s: int) -> bytes:
    """Return the key of a slot."""
    return SLOT_PREFIX + slot_s.to_bytes(8, "big")


def get_tariff_key(slot_s: int) -> bytes:
    """Return the key of a slot's published prices."""
    return TARIFF_PREFIX + slot_s.to_bytes(8, "big")
