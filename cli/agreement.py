"""`gridbft consensus`: where each validator stands in agreement, and its story in plain sentences."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError
from cli.options import HomeOption, JsonOption, NodeOption, find_home
from primitives.text import to_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from meter.answers import ConsensusAnswer, PositionAnswer

LINES_DEFAULT = 20
LINES_MAX = 200
"""A validator remembers so many lines."""
LINE_CHARACTERS_MAX = 1_000
"""Of a line of votes: the names of 80 validators, twice."""
HEADINGS = (
    "validator",
    "epoch",
    "view",
    "phase",
    "primary",
    "sequence",
    "window",
    "executed",
    "certified",
    "timers",
)

app = typer.Typer(no_args_is_help=True, help="Agreement: positions, votes, timers, and what they mean.")


@app.command()
def show(*, home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Show each validator's position, the votes it has seen, complaints, view changes and timers."""
    answers, unanswered = _ask(home, node)
    if as_json:
        print_json(_describe(answers))
        return
    told = [answer.position for answer in answers.values() if not isinstance(answer, str)]
    build_console().print(build_table(told))
    for position in told:
        for line in tell_votes(position):
            print_line(line)
    for line in unanswered:
        talk(line)


@app.command()
def explain(
    *,
    lines: Annotated[
        int,
        typer.Option("--lines", min=0, max=LINES_MAX, help="How many last lines of each transcript."),
    ] = LINES_DEFAULT,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell each validator's story: what it sees, why it commits nothing, what to do, and its last lines."""
    from cli.diagnosis import format_time

    answers, unanswered = _ask(home, node)
    if as_json:
        print_json(_describe(answers, lines))
        return
    for answer in answers.values():
        if isinstance(answer, str):
            continue
        print_line(f"{to_line(answer.position.name)}, {format_time(answer.clock_ms, 0)}")
        for sentence in answer.explanation.story:
            print_line(f"  {to_line(sentence)}")
        for told in answer.transcript[-lines:] if lines else []:
            times = f"  (x {told.times})" if told.times > 1 else ""
            print_line(f"    {format_time(told.time_ms, answer.clock_ms)}  {to_line(told.line)}{times}")
    for line in unanswered:
        talk(line)


def _ask(home: "Path | None", node: str | None) -> "tuple[Mapping[str, ConsensusAnswer | str], list[str]]":
    """Return what each validator answers, and a line for each that does not.

    Raises:
        CliError: none of them does.

    """
    from cli.client_settings import open_client_home
    from cli.diagnosis import find_unanswered
    from cli.session import ask_validators
    from meter.answers import ConsensusAnswer

    client_home = open_client_home(find_home(home), node)
    answers = ask_validators(client_home, lambda client: client.ask_each("/v1/consensus", ConsensusAnswer))
    if all(isinstance(answer, str) for answer in answers.values()):
        reasons = "; ".join(f"{url}: {answer}" for url, answer in answers.items())
        raise CliError(
            f"nobody told a position ({reasons}); nothing accepted is lost, and `gridbft status` says what to do"
        )
    return answers, find_unanswered(answers, client_home.names)


def _describe(answers: "Mapping[str, ConsensusAnswer | str]", lines: int = 0) -> dict[str, object]:
    validators: list[dict[str, object]] = []
    for url, answer in answers.items():
        if isinstance(answer, str):
            validators.append({"url": url, "error": answer})
            continue
        kept = msgspec.structs.replace(answer, transcript=answer.transcript[-lines:] if lines else [])
        validators.append({"url": url, **msgspec.to_builtins(kept)})
    return {"validators": validators}


def build_table(told: "Sequence[PositionAnswer]") -> "Table":
    """Return the positions side by side; what a validator says cannot write on the terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in HEADINGS:
        table.add_column(heading)
    for position in told:
        timers = ", ".join(f"{name} {left_ms} ms" for name, left_ms in sorted(position.timers_ms.items()))
        cells = (
            position.name,
            str(position.epoch),
            str(position.view),
            position.phase.replace("_", " "),
            position.primary,
            str(position.sequence),
            f"{position.low_watermark + 1} to {position.high_watermark}",
            str(position.executed_height),
            str(position.certified_height),
            timers or "none",
        )
        table.add_row(*(escape(to_line(cell)) for cell in cells))
    return table


def tell_votes(position: "PositionAnswer") -> list[str]:
    """Return who voted for what is open, who left the view, and who complains, as this validator has seen it."""
    lines = [
        f"sequence {each.sequence} is {each.stage}, {each.transactions} transactions, digest {each.digest or '-'};"
        f" prepared by {', '.join(each.prepared) or 'nobody'}; committed by {', '.join(each.committed) or 'nobody'}"
        for each in position.open
    ]
    if position.view_changes:
        left = ", ".join(f"{name} for view {view}" for name, view in position.view_changes.items())
        lines.append(f"left their view: {left} (attempt {position.attempt})")
    if position.complaints:
        lines.append(f"complain of {position.primary}: {', '.join(position.complaints)}")
    return [to_line(f"{position.name}: {line}", LINE_CHARACTERS_MAX) for line in lines]
