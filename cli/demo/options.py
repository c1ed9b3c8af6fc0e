"""What a demonstration is asked to do, and which requests are refused before anything starts."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from cli.failure import build_usage_error
from vm.genesis import PRICE_MAX

HOMES_DEFAULT = 10
HOMES_MAX = 200
"""Each signs, submits and verifies in every slot: 200 keep an hourly day under two minutes on two cores."""
VALIDATORS_DEFAULT = 4
VALIDATORS_DEMO_MAX = 16
"""Each validator is a process of about 60 MB here; larger networks run on their own machines."""
FEED_IN_DEFAULT = 80_000
RETAIL_DEFAULT = 220_000
PACKAGED_READINGS = "data/citylearn/citylearn_10homes_7d_60min.csv"
PACKAGED_CONTEXT = "data/citylearn/citylearn_context_7d_60min.csv"


@dataclass(frozen=True)
class DemoOptions:
    """One demonstration. Prices are micro-currency per kWh; ``homes`` is None for the first ten, or all if fewer."""

    data: Path
    is_packaged: bool
    context: Path | None
    day: int
    homes: int | None
    validators: int
    feed_in: int
    retail: int
    kill_primary: bool
    tem: bool
    as_json: bool
    home: Path | None
    keep: bool


def build_options(
    *,
    data: Path | None,
    context: Path | None,
    day: int,
    homes: int | None,
    validators: int,
    feed_in: int,
    retail: int,
    kill_primary: bool,
    tem: bool,
    as_json: bool,
    home: Path | None,
    keep: bool,
) -> DemoOptions:
    """Return the checked options; without ``data`` it is the packaged week with its prices.

    Raises:
        CliError: usage; the line names the flag and what it may be.

    """
    if day < 0:
        raise build_usage_error(f"--day {day}: days count from 0")
    if homes is not None and not 1 <= homes <= HOMES_MAX:
        raise build_usage_error(f"--homes {homes}: between 1 and {HOMES_MAX}")
    if not VALIDATORS_DEFAULT <= validators <= VALIDATORS_DEMO_MAX:
        raise build_usage_error(
            f"--validators {validators}: between {VALIDATORS_DEFAULT} (one may fail) and {VALIDATORS_DEMO_MAX}"
        )
    for flag, price in (("--feed-in", feed_in), ("--retail", retail)):
        if not 0 <= price <= PRICE_MAX:
            raise build_usage_error(f"{flag} {price}: between 0 and {PRICE_MAX} micro-currency per kWh")
    if home is not None and home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise build_usage_error(f"--home {home}: exists and is not empty; name a new directory")
    is_packaged = data is None
    return DemoOptions(
        data=find_packaged(PACKAGED_READINGS) if data is None else data,
        is_packaged=is_packaged,
        context=find_packaged(PACKAGED_CONTEXT) if is_packaged and context is None else context,
        day=day,
        homes=homes,
        validators=validators,
        feed_in=feed_in,
        retail=retail,
        kill_primary=kill_primary,
        tem=tem,
        as_json=as_json,
        home=home,
        keep=keep,
    )


def find_packaged(name: str) -> Path:
    """Return the path of a file of this package."""
    return Path(str(resources.files("cli.demo").joinpath(name)))
