"""`gridbft simulate`: a community in one process, with the contracts of the chain and no network."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode
from cli.options import JsonOption
from cli.simulate.settings import (
    FEED_IN_DEFAULT,
    ITERATIONS_DEFAULT,
    RETAIL_DEFAULT,
)

app = typer.Typer(no_args_is_help=True, help="Communities in one process: the contracts without the network.")
PRICE_METAVAR = "µ/kWh"


@app.callback()
def begin() -> None:
    """Let the subcommands stand under their own names."""


HomesOption = Annotated[
    Path | None,
    typer.Option(
        "--homes",
        metavar="FILE",
        help="Load and sun of homes by slot (CSV). (default: a measured week of ten homes)",
        show_default=False,
    ),
]
ContextOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Retail prices and weather by slot (CSV). (default: those of that week)",
        show_default=False,
    ),
]
DayOption = Annotated[int, typer.Option(metavar="N", help="The N-th day of the file, from 0.")]
DaysOption = Annotated[int, typer.Option(metavar="N", help="So many days, each with a round of its own.")]
FormOption = Annotated[str, typer.Option(metavar="FORM", help="bilateral or exchange.")]
RhoOption = Annotated[
    float | None,
    typer.Option(
        metavar="R", help="ρ in currency per kWh². (default: 0.5; exchange: 0.1)", show_default=False
    ),
]
ToleranceOption = Annotated[
    float | None,
    typer.Option(
        metavar="T", help="Stop below T kWh. (default: 0.0005; exchange: 0.001)", show_default=False
    ),
]
IterationsOption = Annotated[int, typer.Option(metavar="N", help="Stop after so many.")]
BalancingOption = Annotated[
    int, typer.Option(metavar="N", help="Double or halve ρ when residuals differ N-fold; 0: never.")
]
SpecOption = Annotated[
    Path | None,
    typer.Option(
        metavar="TOML",
        help="What the homes have: a file with [home.NAME] and [default], or a folder of NAME.toml. "
        "(default: those of the reference runs)",
        show_default=False,
    ),
]
OnlyOption = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="These homes only.", show_default=False)
]
CountOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="So many homes, made of those of the file.", show_default=False),
]
ForecastOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What homes expect: file (the day itself), persistence, weekday."),
]
FeedInOption = Annotated[int, typer.Option("--feed-in", metavar=PRICE_METAVAR, help="What the grid pays.")]
RetailOption = Annotated[
    int, typer.Option("--retail", metavar=PRICE_METAVAR, help="What the grid asks where no file says so.")
]
FeeOption = Annotated[int, typer.Option(metavar=PRICE_METAVAR, help="What each side of a trade pays.")]
PenaltyOption = Annotated[
    int, typer.Option(metavar=PRICE_METAVAR, help="What a seller pays for what it does not deliver.")
]
PreferenceOption = Annotated[
    int,
    typer.Option(
        metavar=PRICE_METAVAR, help="What the least preferred partner costs in a plan; preferred by demand."
    ),
]
WorkersOption = Annotated[int, typer.Option(metavar="N", help="Processes that work for the homes.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler whose workers do.", show_default=False),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write a report (HTML).", show_default=False),
]


@app.command("tem")
def tem(
    *,
    homes: HomesOption = None,
    context: ContextOption = None,
    day: DayOption = 0,
    days: DaysOption = 1,
    form: FormOption = "bilateral",
    rho: RhoOption = None,
    tolerance: ToleranceOption = None,
    iterations: IterationsOption = ITERATIONS_DEFAULT,
    balancing: BalancingOption = 0,
    spec: SpecOption = None,
    only: OnlyOption = None,
    count: CountOption = None,
    forecast: ForecastOption = "file",
    feed_in: FeedInOption = FEED_IN_DEFAULT,
    retail: RetailOption = RETAIL_DEFAULT,
    fee: FeeOption = 0,
    penalty: PenaltyOption = 0,
    preference: PreferenceOption = 0,
    workers: WorkersOption = 1,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Let homes agree on a day's trades by rounds of vectors, meter the day and settle it."""
    from cli.simulate.options import RunFlags, SourceFlags, TermFlags, build_options

    source = SourceFlags(homes, context, day, days, only, count, spec, forecast)
    terms = TermFlags(form, rho, tolerance, iterations, balancing, fee, penalty, feed_in, retail, preference)
    options = build_options(source, terms, RunFlags(workers, scheduler, as_json, output))
    try:
        from cli.simulate.run import run_simulation
    except ImportError as error:
        name = error.name or "a library"
        raise CliError(f"{name} is not installed: install gridbft[tem]", ExitCode.ERROR) from None
    found = run_simulation(options)
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.build_lines():
            print_line(line)
    if output is not None:
        talk(f"the report is in {output}")
