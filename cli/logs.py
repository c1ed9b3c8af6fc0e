"""`gridbft logs`: what a running node writes to its log, changed while it runs."""

from collections.abc import Mapping
from typing import Annotated

import typer

from cli.admin import ask_admin
from cli.console import print_json, print_line, talk
from cli.failure import build_usage_error
from cli.options import HomeOption, JsonOption, find_home

app = typer.Typer(no_args_is_help=True, help="What a running node writes to its log.")

LEVEL_ROUTE = "/logs/level"


@app.callback()
def begin() -> None:
    """Say that there may be several commands."""


@app.command()
def level(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LEVEL|COMPONENT=LEVEL]...",
            help="debug, info, warning or error; for all, or for one component. Without: show the levels.",
            show_default=False,
        ),
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the levels of the node that runs in HOME, or change them until it stops; config.toml stays as it is."""
    from node.logs import COMPONENTS, LEVELS

    directory = find_home(home)
    bodies = [parse_change(each, COMPONENTS, LEVELS) for each in changes or []]
    told = ask_admin(directory, "GET", LEVEL_ROUTE)
    for body in bodies:
        talk(f"{body.get('component') or 'everything'}: {body['level']} from now on, until the node stops")
        told = ask_admin(directory, "POST", LEVEL_ROUTE, body)
    if as_json:
        print_json(told)
        return
    width = max(map(len, told), default=0)
    for component, name in told.items():
        print_line(f"{component:{width}}  {name}")


def parse_change(text: str, components: tuple[str, ...], levels: tuple[str, ...]) -> Mapping[str, object]:
    """Return what to ask of the node; a level alone is for all components.

    Raises:
        CliError: usage; no such component or level.

    """
    component, is_one, name = text.rpartition("=")
    if name not in levels:
        raise build_usage_error(f"{name!r} is no level; there are {', '.join(levels)}")
    if not is_one:
        return {"level": name}
    if component not in components:
        raise build_usage_error(f"{component!r} is no component; there are {', '.join(components)}")
    return {"level": name, "component": component}
