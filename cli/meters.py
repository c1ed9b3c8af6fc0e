"""`gridbft meter`: the utility registers meters, suspends them, and changes a lost key."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from meter.answers import MeterAnswer
    from meter.client import Client

app = typer.Typer(no_args_is_help=True, help="Meters of the community; the utility's key signs changes.")

RATING_DEFAULT_W = 43_000
"""A household's connection with 63 A on three phases."""
KEY_HEX_DIGITS = 64

NameArgument = Annotated[str, typer.Argument(metavar="METER", help="Name of the meter, which is its home's.")]
PublicKeyOption = Annotated[
    str | None,
    typer.Option(
        metavar="HEX",
        help="The meter's public key. (default: that of HOME/wallets/METER.key)",
        show_default=False,
    ),
]


OpeningOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Start of its first slot in UTC. (default: the next slot)", show_default=False
    ),
]
ImportOption = Annotated[int, typer.Option("--import-wh", min=0, metavar="WH", help="Import register then.")]
ExportOption = Annotated[int, typer.Option("--export-wh", min=0, metavar="WH", help="Export register then.")]
RatingOption = Annotated[
    int, typer.Option("--rating-w", min=1, metavar="W", help="What the connection carries.")
]
OwnerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ACCOUNT", help="Who is billed. (default: the meter's own account)", show_default=False
    ),
]


@app.command()
def register(
    meter: NameArgument,
    *,
    opening: OpeningOption = None,
    import_wh: ImportOption = 0,
    export_wh: ExportOption = 0,
    rating_w: RatingOption = RATING_DEFAULT_W,
    owner: OwnerOption = None,
    public_key: PublicKeyOption = None,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a meter with its registers at the start of its first slot."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.moments import format_moment, parse_boundary
    from cli.transact import build_call, transact
    from primitives.hashing import compute_account_id
    from vm.contracts.energy.calls import RegisterMeter

    client_home = open_client_home(find_home(home), node)
    slot_s = client_home.read_genesis().energy.slot_s
    opening_s = (
        -(-int(time.time()) // slot_s) * slot_s if opening is None else parse_boundary(opening, slot_s)
    )
    _check_name(meter)
    key = _find_public_key(client_home, meter, public_key)
    account = compute_account_id(key)
    utility = open_utility_key(client_home, passphrase_file)
    arguments = RegisterMeter(
        account=account,
        public_key=key,
        home=meter,
        owner=account if owner is None else _find_account(client_home, owner),
        rating_w=rating_w,
        opening_s=opening_s,
        opening_import_wh=import_wh,
        opening_export_wh=export_wh,
    )
    call = build_call("energy", "register_meter", arguments)
    done = f"{meter} is registered from {format_moment(opening_s)} UTC on"
    transact(client_home, utility, call, as_json=as_json, done=done)


@app.command("list")
def list_meters(home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """List all meters with their newest registers."""
    from cli.client_settings import open_client_home
    from cli.moments import format_moment
    from cli.money import format_kwh

    meters = _fetch_meters(open_client_home(find_home(home), node))
    if as_json:
        print_json([msgspec.to_builtins(meter) for meter in meters])
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("meter")
    for heading in ("account", "newest reading (UTC)", "import kWh", "export kWh"):
        table.add_column(heading, justify="right")
    for entry in sorted(meters, key=lambda each: each.home):
        latest = entry.latest
        table.add_row(
            entry.home,
            entry.account,
            format_moment(latest.time_s),
            format_kwh(latest.import_wh),
            format_kwh(latest.export_wh),
        )
    build_console().print(table)
    if not meters:
        talk("no meter is registered; `gridbft meter register METER` does it")


@app.command()
def status(
    meter: Annotated[
        str | None,
        typer.Argument(
            metavar="[METER]", help="One meter as the ledger has it. (default: all collected here)"
        ),
    ] = None,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the meters collected here stand; of one METER also what the ledger has: account, opening, registers."""
    from cli.collector_status import read_states, show_state

    directory = find_home(home)
    if meter is None:
        states = read_states(directory)
        if as_json:
            print_json([msgspec.to_builtins(state) for state in states])
        for state in states if not as_json else []:
            show_state(state)
        if not states:
            talk("no meter is collected here; `gridbft collect` does it")
        return
    _check_name(meter)
    _show_meter(directory, node, meter, as_json=as_json)


def _show_meter(directory: Path, node: str | None, meter: str, *, as_json: bool) -> None:
    from cli.client_settings import open_client_home
    from cli.collector_status import read_states, show_state
    from cli.moments import format_moment
    from cli.money import format_kwh
    from cli.session import ask_validators
    from meter.answers import MeterAnswer

    client_home = open_client_home(directory, node)
    entry = ask_validators(client_home, lambda client: client.ask(f"/v1/meters/{meter}", MeterAnswer))
    account = ask_validators(client_home, lambda client: client.get_account(entry.account))
    collected = [state for state in read_states(directory) if state.meter == entry.home]
    if as_json:
        told = {"status": account.status, "public_key": account.public_key}
        collector = msgspec.to_builtins(collected[0]) if collected else None
        print_json({**msgspec.to_builtins(entry), **told, "collector": collector})
        return
    latest = entry.latest
    print_line(f"{entry.home}  {account.status}  account {entry.account}  key {account.public_key}")
    print_line(
        f"opened {format_moment(entry.opening_s)} UTC at {format_kwh(entry.opening_import_wh)} kWh import, "
        f"{format_kwh(entry.opening_export_wh)} kWh export; carries {entry.rating_w} W"
    )
    print_line(
        f"newest {format_moment(latest.time_s)} UTC: {format_kwh(latest.import_wh)} kWh import, "
        f"{format_kwh(latest.export_wh)} kWh export"
    )
    for state in collected:
        show_state(state)


@app.command()
def replace(
    meter: NameArgument,
    *,
    moment: Annotated[
        str,
        typer.Option("--time", metavar="TIME", help="End of a slot in UTC, when the meters were exchanged."),
    ],
    last_import_wh: Annotated[
        int,
        typer.Option("--last-import-wh", min=0, metavar="WH", help="The old meter's import register then."),
    ],
    last_export_wh: Annotated[
        int,
        typer.Option("--last-export-wh", min=0, metavar="WH", help="The old meter's export register then."),
    ],
    import_wh: ImportOption = 0,
    export_wh: ExportOption = 0,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book that a home's meter was exchanged, or began at zero: the old one's last registers, the new one's first."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.moments import format_moment, parse_boundary
    from cli.transact import build_call, transact
    from vm.contracts.energy.calls import ReplaceMeter

    client_home = open_client_home(find_home(home), node)
    time_s = parse_boundary(moment, client_home.read_genesis().energy.slot_s)
    account = _find_account(client_home, meter)
    key = open_utility_key(client_home, passphrase_file)
    arguments = ReplaceMeter(account, time_s, last_import_wh, last_export_wh, import_wh, export_wh)
    call = build_call("energy", "replace_meter", arguments)
    done = f"{meter} is another meter from {format_moment(time_s)} UTC on"
    transact(client_home, key, call, as_json=as_json, done=done)


@app.command()
def suspend(
    meter: NameArgument,
    *,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a meter whose key may be in other hands: its transactions are refused from now on."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.transact import build_call, transact
    from vm.contracts.permissions import Suspend

    client_home = open_client_home(find_home(home), node)
    account = _find_account(client_home, meter)
    key = open_utility_key(client_home, passphrase_file)
    call = build_call("permissions", "suspend", Suspend(account))
    transact(client_home, key, call, as_json=as_json, done=f"{meter} is suspended")


@app.command("rotate-key")
def rotate_key(
    meter: NameArgument,
    new_key: Annotated[
        str,
        typer.Argument(metavar="NEW", help="The new key: a name in HOME/wallets, or its public key in hex."),
    ],
    *,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a meter another key; the account and its bills stay, the old key is refused from now on."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.transact import build_call, transact
    from vm.contracts.permissions import RotateKey

    client_home = open_client_home(find_home(home), node)
    public_key = _parse_key(new_key) or _find_public_key(client_home, new_key, None)
    account = _find_account(client_home, meter)
    key = open_utility_key(client_home, passphrase_file)
    call = build_call("permissions", "rotate_key", RotateKey(account, public_key))
    transact(client_home, key, call, as_json=as_json, done=f"{meter} has a new key")


def _fetch_meters(home: "ClientHome") -> "list[MeterAnswer]":
    from cli.session import ask_validators
    from meter.answers import MetersAnswer
    from vm.contracts.energy.metering import METERS_MAX

    async def work(client: "Client") -> "list[MeterAnswer]":
        found: list[MeterAnswer] = []
        after: str | None = ""
        while after is not None and len(found) < METERS_MAX:
            page = await client.ask("/v1/meters", MetersAnswer, {"after": after})
            found += page.meters
            after = page.next_after if page.meters else None
        return found

    return ask_validators(home, work)


def _find_account(home: "ClientHome", name: str) -> bytes:
    """Return the account of a name or id, as a validator says."""
    from cli.session import ask_validators

    _check_name(name)
    return bytes.fromhex(ask_validators(home, lambda client: client.get_account(name)).account)


def _find_public_key(home: "ClientHome", name: str, given: str | None) -> bytes:
    """Return the key that was given, else that of the key file of this name."""
    from cli.keys import build_key_error
    from meter.keystore import KEY_SUFFIX, KeyNotFoundError, KeystoreError, read_key_label

    if given is not None:
        key = _parse_key(given)
        if key is None:
            raise build_usage_error(
                f"--public-key: {given!r} is no key; it has {KEY_HEX_DIGITS} hexadecimal digits"
            )
        return key
    path: Path = home.wallets / f"{name}{KEY_SUFFIX}"
    try:
        return read_key_label(path).public_key
    except KeyNotFoundError:
        raise CliError(
            f"{path}: no such key file; make it with `gridbft wallet create {name} --kind meter`, or pass --public-key",
            ExitCode.NOT_FOUND,
        ) from None
    except KeystoreError as error:
        raise build_key_error(error) from None


def _parse_key(text: str) -> bytes | None:
    if len(text) != KEY_HEX_DIGITS:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _check_name(name: str) -> None:
    from vm.genesis import is_name_sound

    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name: 1 to 32 letters, digits, dots, dashes, underscores")
