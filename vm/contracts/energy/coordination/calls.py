"""What can be asked of the coordination contract: one record per method."""

from enum import IntEnum

from primitives.encoding import Struct

MEMBERS_PER_CALL_MAX = 200
"""Ids of 16 bytes: 200 of them leave room in a transaction of 4,096 bytes."""


class Form(IntEnum):
    """How homes trade in a round."""

    BILATERAL = 0
    """A quantity and a price for each pair of homes and slot (the paper's form)."""
    EXCHANGE = 1
    """One net quantity for each home and slot, one price per slot: for communities of hundreds and thousands."""


class Preference(IntEnum):
    """Whom a home would rather trade with, in the bilateral form."""

    NONE = 0
    DEMAND = 1
    """Partners with more demand, as their first vectors declare it."""
    DISTANCE = 2
    """Partners that are near in the network, as the utility knows it."""


class Terms(Struct, frozen=True):
    """What a round is run by, fixed when it is opened.

    ``rho`` is the penalty in micro-currency per kWh and Wh (500 is 0.5 currency units per kWh²), ``tolerance_mwh``
    the stop in thousandths of a Wh. An iteration lasts at most ``iteration_s``; who is silent ``silence_max`` times
    in a row is left out. ``balancing`` is the ratio of residuals at which ρ is doubled or halved, 0 for never. Prices
    are micro-currency per kWh: where λ starts, the ``fee`` each side pays, what the least preferred partner costs in
    a plan, and the penalty for what was sold and not delivered. ``relief_permille`` bounds the no-loss relief.
    """

    rho: int
    tolerance_mwh: int
    iterations_max: int
    iteration_s: int
    silence_max: int
    balancing: int
    price_start: int
    pair_limit_wh: int
    fee: int
    preference: int
    preference_price: int
    penalty_price: int
    relief_permille: int
    claim_s: int


class OpenRound(Struct, frozen=True):
    """The utility opens a round over ``slots`` slots from ``first_slot_s`` on; it bears the name of its first slot.

    ``members`` are meters; ``distances`` are those of their pairs, in the order of their accounts, when preferred by.
    """

    first_slot_s: int
    slots: int
    form: int
    terms: Terms
    members: tuple[bytes, ...]
    distances: tuple[int, ...]


class EnrolMembers(Struct, frozen=True):
    """The utility adds members to an exchange before its first iteration is solved."""

    first_slot_s: int
    members: tuple[bytes, ...]


class SubmitVector(Struct, frozen=True):
    """A meter's trades of one iteration, Wh, positive when it sells: slots for each partner, or slots for the exchange.

    Partners stand in the order of their accounts, without the sender.
    """

    first_slot_s: int
    iteration: int
    trades_wh: tuple[int, ...]


class ClaimRelief(Struct, frozen=True):
    """A meter's word, after the trades are fixed, that they leave its home so much worse off than alone (nano)."""

    first_slot_s: int
    nano: int
