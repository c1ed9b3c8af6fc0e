"""`gridbft export`: blocks, ledger and bills of a validator that does not run, as files that other programs read."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cli.console import talk
from cli.drafts import open_whole
from cli.failure import CliError, ExitCode, build_usage_error
from cli.money import count
from cli.options import HomeOption, find_home

if TYPE_CHECKING:
    from node.export import Period
    from node.storage.chain import ChainStore
    from vm.genesis import Genesis

app = typer.Typer(
    no_args_is_help=True, help="What a validator that does not run holds, as files that other programs read."
)

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="A new file; without it, standard output.",
        show_default=False,
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="Slots from here on: 2026-01-01 (UTC) or 2026-01-01T00:00:00Z."
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Slots that begin before: written the same.")
]
KINDS_TOLD = "accounts, balances, meters, registers, readings, superseded, tariffs, slots, lines"


@app.command()
def blocks(
    *,
    first: Annotated[
        int | None,
        typer.Option("--from", metavar="HEIGHT", min=1, help="The first block; else the lowest kept."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="HEIGHT", min=1, help="The last block; else the newest.")
    ] = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Write blocks as JSON lines: header, certificate, transactions with their bytes and what became of them."""
    from node.export import find_heights, iterate_blocks

    if first is not None and last is not None and last < first:
        raise build_usage_error(f"--to {last} is before --from {first}")

    def produce(chain: "ChainStore", genesis: "Genesis") -> Iterator[bytes]:
        return _encode_lines(iterate_blocks(chain, genesis, find_heights(chain, first, last)))

    _export(find_home(home), output, produce, "block")


@app.command()
def ledger(
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help=f"Only these, may be repeated: {KINDS_TOLD}."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Write the ledger's newest state as JSON lines, each record decoded; a period narrows what belongs to a time."""
    from node.export import KINDS, iterate_ledger

    kinds = kind or []
    unknown = next((each for each in kinds if each not in KINDS), None)
    if unknown is not None:
        raise build_usage_error(f"--kind {unknown}: one of {KINDS_TOLD}")
    period = _parse_period(since, until)
    _export(
        find_home(home),
        output,
        lambda chain, genesis: _encode_lines(iterate_ledger(chain, genesis, kinds, period)),
        "record",
        heads=1,
    )


@app.command("csv")
def export_csv(
    *,
    slots: Annotated[
        bool, typer.Option("--slots", help="One row per slot, instead of one per home and slot.")
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Write settled slots for a spreadsheet: one row per home and slot, integers in the units that the heads name."""
    from node.export import iterate_line_rows, iterate_slot_rows, list_line_columns, list_slot_columns

    period = _parse_period(since, until)
    columns, iterate = (
        (list_slot_columns(), iterate_slot_rows) if slots else (list_line_columns(), iterate_line_rows)
    )
    _export(
        find_home(home),
        output,
        lambda chain, genesis: _encode_rows(columns, iterate(chain, genesis, period)),
        "row",
        heads=1,
    )


def _parse_period(since: str | None, until: str | None) -> "Period":
    from cli.moments import parse_moment
    from node.export import TIME_S_MAX, Period

    first_s = 0 if since is None else parse_moment(since, "--from")
    end_s = TIME_S_MAX if until is None else parse_moment(until, "--to")
    if end_s <= first_s:
        raise build_usage_error(f"--to {until} is not after --from {since}")
    return Period(first_s, end_s)


def _export(
    directory: Path,
    output: Path | None,
    produce: "Callable[[ChainStore, Genesis], Iterator[bytes]]",
    what: str,
    heads: int = 0,
) -> None:
    """Write what ``produce`` yields, one line each, and say how much and as of when.

    Raises:
        CliError: the validator runs, there is nothing such, something is damaged, or the file is there already.

    """
    from node.errors import NodeError
    from node.home import load_constitution
    from node.inspected_chain import NotStoredError
    from node.inspection import open_stored_chain

    try:
        constitution = load_constitution(directory)
        with open_stored_chain(directory, constitution) as chain, _open_output(output) as file:
            written = _write(file, produce(chain, constitution.genesis)) - heads
            height, certificate = chain.get_height(), chain.get_latest_certificate()
    except NotStoredError as error:
        raise CliError(str(error), ExitCode.NOT_FOUND) from None
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
    certified = 0 if certificate is None else certificate.header.height
    where = "" if output is None else f" in {output}"
    talk(f"{count(written, what)}{where}, as of block {height}; certified up to block {certified}")


def _write(file: BinaryIO, lines: Iterable[bytes]) -> int:
    written = 0
    for line in lines:
        file.write(line)
        written += 1
    file.flush()
    return written


@contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Give a file that has its name only when it is whole, or standard output.

    Raises:
        CliError: there is such a file, or the file system refused.

    """
    if path is None:
        with _standard_output() as file:
            yield file
        return
    with open_whole(path) as file:
        yield file


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    sys.stdout.flush()
    try:
        yield sys.stdout.buffer
    except OSError as error:
        # Python flushes it once more at the end, into nothing then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise CliError("nobody reads standard output any more: what was read is a part") from None
        raise CliError(f"standard output: {error.strerror}; what was written is a part") from None


def _encode_lines(rows: "Iterable[dict[str, object]]") -> Iterator[bytes]:
    import msgspec

    for row in rows:
        yield msgspec.json.encode(row) + b"\n"


def _encode_rows(columns: Sequence[str], rows: "Iterable[dict[str, object]]") -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    yield _take(text)
    for row in rows:
        writer.writerow(row)
        yield _take(text)


def _take(text: io.StringIO) -> bytes:
    """Return what was written since the last time."""
    content = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return content
