"""`gridbft snapshot`: the certified state of a stopped validator as a file that can be carried to another machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode
from cli.inputs import check_input
from cli.inspection_lines import show_time
from cli.options import HomeOption, JsonOption, find_home

if TYPE_CHECKING:
    from node.errors import NodeError

app = typer.Typer(no_args_is_help=True, help="Certified snapshots as files: made, checked, restored.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A snapshot.", show_default=False)]

NEXT_SILENT = """\
The journal begins anew, and says that its past is unknown: the validator follows, and votes for nothing until a
certificate has passed all that its key may have signed (256 sequences). Never run a second home with the same key."""
NEXT_KEPT = (
    "The home's journal stays: the validator keeps what it promised, and votes when it has asked the others."
)


@app.callback()
def begin() -> None:
    """Say that there are several commands."""


@app.command()
def create(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to. (default: HOME/snapshots/NAME-HEIGHT.snapshot)"
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the state of a stopped validator's last block to a file and check it; the home stays as it is."""
    from node.errors import NodeError
    from node.home import load_constitution
    from node.snapshots.keeping import create_snapshot

    directory = find_home(home)
    try:
        made = create_snapshot(directory, load_constitution(directory), output)
    except NodeError as error:
        raise _fail(error) from None
    if as_json:
        print_json(
            {
                "file": str(made.path),
                "height": made.height,
                "state_root": made.state_root,
                "bytes": made.size,
                "is_new": made.is_new,
            }
        )
        return
    print_line(str(made.path))
    talk(
        f"block {made.height}, state root {made.state_root}, {made.size:,} bytes: checked against the genesis"
    )
    if not made.is_new:
        talk("it was there before and is the same; nothing was written")


@app.command(name="list")
def list_all(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where. (default: HOME/snapshots)", show_default=False),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the snapshots in a directory by what they say of themselves; `snapshot verify` proves one."""
    from dataclasses import asdict

    from node.errors import NodeError
    from node.snapshots.keeping import DIRECTORY_NAME, list_snapshots

    place = directory or find_home(home) / DIRECTORY_NAME
    try:
        found = list_snapshots(place)
    except NodeError as error:
        raise _fail(error) from None
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        if each.head is None:
            print_line(f"{each.path}  NO SNAPSHOT: {each.problem}")
            continue
        head = each.head
        of_block = f"block {head.height}, epoch {head.epoch}, {show_time(head.time_ms)}"
        print_line(f"{each.path}  {of_block}, {each.size:,} bytes")
    if not found:
        talk(f"{place}: no snapshots")


@app.command()
def verify(file: FileArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check a snapshot from its first to its last byte, against HOME/genesis.bin and nothing else."""
    from node.errors import NodeError
    from node.home import load_constitution
    from node.snapshots.keeping import verify_snapshot

    try:
        header = verify_snapshot(check_input(file), load_constitution(find_home(home))).header
    except NodeError as error:
        raise _fail(error) from None
    if as_json:
        print_json(
            {
                "file": str(file),
                "height": header.height,
                "epoch": header.epoch,
                "time_ms": header.time_ms,
                "state_root": header.state_root.hex(),
            }
        )
        return
    print_line(
        f"whole and certified: block {header.height}, epoch {header.epoch}, {show_time(header.time_ms)}"
    )
    print_line(f"state root {header.state_root.hex()}")


@app.command()
def restore(file: FileArgument, home: HomeOption = None) -> None:
    """Make a snapshot the chain of a home that has none; the journal is never part of it; nothing is overwritten."""
    from node.errors import NodeError
    from node.home import load_constitution
    from node.snapshots.keeping import plan_restoration, restore_snapshot

    directory = find_home(home)
    try:
        constitution = load_constitution(directory)
        plan = plan_restoration(directory, constitution, check_input(file))
        height = plan.certificate.header.height
        if plan.is_done:
            talk(f"{directory}: its chain is the snapshot's block {height} already; nothing was done")
            return
        talk(
            f"{file}: whole and certified; it becomes the chain of {directory}, which goes on from block {height}"
        )
        talk(NEXT_SILENT if plan.is_journal_new else NEXT_KEPT)
        restore_snapshot(directory, constitution, file, plan)
    except NodeError as error:
        raise _fail(error) from None
    talk("done; start it now: gridbft start")


def _fail(error: "NodeError") -> CliError:
    return CliError(str(error), ExitCode(error.exit_code))
