"""`gridbft inspect`: what is on the disk of a validator that does not run."""

import typer

from cli.console import print_json, print_line
from cli.failure import CliError, ExitCode
from cli.options import HomeOption, JsonOption, find_home

app = typer.Typer(no_args_is_help=True, help="What is on the disk of a validator that does not run.")


@app.callback()
def begin() -> None:
    """Say that there may be several commands."""


@app.command()
def integrity(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check every block, receipt, certificate and state value, and the journal; change nothing."""
    from dataclasses import asdict

    from node.errors import NodeError
    from node.home import load_constitution
    from node.inspection import inspect_home

    directory = find_home(home)
    try:
        found = inspect_home(directory, load_constitution(directory))
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
    if as_json:
        print_json(asdict(found))
        return
    print_line(f"blocks {found.lowest} to {found.height}, certified up to {found.certified}: whole")
    print_line(f"journal of {found.journal_records} records: whole, and of this chain")
    if found.signed > found.height:
        print_line(f"blocks up to {found.signed} were signed and lost: the next start fetches them again")
