"""`gridbft reset`: let go of a stopped home's data or what it knows of peers; the sign-state stays."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, find_home

if TYPE_CHECKING:
    from node.home import Constitution
    from node.reset import ResetKind, ResetPlan

app = typer.Typer(no_args_is_help=True, help="Let go of what others can give back; what was signed stays.")

NAME_CHARACTERS_MAX = 200
"""Of a typed line that are read; a network's name has at most 32."""

AFTER_DATA = """\
Start it now: gridbft start. It fetches the chain from its peers and votes for nothing that its journal contradicts."""
AFTER_PEERS = """\
Scores and bans are in memory only: a restart has forgotten them. Addresses are in config.toml ([[peers]]) and in the
ledger."""
AFTER_EVERYTHING = """\
What this validator has signed is forgotten here. When it starts it asks the others what they hold of it, and stays
silent where they know more. If only this one was reset, `gridbft recover` before its next start is safer still."""

ConfirmOption = Annotated[
    str | None,
    typer.Option("--confirm", metavar="NAME", help="The network's name, for scripts; else it must be typed."),
]


@app.callback()
def begin() -> None:
    """Say that there are several commands."""


@app.command()
def data(home: HomeOption = None, confirm: ConfirmOption = None) -> None:
    """Delete the chain and its state, which the peers give back; the journal, the keys and the settings stay."""
    from node.reset import ResetKind

    if _reset(find_home(home), ResetKind.DATA, confirm):
        talk(AFTER_DATA)


@app.command()
def peers(home: HomeOption = None, confirm: ConfirmOption = None) -> None:
    """Delete what the home remembers of former validators (handovers.bin), once the chain holds it too."""
    from node.reset import ResetKind

    _reset(find_home(home), ResetKind.PEERS, confirm)
    talk(AFTER_PEERS)


@app.command(name="unsafe-all")
def unsafe_all(home: HomeOption = None, confirm: ConfirmOption = None) -> None:
    """Delete all data, the journal too: only where the whole network begins anew; the keys and the settings stay."""
    from node.reset import ResetKind

    if _reset(find_home(home), ResetKind.EVERYTHING, confirm):
        talk(AFTER_EVERYTHING)


def _reset(home: Path, kind: "ResetKind", confirm: str | None) -> bool:
    """Announce, ask, do; tell whether there was something to do."""
    from node.errors import NodeError
    from node.home import load_constitution
    from node.reset import plan_reset, reset

    try:
        constitution = load_constitution(home)
        plan = plan_reset(home, constitution, kind)
        if not plan.removed:
            talk(f"{home}: nothing to remove; it was reset before, or never held any")
            return False
        _announce(home, plan)
        _check_confirmed(constitution, confirm)
        reset(home, plan)
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
    talk(f"{home}: done")
    return True


def _announce(home: Path, plan: "ResetPlan") -> None:
    from node.home import JOURNAL_NAME

    for removal in plan.removed:
        talk(f"removes {home / removal.name} ({removal.size:,} bytes)")
    for name in plan.kept:
        why = ": what this validator has signed" if name == f"data/{JOURNAL_NAME}" else ""
        talk(f"keeps   {home / name}{why}")


def _check_confirmed(constitution: "Constitution", confirm: str | None) -> None:
    name = constitution.genesis.name
    if confirm is None:
        if sys.stdin is None or not sys.stdin.isatty():
            raise build_usage_error(f"nothing was done: pass --confirm {name}, or use a terminal and type it")
        print(f"Type the network's name ({name}) to go on: ", end="", file=sys.stderr, flush=True)
        confirm = sys.stdin.readline(NAME_CHARACTERS_MAX).strip()
    if confirm != name:
        raise build_usage_error(f"nothing was done: {confirm!r} is not the name of this network, {name}")
