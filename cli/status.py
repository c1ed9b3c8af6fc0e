"""`gridbft status`: who answers, where each validator stands, and why the network is not committing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode
from cli.options import HomeOption, JsonOption, NodeOption, find_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meter.answers import StatusAnswer
    from vm.genesis import Genesis

LAG_BLOCKS_MAX = 2
"""A validator that is further behind than this does not follow (the same bound as /readyz)."""
FOLLOWING_PHASES = frozenset({"normal", "view_change"})
"""A view change is agreement at work; it is told by ``waiting`` when it takes long."""


@dataclass(frozen=True)
class NetworkView:
    """What all asked validators say together. ``problems`` are plain sentences; none means healthy."""

    genesis: "Genesis"
    answers: "Mapping[str, StatusAnswer | str]"
    problems: tuple[str, ...]


def status(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 4 unless everything is well.")] = False,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the validators stand and, when they are not committing, why."""
    from cli.client_settings import open_client_home
    from cli.session import ask_validators

    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    answers = ask_validators(client_home, lambda client: client.get_statuses())
    view = NetworkView(genesis, answers, find_problems(answers))
    if as_json:
        print_json(_describe(view))
    else:
        _print(view)
    if check and view.problems:
        raise CliError(f"unhealthy: {view.problems[0]}", ExitCode.UNHEALTHY)


def find_problems(answers: "Mapping[str, StatusAnswer | str]") -> tuple[str, ...]:
    """Return what is not well, the gravest first: nobody commits, validators that are gone, behind or alone."""
    told = {url: answer for url, answer in answers.items() if not isinstance(answer, str)}
    newest = max((answer.certified_height for answer in told.values()), default=0)
    problems = [
        f"not committing: {answer.waiting}" for answer in told.values() if answer.waiting is not None
    ][:1]
    problems += [
        f"{url} does not answer: {answer}" for url, answer in answers.items() if isinstance(answer, str)
    ]
    for answer in told.values():
        if answer.phase not in FOLLOWING_PHASES:
            problems.append(f"{answer.name} is {answer.phase.replace('_', ' ')} at block {answer.height}")
        elif answer.certified_height + LAG_BLOCKS_MAX < newest:
            problems.append(f"{answer.name} is {newest - answer.certified_height} blocks behind")
        missing = [str(peer.get("name")) for peer in answer.peers if not is_connected(peer)]
        if missing:
            problems.append(f"{answer.name} has no link to {', '.join(missing)}")
    return tuple(problems)


def is_connected(peer: "Mapping[str, object]") -> bool:
    """Tell whether a validator says that its link to a peer is up."""
    return bool(peer.get("connected"))


def _describe(view: NetworkView) -> dict[str, object]:
    validators = []
    for url, answer in view.answers.items():
        if isinstance(answer, str):
            validators.append({"url": url, "error": answer})
        else:
            validators.append({"url": url, **msgspec.to_builtins(answer)})
    return {
        "network": view.genesis.name,
        "genesis_hash": view.genesis.compute_hash().hex(),
        "healthy": not view.problems,
        "problems": list(view.problems),
        "validators": validators,
    }


def _print(view: NetworkView) -> None:
    from rich.table import Table

    told = [answer for answer in view.answers.values() if not isinstance(answer, str)]
    print_line(f"{view.genesis.name}: {len(told)} of {len(view.answers)} validators answer")
    if told:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for heading in ("validator", "phase", "block", "certified", "view", "primary", "links", "waiting tx"):
            table.add_column(heading)
        for answer in told:
            links = f"{sum(is_connected(peer) for peer in answer.peers)}/{len(answer.peers)}"
            table.add_row(
                answer.name,
                answer.phase.replace("_", " "),
                str(answer.height),
                str(answer.certified_height),
                str(answer.view),
                answer.primary,
                links,
                str(answer.mempool),
            )
        build_console().print(table)
    for problem in view.problems:
        talk(problem)
    if not view.problems:
        talk("all is well")
