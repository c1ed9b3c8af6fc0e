"""`gridbft event`: the utility announces an event of demand response, a home opts in or out, anybody looks at it."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import print_json, print_line
from cli.failure import build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from meter.client import Client

app = typer.Typer(no_args_is_help=True, help="Homes draw less for a while, and are paid for it.")

StartArgument = Annotated[
    str, typer.Argument(metavar="START", help="Its first slot in UTC, as 2026-01-01T00:00:00Z.")
]
MeterArgument = Annotated[str, typer.Argument(metavar="METER", help="Its key is HOME/wallets/METER.key.")]
WordArgument = Annotated[str, typer.Argument(metavar="in|out", help="The last word before START counts.")]
RewardOption = Annotated[
    int, typer.Option(metavar="µ/kWh", min=0, help="What is paid for what is not drawn.")
]
DaysOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="The baseline is the mean of so many days before.")
]
WORDS = {"in": True, "out": False}


class HomeClaim(msgspec.Struct, frozen=True):
    """A home's word on an event, and what it came to once the event is measured."""

    account: str
    home: str
    is_in: bool
    reason: str
    baseline_wh: int
    import_wh: int
    saved_wh: int
    paid_nano: int


class Terms(msgspec.Struct, frozen=True):
    """What was announced, how many are in, and what it came to."""

    slots: int
    reward: int
    baseline_days: int
    opted_in: int
    saved_wh: int
    paid_nano: int


class EventClaim(msgspec.Struct, frozen=True):
    """An event and a page of its homes as a validator shows them."""

    first_slot_s: int
    height: int
    status: str
    event: Terms
    homes: list[HomeClaim]
    next_after: str | None = None


@app.command()
def announce(
    start: StartArgument,
    *,
    reward: RewardOption,
    slots: Annotated[int, typer.Option(metavar="N", min=1, help="How many slots.")] = 1,
    baseline_days: DaysOption = 10,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Announce an event over slots that have not begun; the utility's key signs."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.moments import parse_boundary
    from cli.money import count
    from cli.transact import build_call, transact
    from vm.contracts.energy.response.calls import AnnounceEvent
    from vm.contracts.energy.response.events import BASELINE_DAYS_MAX, REWARD_MAX, SLOTS_MAX

    client_home = open_client_home(find_home(home), node)
    first_slot_s = parse_boundary(start, client_home.read_genesis().energy.slot_s)
    for flag, value, value_max in (
        ("--slots", slots, SLOTS_MAX),
        ("--reward", reward, REWARD_MAX),
        ("--baseline-days", baseline_days, BASELINE_DAYS_MAX),
    ):
        if value > value_max:
            raise build_usage_error(f"{flag} {value}: at most {value_max}")
    key = open_utility_key(client_home, passphrase_file)
    event = AnnounceEvent(first_slot_s, slots, reward, baseline_days)
    call = build_call("response", "announce_event", event)
    done = f"an event over {count(slots, 'slot')} from {start} is announced"
    transact(client_home, key, call, as_json=as_json, done=done)


@app.command()
def opt(
    meter: MeterArgument,
    start: StartArgument,
    word: WordArgument,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Everybody can read it.")] = "",
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a home takes part in an event, or does not; its meter's key signs."""
    from cli.client_settings import open_client_home
    from cli.keys import open_wallet_key
    from cli.moments import parse_boundary
    from cli.transact import build_call, transact
    from meter.keystore import KeyKind
    from vm.contracts.energy.response.calls import OptEvent
    from vm.contracts.energy.response.events import REASON_BYTES_MAX

    client_home = open_client_home(find_home(home), node)
    first_slot_s = parse_boundary(start, client_home.read_genesis().energy.slot_s)
    if word not in WORDS:
        raise build_usage_error(f"{word!r}: say in or out")
    if not reason.isprintable():  # nor are bytes that are no UTF-8
        raise build_usage_error("--reason: one line of text is expected")
    if len(reason.encode()) > REASON_BYTES_MAX:
        raise build_usage_error(f"--reason: at most {REASON_BYTES_MAX} bytes")
    key = open_wallet_key(client_home, meter, passphrase_file, KeyKind.METER)
    call = build_call("response", "opt_event", OptEvent(first_slot_s, WORDS[word], reason))
    done = f"{meter} {'takes part in' if WORDS[word] else 'stays out of'} the event from {start}"
    transact(client_home, key, call, as_json=as_json, done=done)


@app.command()
def show(
    start: StartArgument, *, home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False
) -> None:
    """Show what was announced, who opted in, and what was paid once it is measured."""
    from cli.client_settings import open_client_home
    from cli.moments import parse_boundary

    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    found = _fetch(client_home, parse_boundary(start, genesis.energy.slot_s))
    if as_json:
        fields = msgspec.to_builtins(found)
        del fields["next_after"]
        print_json({**fields.pop("event"), **fields})
        return
    for line in describe(found, genesis.currency):
        print_line(line)


def describe(found: EventClaim, currency: str) -> list[str]:
    """Return an event in plain sentences: its terms first, then each home that had a word."""
    from cli.money import count, format_kwh, format_money, format_price
    from primitives.text import to_line

    event = found.event
    terms = f"{count(event.slots, 'slot')} at {format_price(event.reward)} {currency} per kWh"
    baseline = f"below the mean of up to {count(event.baseline_days, 'day')}"
    opted_in = f"{count(event.opted_in, 'home')} in (block {found.height})"
    lines = [f"{to_line(found.status)}: {terms} {baseline}; {opted_in}"]
    is_measured = found.status == "completed"
    if is_measured:
        lines.append(
            f"saved {format_kwh(event.saved_wh)} kWh, paid {format_money(event.paid_nano)} {currency}"
        )
    for entry in found.homes:
        line = f"{to_line(entry.home or entry.account)}  {'in' if entry.is_in else 'out'}"
        if entry.reason:
            line += f" ({to_line(entry.reason)})"
        if is_measured and entry.is_in:
            line += (
                f": drew {format_kwh(entry.import_wh)} of {format_kwh(entry.baseline_wh)} kWh, "
                f"saved {format_kwh(entry.saved_wh)}, paid {format_money(entry.paid_nano)} {currency}"
            )
        lines.append(line)
    return lines


def _fetch(client_home: "ClientHome", first_slot_s: int) -> EventClaim:
    """Return an event with all its homes, page by page; the terms are those of the first page."""
    from cli.session import ask_validators
    from vm.contracts.energy.metering import METERS_MAX

    async def work(client: "Client") -> EventClaim:
        path = f"/v1/events/{first_slot_s}"
        found = page = await client.ask(path, EventClaim)
        homes = list(page.homes)
        while page.next_after is not None and page.homes and len(homes) < METERS_MAX:
            page = await client.ask(path, EventClaim, {"after": page.next_after})
            homes += page.homes
        return msgspec.structs.replace(found, homes=homes)

    return ask_validators(client_home, work)
