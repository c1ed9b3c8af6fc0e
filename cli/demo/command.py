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


DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Registers of homes by slot (CSV). (default: a measured week of ten homes)",
        show_default=False,
    ),
]
ContextOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Retail prices by slot (CSV). (default: those of that week)", show_default=False
    ),
]
DayOption = Annotated[int, typer.Option(metavar="N", help="The N-th 24 hours of the file, from 0.")]
HomesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help=f"The first N homes by name, 1 to {HOMES_MAX}. (default: {HOMES_DEFAULT}, or all if fewer)",
        show_default=False,
    ),
]
ValidatorsOption = Annotated[int, typer.Option(metavar="N", help="Validator processes.")]
FeedInOption = Annotated[int, typer.Option("--feed-in", metavar=PRICE_METAVAR, help="What the grid pays.")]
RetailOption = Annotated[
    int, typer.Option("--retail", metavar=PRICE_METAVAR, help="What the grid asks where no file says so.")
]
KillOption = Annotated[
    bool, typer.Option("--kill-primary/--no-kill-primary", help="Kill the primary in the middle of the day.")
]
TemOption = Annotated[
    bool, typer.Option("--tem", help="The homes agree on the day's trades before it begins.")
]
ResultOption = Annotated[bool, typer.Option("--json", help="The result as one JSON object on the last line.")]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="Where the network lives. (default: temporary)", show_default=False
    ),
]
KeepOption = Annotated[
    bool, typer.Option("--keep", help="Leave the network there, ready to be started again.")
]


def demo(
    *,
    data: DataOption = None,
    context: ContextOption = None,
    day: DayOption = 0,
    homes: HomesOption = None,
    validators: ValidatorsOption = VALIDATORS_DEFAULT,
    feed_in: FeedInOption = FEED_IN_DEFAULT,
    retail: RetailOption = RETAIL_DEFAULT,
    kill_primary: KillOption = True,
    tem: TemOption = False,
    as_json: ResultOption = False,
    home: DirectoryOption = None,
    keep: KeepOption = False,
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
        tem=tem,
        as_json=as_json,
        home=home,
        keep=keep,
    )
    from cli.demo.day import plan_day

    plan = plan_day(options)
    from cli.demo.run import run_demo

    raise typer.Exit(run_demo(options, plan))
