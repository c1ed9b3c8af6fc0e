"""What a simulation is asked to do, and which requests are refused before anything starts."""

from dataclasses import dataclass
from pathlib import Path

from cli.demo.options import PACKAGED_CONTEXT, PACKAGED_READINGS, find_packaged
from cli.failure import build_usage_error
from vm.contracts.energy.coordination.calls import Form
from vm.genesis import PRICE_MAX

RHO_DEFAULT = {Form.BILATERAL: 0.5, Form.EXCHANGE: 0.1}
"""Currency per kWh²: the bilateral one is that of the reference runs."""
TOLERANCE_DEFAULT = {Form.BILATERAL: 5e-4, Form.EXCHANGE: 1e-3}
"""kWh, root mean square."""
RHO_UNIT = 1000
"""ρ in the contract is micro-currency per kWh and Wh: a thousandth of a currency unit per kWh²."""
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
    spec: Path | None
    only: tuple[str, ...]
    count: int | None
    forecast: str
    workers: int
    scheduler: str | None
    as_json: bool
    output: Path | None


def build_options(
    *,
    homes: Path | None,
    context: Path | None,
    day: int,
    days: int,
    form: str,
    rho: float | None,
    tolerance: float | None,
    iterations_max: int,
    balancing: int,
    feed_in: int,
    retail: int,
    fee: int,
    penalty: int,
    spec: Path | None,
    only: str | None,
    count: int | None,
    forecast: str,
    workers: int,
    scheduler: str | None,
    as_json: bool,
    output: Path | None,
) -> SimulationOptions:
    """Return the checked options; without ``homes`` it is the packaged week with its prices.

    Raises:
        CliError: usage; the line names the flag and what it may be.

    """
    if form.upper() not in Form.__members__:
        raise build_usage_error(f"--form {form}: bilateral or exchange")
    chosen = Form[form.upper()]
    _check_range("--day", day, 0, DAYS_MAX)
    _check_range("--days", days, 1, DAYS_MAX)
    _check_range("--iterations", iterations_max, 1, 1000)
    _check_range("--workers", workers, 1, WORKERS_MAX)
    if balancing != 0:
        _check_range("--balancing", balancing, 2, 1000)
    for flag, price in (("--feed-in", feed_in), ("--retail", retail), ("--fee", fee), ("--penalty", penalty)):
        _check_range(flag, price, 0, PRICE_MAX)
    if count is not None:
        _check_range("--count", count, 2, HOMES_MAX)
    names = tuple(name.strip() for name in only.split(",")) if only else ()
    if names and count is not None:
        raise build_usage_error("--only and --count: choose homes by name or make so many of them, not both")
    if output is not None and not output.parent.is_dir():
        raise build_usage_error(f"-o {output}: the directory {output.parent} does not exist")
    is_packaged = homes is None
    return SimulationOptions(
        homes=find_packaged(PACKAGED_READINGS) if homes is None else homes,
        context=find_packaged(PACKAGED_CONTEXT) if is_packaged and context is None else context,
        is_packaged=is_packaged,
        day=day,
        days=days,
        form=chosen,
        rho=_scale("--rho", RHO_DEFAULT[chosen] if rho is None else rho, RHO_UNIT, 10**6),
        tolerance_mwh=_scale(
            "--tolerance", TOLERANCE_DEFAULT[chosen] if tolerance is None else tolerance, MWH_PER_KWH, 10**6
        ),
        iterations_max=iterations_max,
        balancing=balancing,
        feed_in=feed_in,
        retail=retail,
        fee=fee,
        penalty=penalty,
        spec=spec,
        only=names,
        count=count,
        forecast=forecast,
        workers=workers,
        scheduler=scheduler,
        as_json=as_json,
        output=output,
    )


def _check_range(flag: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise build_usage_error(f"{flag} {value}: between {low} and {high}")


def _scale(flag: str, value: float, unit: int, most: int) -> int:
    """Return a value in the contract's unit."""
    if not unit * value <= most or round(value * unit) < 1:
        raise build_usage_error(f"{flag} {value}: between {1 / unit} and {most / unit}")
    return round(value * unit)
