"""`gridbft demo`: the flags, and the order of what happens."""

from pathlib import Path
from typing import Annotated

import typer

from cli.demo.options import (
    FEED_IN_DEFAULT,
    HOMES_DEFAULT,
    HOMES_MAX,
    RETAIL_DEFAULT,
    VALIDATORS_DEFAULT,
    build_options,
)

PRICE_METAVAR = "µ/kWh"


def demo(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Registers of homes by slot (CSV). (default: a measured week of ten homes)",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Retail prices by slot (CSV). (default: those of that week)",
            show_default=False,
        ),
    ] = None,
    day: Annotated[int, typer.Option(metavar="N", help="The N-th 24 hours of the file, from 0.")] = 0,
    homes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"The first N homes by name, 1 to {HOMES_MAX}. (default: {HOMES_DEFAULT}, or all if fewer)",
            show_default=False,
        ),
    ] = None,
    validators: Annotated[int, typer.Option(metavar="N", help="Validator processes.")] = VALIDATORS_DEFAULT,
    feed_in: Annotated[
        int, typer.Option("--feed-in", metavar=PRICE_METAVAR, help="What the grid pays.")
    ] = FEED_IN_DEFAULT,
    retail: Annotated[
        int, typer.Option("--retail", metavar=PRICE_METAVAR, help="What the grid asks where no file says so.")
    ] = RETAIL_DEFAULT,
    kill_primary: Annotated[
        bool,
        typer.Option("--kill-primary/--no-kill-primary", help="Kill the primary in the middle of the day."),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="The result as one JSON object on the last line.")
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", metavar="DIR", help="Where the network lives. (default: temporary)", show_default=False
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the network there, ready to be started again.")
    ] = False,
) -> None:
    """Run a whole energy community for a day: validators, meters, trade, a crash, and the checks."""
    options = build_options(
        data=data,
        context=context,
        day=day,
        homes=homes,
        validators=validators,
        feed_in=feed_in,
        retail=retail,
        kill_primary=kill_primary,
        as_json=as_json,
        home=home,
        keep=keep,
    )
    from cli.demo.day import plan_day

    plan = plan_day(options)
    from cli.demo.run import run_demo

    raise typer.Exit(run_demo(options, plan))
