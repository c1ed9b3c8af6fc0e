"""What can be asked of the demand response contract: one record per method."""

from primitives.encoding import Struct


class AnnounceEvent(Struct, frozen=True):
    """The utility announces an event over ``slots`` slots from ``first_slot_s`` on, which is its name.

    ``reward`` is micro-currency per kWh drawn below the baseline, which is the mean of the same slot on up to
    ``baseline_days`` days before.
    """

    first_slot_s: int
    slots: int
    reward: int
    baseline_days: int


class CancelEvent(Struct, frozen=True):
    """The utility takes an event back before it begins."""

    first_slot_s: int


class OptEvent(Struct, frozen=True):
    """A meter opts in or out, with a reason if it likes; the last word before the event begins counts."""

    first_slot_s: int
    is_in: bool
    reason: str
