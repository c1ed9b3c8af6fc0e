"""`gridbft status`: who answers, where each validator stands, and why the network is not committing."""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, find_home
from primitives.text import to_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from cli.client_settings import ClientHome
    from cli.diagnosis import Answers, Diagnosis
    from meter.answers import StatusAnswer
    from vm.genesis import Genesis

WATCH_PERIOD_S = 2.0
"""A person sees a view change at its second attempt; a validator answers in a millisecond."""
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def status(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 4 unless everything is well.")] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Only ask the node of HOME over its admin socket whether it lives; 4 if not.",
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Ask again every 2 s until Ctrl-C.")] = False,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the validators stand and, when they are not committing, why."""
    from cli.client_settings import open_client_home

    if live and (check or watch or node):
        raise build_usage_error(
            "--live asks the process of HOME alone: give it without --check, --watch and --node"
        )
    if check and watch:
        raise build_usage_error("--check ends with a code and --watch does not end: give one of them")
    if live:
        _check_live(find_home(home), as_json=as_json)
        return
    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    diagnosis = _tell(client_home, genesis, as_json=as_json, is_watching=watch)
    while watch:
        time.sleep(WATCH_PERIOD_S)
        _tell(client_home, genesis, as_json=as_json, is_watching=watch)
    if check and diagnosis.lines:
        raise CliError(f"unhealthy: {diagnosis.lines[0]}", ExitCode.UNHEALTHY)


def _check_live(home: "Path", *, as_json: bool) -> None:
    """Ask the node of a home itself, as a container's health check does: no network, no other validator.

    Raises:
        CliError: unhealthy; nobody answers, or the disk does not write.

    """
    from cli.admin import ask_admin

    try:
        ask_admin(home, "GET", "/livez")
    except CliError as error:
        raise CliError(f"not live: {error}", ExitCode.UNHEALTHY) from None
    if as_json:
        print_json({"live": True})
    else:
        talk("it lives")


def _tell(home: "ClientHome", genesis: "Genesis", *, as_json: bool, is_watching: bool) -> "Diagnosis":
    """Ask all validators once and say what they answer."""
    from cli.diagnosis import diagnose
    from cli.session import ask_validators

    answers = ask_validators(home, lambda client: client.get_statuses())
    diagnosis = diagnose(answers, home.names, genesis.consensus.drift_ms)
    if as_json:
        print_json(_describe(genesis, answers, diagnosis))
        return diagnosis
    if is_watching:
        if sys.stdout.isatty():  # not before all have answered: what is old is better than nothing to look at
            print_line(CLEAR_SCREEN)
        print_line(datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))
    _print(genesis, answers, diagnosis)
    return diagnosis


def _describe(genesis: "Genesis", answers: "Answers", diagnosis: "Diagnosis") -> dict[str, object]:
    validators = []
    for url, answer in answers.items():
        if isinstance(answer, str):
            validators.append({"url": url, "error": answer})
        else:
            validators.append({"url": url, **msgspec.to_builtins(answer)})
    return {
        "network": genesis.name,
        "genesis_hash": genesis.compute_hash().hex(),
        "healthy": not diagnosis.lines,
        "committing": diagnosis.verdict is None,
        "problems": list(diagnosis.lines),
        "validators": validators,
    }


def _print(genesis: "Genesis", answers: "Answers", diagnosis: "Diagnosis") -> None:
    told = [answer for answer in answers.values() if not isinstance(answer, str)]
    print_line(f"{genesis.name}: {len(told)} of {len(answers)} validators answer")
    if told:
        build_console().print(build_table(told))
    for line in diagnosis.lines:
        talk(line)
    if not diagnosis.lines:
        talk("all is well")


def build_table(told: "Sequence[StatusAnswer]") -> "Table":
    """Return the validators side by side; what one says cannot write on the terminal."""
    from rich.markup import escape
    from rich.table import Table

    from cli.diagnosis import is_connected

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("validator", "phase", "block", "certified", "view", "primary", "links", "waiting tx"):
        table.add_column(heading)
    for answer in told:
        links = f"{sum(is_connected(peer) for peer in answer.peers)}/{len(answer.peers)}"
        cells = (
            answer.name if answer.role == "validator" else f"{answer.name} ({answer.role})",
            answer.phase.replace("_", " "),
            str(answer.height),
            str(answer.certified_height),
            str(answer.view) if answer.primary else "-",
            answer.primary or "-",
            links,
            str(answer.mempool),
        )
        table.add_row(*(escape(to_line(cell)) for cell in cells))
    return table
