"""The day that is played: slots with their prices, and the registers of each home at their ends."""

from dataclasses import dataclass
from pathlib import Path

from cli.demo.options import HOMES_DEFAULT, DemoOptions
from cli.failure import build_usage_error
from meter.sources.csv import ContextFile, Day, HomeDay, HomesFile, read_context, read_homes
from meter.sources.table import SourceError, SourceProblem, format_time
from primitives.ids import UnixSeconds

LEAD_S = 600
"""Genesis is so long before the day, so that its prices can be published before its first slot begins."""


@dataclass(frozen=True)
class PricedSlot:
    """A slot by its UTC start second and its index in the day; price in micro-currency per kWh."""

    index: int
    start_s: UnixSeconds
    end_s: UnixSeconds
    retail_price: int


@dataclass(frozen=True)
class DayPlan:
    """What is played. Homes are sorted by name; each has a row for every slot."""

    day: int
    slot_s: int
    slots: tuple[PricedSlot, ...]
    homes: tuple[HomeDay, ...]
    feed_in_price: int

    @property
    def start_s(self) -> UnixSeconds:
        """Return when the day begins."""
        return self.slots[0].start_s

    @property
    def middle(self) -> int:
        """Return the index of the slot in the middle of the day."""
        return len(self.slots) // 2


def plan_day(options: DemoOptions) -> DayPlan:
    """Return the plan of the chosen day.

    Raises:
        CliError: usage; a file is missing or malformed (the line is named), the day or a home is not in it, or a
            slot's retail price is below the feed-in price.

    """
    try:
        homes_file = read_homes(options.data)
        context = None if options.context is None else read_context(options.context)
        day = homes_file.get_day(options.day, _choose_homes(homes_file, options.homes))
    except SourceError as error:
        raise build_usage_error(_name_flag(error, options)) from None
    if day.starts_s[0] < LEAD_S:
        raise build_usage_error(
            f"--data {options.data}: begins before {LEAD_S} s after 1970; check its times"
        )
    return DayPlan(
        day=options.day,
        slot_s=day.slot_s,
        slots=_price_slots(day, context, options),
        homes=day.homes,
        feed_in_price=options.feed_in,
    )


def _choose_homes(homes_file: HomesFile, asked: int | None) -> int:
    return min(HOMES_DEFAULT, len(homes_file.homes)) if asked is None else asked


def _name_flag(error: SourceError, options: DemoOptions) -> str:
    """Say which flag leads to the complaint."""
    if error.problem is SourceProblem.DAY_BEYOND_FILE:
        return f"--day {options.day}: {error}"
    if error.problem is SourceProblem.HOMES_TOO_FEW:
        return f"--homes {options.homes}: {error}"
    return f"{'--context' if _is_same(error.path, options.context) else '--data'} {error}"


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path == other


def _price_slots(day: Day, context: ContextFile | None, options: DemoOptions) -> tuple[PricedSlot, ...]:
    slots = []
    for index, start_s in enumerate(day.starts_s):
        from_file = None if context is None else context.get_retail_price(start_s)
        retail = options.retail if from_file is None else int(from_file)
        if options.feed_in > retail:
            raise build_usage_error(
                f"--feed-in {options.feed_in}: above the retail price {retail} of the slot {format_time(start_s)}; "
                "a surplus is never worth more than what it replaces"
            )
        slots.append(PricedSlot(index, start_s, UnixSeconds(start_s + day.slot_s), retail))
    return tuple(slots)
