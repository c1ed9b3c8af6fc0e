"""The flags that many commands share, each defined once; precedence is flag, environment, file, default."""

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.failure import build_usage_error
from node.ownership import give_all_to_owner, is_root

HOME_VARIABLE = "GRIDBFT_HOME"
NODE_VARIABLE = "GRIDBFT_NODE"
HOME_DEFAULT = Path("~/.gridbft")
ROLES = ("validator", "observer")


@dataclass(frozen=True)
class GlobalFlags:
    """What was said before the command: `gridbft --home DIR --node URL COMMAND`."""

    home: Path | None = None
    node: str | None = None


def _inherit_home(context: typer.Context, value: Path | None) -> Path | None:
    """Return the home that was named, and see to it that what the command makes there is its owner's when it ends."""
    flags = context.obj
    home = flags.home if value is None and isinstance(flags, GlobalFlags) else value
    if is_root():
        context.call_on_close(partial(_give_to_owner, find_home(home), time.time()))
    return home


def _give_to_owner(home: Path, since_s: float) -> None:
    if home.is_dir():
        give_all_to_owner(home, since_s)


def _inherit_node(context: typer.Context, value: str | None) -> str | None:
    flags = context.obj
    if value is None and isinstance(flags, GlobalFlags):
        value = flags.node
    return value or os.environ.get(NODE_VARIABLE) or None


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        callback=_inherit_home,
        help=f"Home directory. (environment: {HOME_VARIABLE}; default: {HOME_DEFAULT})",
        show_default=False,
    ),
]
NodeOption = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="URL",
        callback=_inherit_node,
        help=f"Ask this validator only, instead of those of client.toml. (environment: {NODE_VARIABLE})",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
SaveOption = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Keep it with its proof in a file that needs no validator any more; implies --verify.",
        show_default=False,
    ),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Read the passphrase from a file. (environment: GRIDBFT_PASSPHRASE; else it is asked for)",
        show_default=False,
    ),
]


def check_role(role: str) -> str:
    """Return the role of a node.

    Raises:
        CliError: usage; there is no such role.

    """
    if role not in ROLES:
        raise build_usage_error(f"--role: {role!r} is none; a node is a {' or an '.join(ROLES)}")
    return role


def find_home(home: Path | None) -> Path:
    """Return the home directory: the flag, else the environment, else the default."""
    if home is not None:
        return home
    from_environment = os.environ.get(HOME_VARIABLE)
    return Path(from_environment) if from_environment else HOME_DEFAULT.expanduser()
