"""What can be asked of the energy contract: one record per method."""

from primitives.encoding import Struct

TARIFF_SLOTS_MAX = 100
"""A local day has up to 100 quarter hours."""

METER_STATUS_CODES = frozenset("NGTDRMXIOSEF")
"""Meter status as in OCMF 1.0, table "Meter States"; G is the only one that says the value is good."""

STATUS_GOOD = "G"


class RegisterMeter(Struct, frozen=True):
    """The utility opens a meter: its account, key, home's name, and registers (Wh) at the slot boundary ``opening_s``.

    ``owner`` is the account that is billed; ``rating_w`` bounds what the connection can draw or feed, in watts.
    """

    account: bytes
    public_key: bytes
    home: str
    owner: bytes
    rating_w: int
    opening_s: int
    opening_import_wh: int
    opening_export_wh: int


class SetTariff(Struct, frozen=True):
    """The utility prices consecutive slots that have not begun: (retail, feed-in) in micro-currency per kWh."""

    first_slot_s: int
    prices: tuple[tuple[int, int], ...]


class SubmitReading(Struct, frozen=True):
    """A meter's cumulative registers (Wh, OBIS 1-0:1.8.0 and 1-0:2.8.0) at the slot boundary ``time_s``.

    ``status`` is the OCMF meter status letter; ``pagination`` counts the meter's readings and increases.
    """

    time_s: int
    import_wh: int
    export_wh: int
    status: str
    pagination: int


class CorrectReading(Struct, frozen=True):
    """The meter or the utility supersedes a reading inside the correction window; the raw one stays."""

    meter: bytes
    time_s: int
    import_wh: int
    export_wh: int
    status: str
    reason: str


class ReplaceMeter(Struct, frozen=True):
    """The utility books that a home's meter was exchanged at the slot boundary ``time_s``.

    ``import_wh`` and ``export_wh`` are the old meter's registers then, the ``opening_`` ones the new meter's. Account,
    key, owner and rating stay.
    """

    meter: bytes
    time_s: int
    import_wh: int
    export_wh: int
    opening_import_wh: int
    opening_export_wh: int
