"""What a simulation is asked to do, and which requests are refused before anything starts."""

from dataclasses import dataclass
from pathlib import Path

from cli.demo.options import PACKAGED_CONTEXT, PACKAGED_READINGS, find_packaged
from cli.failure import build_usage_error
from cli.simulate.settings import FEED_IN_DEFAULT, ITERATIONS_DEFAULT, RETAIL_DEFAULT
from vm.contracts.energy.coordination.calls import Form, Preference
from vm.contracts.energy.coordination.rounds import (
    BALANCING_MAX,
    ITERATIONS_MAX,
    RHO_MAX,
    RHO_UNIT,
    TOLERANCE_MWH_MAX,
)
from vm.genesis import PRICE_MAX

RHO_DEFAULT = {Form.BILATERAL: 0.5, Form.EXCHANGE: 0.1}
"""Currency per kWh²: the bilateral one is that of the reference runs."""
TOLERANCE_DEFAULT = {Form.BILATERAL: 5e-4, Form.EXCHANGE: 1e-3}
"""kWh, root mean square."""
MWH_PER_KWH = 10**6
HOMES_MAX = 10_000
DAYS_MAX = 366
WORKERS_MAX = 64


@dataclass(frozen=True)
class SimulationOptions:
    """One simulation. ρ and the tolerance are in the contract's integers; ``count`` is None for the file's homes."""

    homes: Path
    context: Path | None
    is_packaged: bool
    day: int
    days: int
    form: Form
    rho: int
    tolerance_mwh: int
    iterations_max: int
    balancing: int
    feed_in: int
    retail: int
    fee: int
    penalty: int
    preference: Preference
    preference_price: int
    spec: Path | None
    only: tuple[str, ...]
    count: int | None
    forecast: str
    workers: int
    scheduler: str | None
    as_json: bool
    output: Path | None


@dataclass(frozen=True)
class SourceFlags:
    """Which homes, on which days, as they were typed."""

    homes: Path | None = None
    context: Path | None = None
    day: int = 0
    days: int = 1
    only: str | None = None
    count: int | None = None
    spec: Path | None = None
    forecast: str = "file"


@dataclass(frozen=True)
class TermFlags:
    """On which terms, as they were typed."""

    form: str = "bilateral"
    rho: float | None = None
    tolerance: float | None = None
    iterations: int = ITERATIONS_DEFAULT
    balancing: int = 0
    fee: int = 0
    penalty: int = 0
    feed_in: int = FEED_IN_DEFAULT
    retail: int = RETAIL_DEFAULT
    preference_price: int = 0


@dataclass(frozen=True)
class RunFlags:
    """Who works for the homes and what is told, as it was typed."""

    workers: int = 1
    scheduler: str | None = None
    as_json: bool = False
    output: Path | None = None


def build_options(source: SourceFlags, terms: TermFlags, run: RunFlags) -> SimulationOptions:
    """Return the checked options; without a file of homes it is the packaged week with its prices.

    Raises:
        CliError: usage; the line names the flag and what it may be.

    """
    if terms.form.upper() not in Form.__members__:
        raise build_usage_error(f"--form {terms.form}: bilateral or exchange")
    form = Form[terms.form.upper()]
    _check_numbers(source, terms, run)
    if terms.preference_price and form == Form.EXCHANGE:
        raise build_usage_error("--preference: an exchange has no partners to prefer; use --form bilateral")
    names = tuple(name.strip() for name in source.only.split(",")) if source.only else ()
    if names and source.count is not None:
        raise build_usage_error("--only and --count: choose homes by name or make so many of them, not both")
    if len(frozenset(names)) != len(names):
        raise build_usage_error("--only: a home is named twice")
    if run.output is not None and not run.output.parent.is_dir():
        raise build_usage_error(f"-o {run.output}: the directory {run.output.parent} does not exist")
    rho = RHO_DEFAULT[form] if terms.rho is None else terms.rho
    tolerance = TOLERANCE_DEFAULT[form] if terms.tolerance is None else terms.tolerance
    is_packaged = source.homes is None
    return SimulationOptions(
        homes=find_packaged(PACKAGED_READINGS) if source.homes is None else source.homes,
        context=find_packaged(PACKAGED_CONTEXT) if is_packaged and source.context is None else source.context,
        is_packaged=is_packaged,
        day=source.day,
        days=source.days,
        form=form,
        rho=_scale("--rho", rho, RHO_UNIT, RHO_MAX),
        tolerance_mwh=_scale("--tolerance", tolerance, MWH_PER_KWH, TOLERANCE_MWH_MAX),
        iterations_max=terms.iterations,
        balancing=terms.balancing,
        feed_in=terms.feed_in,
        retail=terms.retail,
        fee=terms.fee,
        penalty=terms.penalty,
        preference=Preference.DEMAND if terms.preference_price else Preference.NONE,
        preference_price=terms.preference_price,
        spec=source.spec,
        only=names,
        count=source.count,
        forecast=source.forecast,
        workers=run.workers,
        scheduler=run.scheduler,
        as_json=run.as_json,
        output=run.output,
    )


def _check_numbers(source: SourceFlags, terms: TermFlags, run: RunFlags) -> None:
    _check_range("--day", source.day, 0, DAYS_MAX)
    _check_range("--days", source.days, 1, DAYS_MAX)
    _check_range("--iterations", terms.iterations, 1, ITERATIONS_MAX)
    _check_range("--workers", run.workers, 1, WORKERS_MAX)
    if terms.balancing != 0:
        _check_range("--balancing", terms.balancing, 2, BALANCING_MAX)
    prices = {
        "--feed-in": terms.feed_in,
        "--retail": terms.retail,
        "--fee": terms.fee,
        "--penalty": terms.penalty,
        "--preference": terms.preference_price,
    }
    for flag, price in prices.items():
        _check_range(flag, price, 0, PRICE_MAX)
    if source.count is not None:
        _check_range("--count", source.count, 2, HOMES_MAX)


def _check_range(flag: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise build_usage_error(f"{flag} {value}: between {low} and {high}")


def _scale(flag: str, value: float, unit: int, most: int) -> int:
    """Return a value in the contract's unit."""
    if not unit * value <= most or round(value * unit) < 1:
        raise build_usage_error(f"{flag} {value}: between {1 / unit} and {most / unit}")
    return round(value * unit)
