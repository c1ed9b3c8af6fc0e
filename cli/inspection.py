"""`gridbft inspect`: what is on the disk of a validator that does not run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line
from cli.failure import CliError, ExitCode, build_usage_error
from cli.inspection_lines import list_block, list_journal, list_page, list_summary, list_transaction, say_more
from cli.options import HomeOption, JsonOption, find_home

if TYPE_CHECKING:
    from node.inspected_chain import StoredChain

app = typer.Typer(no_args_is_help=True, help="What is on the disk of a validator that does not run.")

LATEST = "latest"
LIMIT_DEFAULT = 50
LIMIT_MAX = 10_000
"""What is shown at once is read into memory; ten thousand records take a few MB."""

LimitOption = Annotated[
    int, typer.Option("--limit", metavar="COUNT", min=1, max=LIMIT_MAX, help="Show at most so many.")
]
FirstOption = Annotated[
    int, typer.Option("--from", metavar="NUMBER", min=0, help="Begin with this one; they count from 0.")
]


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


@app.command()
def block(
    height: Annotated[str, typer.Argument(metavar="HEIGHT|latest", help="Which block.")],
    *,
    first: FirstOption = 0,
    limit: LimitOption = LIMIT_DEFAULT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a stored block: its header, who signed it, and what is in it."""
    from dataclasses import asdict

    number = None if height == LATEST else parse_height(height)
    with _open(find_home(home)) as chain:
        found = chain.find_block(number, first, limit)
    if as_json:
        print_json(asdict(found))
        return
    for line in list_block(found):
        print_line(line)
    say_more(found.transactions - first - len(found.page), first + len(found.page))


@app.command()
def tx(
    transaction_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, 64 hexadecimal digits.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a stored transaction: where it stands, what it asked, and what became of it."""
    from dataclasses import asdict

    from cli.transactions import parse_id

    name = parse_id(transaction_id)
    with _open(find_home(home)) as chain:
        found = chain.find_transaction(name)
    if as_json:
        print_json(asdict(found))
        return
    for line in list_transaction(found):
        print_line(line)


@app.command()
def state(
    *,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME|ID", help="One account with its balances.")
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", metavar="PREFIX", help="Keys that begin so: letters as pa, or 0x and hexadecimal."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="HEX", help="One key.")] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="HEX", help="Begin with this key.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the stored state: how much lies under each prefix, or an account, a key, or the keys under a prefix."""
    from dataclasses import asdict

    if sum(each is not None for each in (account, prefix, key)) > 1:
        raise build_usage_error("--account, --prefix and --key exclude each other")
    if start is not None and prefix is None:
        raise build_usage_error("--from goes with --prefix")
    wanted = parse_prefix(prefix) if prefix is not None else b""
    from_key = parse_hex(start, "--from") if start is not None else b""
    exact = parse_hex(key, "--key") if key is not None else b""
    with _open(find_home(home)) as chain:
        if account is not None:
            shown: object = chain.find_account(account)
        elif key is not None:
            shown = chain.get_pair(exact)
        elif prefix is not None:
            shown = chain.read_state(wanted, from_key, limit)
        else:
            shown = chain.summarize()
    if as_json:
        print_json(asdict(shown))  # type: ignore[call-overload]  # each of the four is a dataclass
        return
    for line in list_page(shown) or list_summary(shown):
        print_line(line)


@app.command()
def journal(
    *,
    first: FirstOption = 0,
    limit: LimitOption = LIMIT_DEFAULT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the journal record by record, what it promises, and where it is damaged; 4 when a start refuses it."""
    from dataclasses import asdict

    from node.errors import NodeError
    from node.home import load_constitution
    from node.inspected_journal import inspect_journal

    directory = find_home(home)
    try:
        found = inspect_journal(directory, load_constitution(directory), first, limit)
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
    if as_json:
        print_json(asdict(found))
    else:
        for line in list_journal(found):
            print_line(line)
        shown = found.page[-1].number + 1 if found.page else first
        say_more(found.records - first - len(found.page), shown)
    if not found.is_usable:
        raise CliError(f"{directory / 'data' / 'journal'}: {found.verdict}", ExitCode.UNHEALTHY)


def parse_height(text: str) -> int:
    """Return a height.

    Raises:
        CliError: usage; it is none.

    """
    if not (text.isascii() and text.isdigit() and len(text) < len("10000000000000000")):
        raise build_usage_error(f"{text!r} is no height; name a number from 0, or {LATEST}")
    return int(text)


def parse_hex(text: str, flag: str) -> bytes:
    """Return the bytes of hexadecimal digits.

    Raises:
        CliError: usage; they are none.

    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise build_usage_error(f"{flag} {text!r}: an even number of hexadecimal digits is wanted") from None


def parse_prefix(text: str) -> bytes:
    """Return a prefix of keys: letters as the ledger's pages name it, or hexadecimal behind 0x.

    Raises:
        CliError: usage; neither.

    """
    if text.startswith("0x"):
        return parse_hex(text[2:], "--prefix")
    if not text.isascii():
        raise build_usage_error(f"--prefix {text!r}: letters as pa, or hexadecimal behind 0x")
    return text.encode()


@contextmanager
def _open(directory: Path) -> "Iterator[StoredChain]":
    from node.errors import NodeError
    from node.home import load_constitution
    from node.inspected_chain import NotStoredError, StoredChain
    from node.inspection import open_stored_chain

    try:
        constitution = load_constitution(directory)
        with open_stored_chain(directory, constitution) as chain:
            yield StoredChain(chain, constitution.genesis)
    except NotStoredError as error:
        raise CliError(str(error), ExitCode.NOT_FOUND) from None
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
