"""`gridbft config`: which settings a node runs with, and where each of them comes from."""

import os
import tomllib
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from cli.console import print_json, print_line
from cli.failure import build_usage_error
from cli.options import HomeOption, JsonOption, find_home

app = typer.Typer(no_args_is_help=True, help="Settings of a node.")


@app.callback()
def group() -> None:
    """Keep `show` a command of its own."""


@app.command()
def show(
    *,
    source: Annotated[bool, typer.Option("--source", help="Say where each setting comes from.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting of the node in HOME as it would start now."""
    from node.config import CONFIG_NAME, ConfigError, load_config

    directory = find_home(home)
    try:
        config = load_config(directory, os.environ)
        table = tomllib.loads((directory / CONFIG_NAME).read_text(encoding="utf-8"))
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    settings = _flatten(msgspec.to_builtins(config))
    sources = {key: find_source(key, table, os.environ) for key in settings}
    if as_json:
        print_json(
            {
                key: {"value": value, "source": sources[key]} if source else value
                for key, value in settings.items()
            }
        )
        return
    for key, value in settings.items():
        shown = msgspec.json.encode(value).decode()
        print_line(f"{key} = {shown}" + (f"  # {sources[key]}" if source else ""))


def find_source(key: str, table: Mapping[str, object], environment: Mapping[str, str]) -> str:
    """Return where a setting comes from: the environment's variable, the file, or the default."""
    from node.config import CONFIG_NAME, ENVIRONMENT_SETTINGS

    path = tuple(key.split("."))
    for variable, target in ENVIRONMENT_SETTINGS.items():
        if target == path and variable in environment:
            return f"environment {variable}"
    found: object = table
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return "default"
        found = found[name]
    return f"file {CONFIG_NAME}"


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    settings: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            settings |= _flatten(value, f"{prefix}{name}.")
        else:
            settings[f"{prefix}{name}"] = value
    return settings
