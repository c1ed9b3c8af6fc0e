"""What the coordination contract keeps in state, and under which keys (prefix ``c``).

====== ========================= =====================================================
prefix key                       value
====== ========================= =====================================================
``cr`` round                     ``Round``: terms, iteration, residuals, how it stands
``cm`` round, meter              ``Member``: its newest vector
``cw`` round, meter              ``Row``: prices and targets against each partner
``cx`` round                     ``Exchange``: sums and prices of the exchange form
``cg`` round, meter              ``Agreement``: what was fixed, and the relief
``cs`` slot                      ``SlotRound``: the round that covers a slot
``cd`` time (8 bytes), round     ``Deadline``: when a round goes on without the silent
``co`` –                         ``OpenRounds``: how many rounds are under way
====== ========================= =====================================================

A round is named by its first slot, 8-byte big-endian UTC seconds. Energy Wh; prices micro-currency per kWh, where the
name says ``x2`` doubled and where it says ``nano`` a thousandth of it; money nano-currency.
"""

from enum import IntEnum

from primitives.encoding import Struct
from vm.contracts.energy.coordination.calls import Terms

ROUND_PREFIX = b"cr"
MEMBER_PREFIX = b"cm"
ROW_PREFIX = b"cw"
EXCHANGE_PREFIX = b"cx"
AGREEMENT_PREFIX = b"cg"
SLOT_ROUND_PREFIX = b"cs"
DEADLINE_PREFIX = b"cd"
OPEN_KEY = b"co"


class Status(IntEnum):
    """How a round stands."""

    OPEN = 0
    """Vectors of the current iteration are awaited."""
    FIXED = 1
    """The trades stand; homes that they leave worse off may claim relief."""
    CLOSED = 2
    """The relief is booked; what remains is to meter and to settle."""
    VOID = 3
    """Fewer than two homes spoke: nothing was traded."""


class Round(Struct, frozen=True):
    """A round. ``iteration`` counts from 1 and is the awaited one; residuals are those of the iteration before.

    ``primal_mwh`` is the root mean square of what plans are off the targets, ``dual_mwh`` of how far targets (in an
    exchange: homes) moved; ``traded_wh`` is what homes would trade, ``residual_wh`` what their plans leave over.
    """

    form: int
    slots: int
    status: int
    iteration: int
    members: int
    active: int
    submitted: int
    rho: int
    deadline_ms: int
    converged: bool
    primal_mwh: int
    dual_mwh: int
    traded_wh: int
    residual_wh: int
    vectors: int
    terms: Terms


class Member(Struct, frozen=True):
    """A member: ``iteration`` of its newest vector, how many in a row it missed, whether it still takes part."""

    iteration: int
    missed: int
    active: bool
    trades_wh: tuple[int, ...]


class Row(Struct, frozen=True):
    """What a home of a bilateral round is told: slots for each partner, in the order of accounts.

    ``targets_x2`` is twice p̂ (it may end on half a Wh), ``prices_x2`` twice λ; ``costs`` is what a traded kWh with each
    partner costs in a plan, ``open_to`` whether the partner still takes part.
    """

    targets_x2: tuple[int, ...]
    prices_x2: tuple[int, ...]
    costs: tuple[int, ...]
    open_to: tuple[bool, ...]


class Exchange(Struct, frozen=True):
    """The exchange: sums over homes by slot, now and when last solved, prices by slot, and running sums.

    ``prices_nano`` is λ in nano-currency per kWh. ``moved_squares`` sums (x - x before)² of this iteration,
    ``volume_wh`` |x| of all newest vectors.
    """

    sums_wh: tuple[int, ...]
    solved_wh: tuple[int, ...]
    prices_nano: tuple[int, ...]
    moved_squares: int
    volume_wh: int


class Agreement(Struct, frozen=True):
    """What a home agreed to, by slot: ``net_wh`` (positive: sold), ``paid_nano`` for it, the fee included.

    ``quantities_wh`` and ``prices`` say who with whom: slots for each partner (bilateral); in an exchange the
    quantities are those of ``net_wh`` and left empty. ``claim_nano`` is what it claims, ``relief_nano`` what it got
    (or gave, negative).
    """

    net_wh: tuple[int, ...]
    paid_nano: tuple[int, ...]
    quantities_wh: tuple[int, ...]
    prices: tuple[int, ...]
    claim_nano: int
    relief_nano: int


class SlotRound(Struct, frozen=True):
    """The round that covers a slot."""

    first_slot_s: int


class Deadline(Struct, frozen=True):
    """Marks a round in the order of deadlines."""


class OpenRounds(Struct, frozen=True):
    """How many rounds are not closed."""

    count: int


def get_name(first_slot_s: int) -> bytes:
    """Return the bytes that name a round."""
    return first_slot_s.to_bytes(8, "big")


def get_round_key(first_slot_s: int) -> bytes:
    """Return the key of a round."""
    return ROUND_PREFIX + get_name(first_slot_s)


def get_member_key(first_slot_s: int, meter: bytes) -> bytes:
    """Return the key of a member."""
    return MEMBER_PREFIX + get_name(first_slot_s) + meter


def get_row_key(first_slot_s: int, meter: bytes) -> bytes:
    """Return the key of what a member is told."""
    return ROW_PREFIX + get_name(first_slot_s) + meter


def get_exchange_key(first_slot_s: int) -> bytes:
    """Return the key of a round's exchange."""
    return EXCHANGE_PREFIX + get_name(first_slot_s)


def get_agreement_key(first_slot_s: int, meter: bytes) -> bytes:
    """Return the key of what a member agreed to."""
    return AGREEMENT_PREFIX + get_name(first_slot_s) + meter


def get_slot_round_key(slot_s: int) -> bytes:
    """Return the key of a slot's round."""
    return SLOT_ROUND_PREFIX + get_name(slot_s)


def get_deadline_key(deadline_ms: int, first_slot_s: int) -> bytes:
    """Return the key of a deadline."""
    return DEADLINE_PREFIX + deadline_ms.to_bytes(8, "big") + get_name(first_slot_s)
