"""`gridbft tokens`: who may read from a node what concerns one home, from elsewhere than its own machine."""

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.moments import format_moment
from cli.options import HomeOption, JsonOption, find_home

app = typer.Typer(no_args_is_help=True, help="Who may read from a node what concerns one home.")

T = TypeVar("T")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The reader: a gateway, a household.")]


@app.command()
def add(name: NameArgument, home: HomeOption = None) -> None:
    """Make a token for a reader of the node in HOME, and print it: it is told nowhere else, the node keeps a hash."""
    from node.api.tokens import add_token
    from vm.genesis import is_name_sound

    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name: 1 to 32 letters, digits, dots, dashes, underscores")
    directory = find_home(home)
    if not directory.is_dir():
        raise CliError(f"{directory}: no such directory; name the node's home", ExitCode.USAGE)
    token = _call(lambda: add_token(directory, name, time.time_ns() // 1_000_000))
    talk(
        f"{name} puts the line below into HOME/api.token of its own home, mode 0600; the node needs no restart"
    )
    print_line(token)


@app.command(name="list")
def list_readers(home: HomeOption = None, *, as_json: JsonOption = False) -> None:
    """List the readers that have a token of the node in HOME."""
    from node.api.tokens import read_tokens

    found = _call(lambda: read_tokens(find_home(home)))
    if as_json:
        print_json([{"name": each.name, "made_ms": each.made_ms} for each in found])
        return
    if not found:
        talk("no tokens: only this machine reads what concerns one home, unless api.private_reads is open")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        print_line(f"{each.name:{width}}  since {format_moment(each.made_ms // 1000)}")


@app.command()
def revoke(name: NameArgument, home: HomeOption = None) -> None:
    """Forget the token of a reader of the node in HOME, at once."""
    from node.api.tokens import revoke_token

    if not _call(lambda: revoke_token(find_home(home), name)):
        raise CliError(f"{name} has no token here", ExitCode.NOT_FOUND)
    talk(f"the token of {name} is worth nothing any more")


def _call(work: Callable[[], T]) -> T:
    """Return what ``work`` returns; what the home refuses ends the command.

    Raises:
        CliError: the home cannot do it.

    """
    from node.errors import HomeError

    try:
        return work()
    except HomeError as error:
        raise CliError(str(error)) from None
