"""`gridbft validators`: who validates, who wants to change that, and the ballots with which the validators do."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.attendance import draw
from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from cli.bundle import Bundle
    from cli.client_settings import ClientHome
    from cli.voting import Cast
    from meter.answers import MotionAnswer, ValidatorAnswer, ValidatorsAnswer
    from primitives.encoding import Struct
    from vm.genesis import Genesis

app = typer.Typer(no_args_is_help=True, help="The validators, and the ballots that change them.")

KEY_DIGITS_SHOWN = 16

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A validator of now.")]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="What `network join` or `network rotate` wrote.")
]


@app.command("list")
def list_validators(
    epoch: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Of an earlier epoch; the default is now.", show_default=False),
    ] = None,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who validates, which of the last blocks each signed, and which ballots are open."""
    from cli.client_settings import open_client_home
    from cli.session import ask_validators
    from meter.answers import ValidatorsAnswer

    client_home = open_client_home(find_home(home), node)
    query = {} if epoch is None else {"epoch": str(epoch)}
    answer = ask_validators(client_home, lambda client: client.ask("/v1/validators", ValidatorsAnswer, query))
    if as_json:
        print_json(_describe(answer))
        return
    _print(answer)


@app.command()
def add(
    bundle: BundleArgument,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Vote for letting the validator of BUNDLE in; HOME is a validator's."""
    from cli.bundle import read_bundle
    from vm.contracts.validators import Add

    def make(_: "ValidatorsAnswer", genesis: "Genesis") -> "Struct":
        found = read_bundle(bundle, genesis)
        _say(found)
        return Add(found.validator, found.endpoint)

    _vote(home, node, passphrase_file, "add", make, f"gridbft validators add {bundle}", as_json=as_json)


@app.command()
def remove(
    name: NameArgument,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Vote for letting the validator NAME go; HOME is a validator's."""
    from vm.contracts.validators import Remove

    def make(current: "ValidatorsAnswer", _: "Genesis") -> "Struct":
        return Remove(bytes.fromhex(_find(current, name).public_key))

    _vote(home, node, passphrase_file, "remove", make, f"gridbft validators remove {name}", as_json=as_json)


@app.command()
def replace(
    name: NameArgument,
    bundle: BundleArgument,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Vote for giving the validator NAME the key and certificate of BUNDLE; HOME is a validator's."""
    from cli.bundle import read_bundle
    from vm.contracts.validators import Replace

    def make(current: "ValidatorsAnswer", genesis: "Genesis") -> "Struct":
        found = read_bundle(bundle, genesis)
        if found.validator.name != name:
            raise build_usage_error(f"{bundle}: the bundle of {found.validator.name}, not of {name}")
        _say(found)
        return Replace(bytes.fromhex(_find(current, name).public_key), found.validator, found.endpoint)

    command = f"gridbft validators replace {name} {bundle}"
    _vote(home, node, passphrase_file, "replace", make, command, as_json=as_json)


@app.command()
def withdraw(
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the own ballot back; HOME is a validator's."""
    from vm.contracts.validators import Withdraw

    _vote(home, node, passphrase_file, "withdraw", lambda _, __: Withdraw(), "", as_json=as_json)


def _vote(
    home: Path | None,
    node: str | None,
    passphrase_file: Path | None,
    method: str,
    make: "Callable[[ValidatorsAnswer, Genesis], Struct]",
    command: str,
    *,
    as_json: bool,
) -> None:
    from cli.client_settings import open_client_home
    from cli.voting import cast_ballot, open_voter_identities

    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    identities = open_voter_identities(client_home, passphrase_file)
    cast = cast_ballot(
        client_home, identities, method, lambda current: make(current, genesis), as_json=as_json
    )
    if as_json:
        print_json(
            {
                "id": cast.transaction_id.hex(),
                "height": cast.height,
                "verified": True,
                "epoch": cast.after.epoch,
                "decided": cast.is_decided,
                "missing": None if cast.motion is None else cast.motion.missing,
            }
        )
        return
    _tell(client_home, cast, command)


def _tell(home: "ClientHome", cast: "Cast", command: str) -> None:
    if cast.is_decided:
        names = ", ".join(each.name for each in cast.after.validators)
        talk(f"decided in block {cast.height}: {len(cast.after.validators)} validators now: {names}")
    elif not command:
        talk(f"the ballot of {home.directory.name} is withdrawn (block {cast.height}, verified)")
    elif cast.motion is not None:
        missing = cast.motion.missing
        talk(f"the ballot counts (block {cast.height}, verified); for it: {', '.join(cast.motion.voters)}")
        talk(f"{missing} more of the validators must want the same; each of them runs:")
        talk(f"  {command} --home ITS_HOME")
    else:
        talk(f"the ballot was cast (block {cast.height}, verified); see `gridbft validators list`")


def _say(bundle: "Bundle") -> None:
    """Say whom a ballot is for, to be compared with what its operator tells."""
    endpoint = bundle.endpoint
    key = bundle.validator.public_key.hex()
    talk(f"{bundle.validator.name} at {endpoint.host}:{endpoint.port}, key {key}")


def _find(current: "ValidatorsAnswer", name: str) -> "ValidatorAnswer":
    for each in current.validators:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in current.validators)
    raise CliError(f"{name!r} is no validator now; they are {names}", ExitCode.NOT_FOUND)


def _describe(answer: "ValidatorsAnswer") -> dict[str, object]:
    import msgspec

    described: dict[str, object] = msgspec.to_builtins(answer)
    return described


def _print(answer: "ValidatorsAnswer") -> None:
    from rich.table import Table

    count = len(answer.validators)
    since = "the genesis" if answer.epoch == 0 else f"block {answer.since_height}"
    print_line(f"epoch {answer.epoch} since {since}: {count} validators, {answer.quorum} are a quorum")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("validator", "key", "address", "last signed"):
        table.add_column(heading)
    for each in answer.validators:
        signed = (
            "none of the last blocks" if each.last_signed_height is None else str(each.last_signed_height)
        )
        address = "unknown" if each.host is None else f"{each.host}:{each.port}"
        table.add_row(each.name, each.public_key[:KEY_DIGITS_SHOWN], address, signed)
    console = build_console()
    console.print(table)
    for line in draw(answer.validators, console.width):
        print_line(line)
    for motion in answer.motions:
        print_line(_explain(motion))
    if not answer.motions:
        talk("no ballot is open")


def _explain(motion: "MotionAnswer") -> str:
    what = {
        "add": f"let {motion.name} in (key {motion.public_key[:KEY_DIGITS_SHOWN]}, {motion.host}:{motion.port})",
        "remove": f"let {motion.name} go",
        "replace": f"give {motion.name} the key {motion.public_key[:KEY_DIGITS_SHOWN]}",
    }.get(motion.method, motion.method)
    verb = "wants" if len(motion.voters) == 1 else "want"
    ballots = "ballot is" if motion.missing == 1 else "ballots are"
    return f"{', '.join(motion.voters)} {verb} to {what}; {motion.missing} more {ballots} missing"
