"""The command line: which commands there are, and how each of them ends.

Nothing heavy is imported here: a command loads what it needs when it runs.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    agreement,
    backup,
    bench,
    collect,
    events,
    export,
    inspection,
    logs,
    meters,
    network,
    observers,
    reset,
    rounds,
    settings,
    snapshots,
    submit,
    systemd,
    tariff,
    tokens,
    transactions,
    validators,
    wallet,
)
from cli.balance import balance
from cli.bill import bill
from cli.console import talk
from cli.demo.command import demo
from cli.doctor import doctor
from cli.failure import CliError, ExitCode
from cli.monitoring import command as monitoring
from cli.options import HOME_VARIABLE, GlobalFlags
from cli.peers import peers
from cli.recover import recover
from cli.simulate import command as simulate
from cli.start import start
from cli.status import status
from cli.verify import verify

app = typer.Typer(
    name="gridbft",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A permissioned PBFT blockchain node for energy communities.",
)
app.command()(demo)
app.add_typer(simulate.app, name="simulate")
app.add_typer(network.app, name="network")
app.command()(start)
app.command()(recover)
app.command()(doctor)
app.add_typer(inspection.app, name="inspect")
app.add_typer(export.app, name="export")
app.add_typer(reset.app, name="reset")
app.add_typer(snapshots.app, name="snapshot")
app.command()(status)
app.command()(peers)
app.add_typer(agreement.app, name="consensus")
app.add_typer(monitoring.app, name="metrics")
app.add_typer(systemd.app, name="systemd")
app.add_typer(validators.app, name="validators")
app.add_typer(observers.app, name="observers")
app.add_typer(wallet.app, name="wallet")
app.add_typer(backup.app, name="keys")
app.add_typer(meters.app, name="meter")
app.add_typer(tariff.app, name="tariff")
app.add_typer(rounds.app, name="round")
app.add_typer(events.app, name="event")
app.add_typer(submit.app, name="submit")
app.add_typer(collect.app, name="collect")
app.add_typer(transactions.app, name="tx")
app.command()(balance)
app.command()(bill)
app.command()(verify)
app.add_typer(settings.app, name="config")
app.add_typer(logs.app, name="logs")
app.add_typer(tokens.app, name="tokens")
app.add_typer(bench.app, name="bench")

INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""


@app.callback()
def begin(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="DIR", help=f"Home directory. (environment: {HOME_VARIABLE})"),
    ] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="URL", help="The validator to ask.")] = None,
) -> None:
    """Take the flags that stand before the command."""
    context.obj = GlobalFlags(home, node)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every expected end is one line on standard error."""
    command = typer.main.get_command(app)
    try:
        result = command.main(list(arguments), prog_name="gridbft", standalone_mode=False)
    except CliError as error:
        talk(f"gridbft: {error}")
        return int(error.code)
    except typer.TyperException as error:
        return _report_usage(error)
    except typer.Abort:
        talk("gridbft: stopped; nothing more was done")
        return INTERRUPTED
    except OSError as error:
        talk(f"gridbft: {error.filename or 'the system'}: {error.strerror or error}")
        return int(ExitCode.ERROR)
    return result if isinstance(result, int) else int(ExitCode.OK)


def main() -> None:
    """Run the command of this process's arguments and exit."""
    _open_closed_streams()
    sys.exit(run(sys.argv[1:]))


def _report_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = "gridbft" if context is None else context.command_path
    message = " ".join(error.format_message().split())
    if message:
        talk(f"gridbft: {message} (see `{command} --help`)")
    return error.exit_code


def _open_closed_streams() -> None:
    """Let output that the shell closed (`>&-`) go nowhere, and never into a file that is opened later."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
