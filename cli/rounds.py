"""`gridbft round`: the utility opens a round, a home takes part in it, anybody looks at it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from meter.client import Client
    from meter.home.participant import HomeDay, Outcome
    from vm.contracts.energy.coordination.calls import Terms

app = typer.Typer(no_args_is_help=True, help="Homes agree on the trades of a day of slots.")

SlotArgument = Annotated[
    str, typer.Argument(metavar="SLOT", help="Its first slot in UTC, as 2026-01-01T00:00:00Z.")
]
SlotsOption = Annotated[int, typer.Option(metavar="N", min=1, help="How many slots. (default: a day)")]
MembersOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,…", help="These meters. (default: all that are registered)", show_default=False
    ),
]
FormOption = Annotated[str, typer.Option(metavar="FORM", help="bilateral or exchange.")]
RhoOption = Annotated[
    float | None, typer.Option(metavar="R", help="ρ, currency per kWh². (default: 0.5; exchange: 0.1)")
]
ToleranceOption = Annotated[
    float | None, typer.Option(metavar="T", help="Stop below T kWh. (default: 0.0005; exchange: 0.001)")
]
MeterArgument = Annotated[str, typer.Argument(metavar="METER", help="Its key is HOME/wallets/METER.key.")]
DataOption = Annotated[
    Path,
    typer.Option("--expect", metavar="FILE", help="Load and sun that the home expects (CSV); it stays here."),
]
ContextOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Retail prices by slot. (default: the network's)", show_default=False),
]
SpecOption = Annotated[
    Path | None,
    typer.Option(metavar="TOML", help="What the home has; it stays here. (default: nothing that moves)"),
]
WaitOption = Annotated[int, typer.Option(metavar="S", min=1, help="Give up after so many seconds.")]


class RoundClaim(msgspec.Struct, frozen=True):
    """A round as a validator shows it."""

    height: int
    status: str
    round: dict[str, object]


@app.command("open")
def open_round(
    slot: SlotArgument,
    *,
    slots: SlotsOption = 0,
    members: MembersOption = None,
    form: FormOption = "bilateral",
    rho: RhoOption = None,
    tolerance: ToleranceOption = None,
    fee: Annotated[int, typer.Option(metavar="µ/kWh", min=0, help="What each side of a trade pays.")] = 0,
    penalty: Annotated[int, typer.Option(metavar="µ/kWh", min=0, help="For what is not delivered.")] = 0,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a round over slots that have not begun; the utility's key signs."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.moments import parse_boundary
    from cli.simulate.options import RunFlags, SourceFlags, TermFlags, build_options
    from cli.simulate.terms import build_terms
    from cli.transact import build_call, transact
    from vm.contracts.energy.coordination.calls import MEMBERS_PER_CALL_MAX, OpenRound

    client_home = open_client_home(find_home(home), node)
    energy = client_home.read_genesis().energy
    first_slot_s = parse_boundary(slot, energy.slot_s)
    flags = TermFlags(form=form, rho=rho, tolerance=tolerance, fee=fee, penalty=penalty)
    options = build_options(SourceFlags(), flags, RunFlags())
    terms: Terms = build_terms(options, [energy.retail_price])
    accounts = _find_members(client_home, members)
    if len(accounts) > MEMBERS_PER_CALL_MAX:
        raise build_usage_error(f"{len(accounts)} meters: one call names at most {MEMBERS_PER_CALL_MAX}")
    key = open_utility_key(client_home, passphrase_file)
    count = slots or 86_400 // energy.slot_s
    opening = OpenRound(first_slot_s, count, options.form, terms, tuple(accounts), ())
    call = build_call("coordination", "open_round", opening)
    done = f"a round of {len(accounts)} homes over {count} slots from {slot} is open"
    transact(client_home, key, call, as_json=as_json, done=done)


@app.command()
def join(
    meter: MeterArgument,
    slot: SlotArgument,
    *,
    expect: DataOption,
    context: ContextOption = None,
    spec: SpecOption = None,
    wait: WaitOption = 3600,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take part in a round for a home until its trades are fixed; nothing leaves but vectors that its meter signs."""
    from cli.client_settings import open_client_home
    from cli.keys import open_wallet_key
    from cli.moments import parse_boundary
    from meter.keystore import KeyKind

    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    first_slot_s = parse_boundary(slot, genesis.energy.slot_s)
    key = open_wallet_key(client_home, meter, passphrase_file, KeyKind.METER)
    try:
        from cli.round_agent import build_home_day, take_part
    except ImportError as error:
        name = error.name or "a library"
        raise CliError(f"{name} is not installed: install gridbft[tem]", ExitCode.ERROR) from None
    day: HomeDay = build_home_day(genesis, meter, first_slot_s, expect, context, spec)
    outcome: Outcome = take_part(client_home, key, first_slot_s, day, float(wait))
    if as_json:
        print_json(
            {
                "home": meter,
                "alone": outcome.alone,
                "together": outcome.together,
                "claim_nano": outcome.claim_nano,
            }
        )
    else:
        print_line(
            f"{meter}: the trades are fixed; the day costs {outcome.together:.4f} {genesis.currency} "
            f"instead of {outcome.alone:.4f} alone"
        )


@app.command()
def show(
    slot: SlotArgument, *, home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False
) -> None:
    """Show how a round stands."""
    from cli.client_settings import open_client_home
    from cli.moments import parse_boundary
    from cli.session import ask_validators

    client_home = open_client_home(find_home(home), node)
    first_slot_s = parse_boundary(slot, client_home.read_genesis().energy.slot_s)
    found = ask_validators(client_home, lambda client: client.ask(f"/v1/rounds/{first_slot_s}", RoundClaim))
    if as_json:
        print_json({**found.round, "status": found.status, "height": found.height})
        return
    entry = found.round
    print_line(
        f"{found.status}: iteration {entry['iteration']}, {entry['active']} of {entry['members']} homes, "
        f"{entry['submitted']} vectors in; plans leave {entry['residual_wh']} Wh of {entry['traded_wh']} over"
    )
    if found.status in {"fixed", "closed"} and not entry["converged"]:
        talk("it ended before it converged")


def _find_members(client_home: "ClientHome", members: str | None) -> list[bytes]:
    """Return the accounts of the meters that were named, or of all."""
    from cli.session import ask_validators
    from meter.answers import MeterAnswer, MetersAnswer

    names = [name.strip() for name in members.split(",")] if members else []

    async def work(client: "Client") -> list[bytes]:
        if names:
            return [
                bytes.fromhex((await client.ask(f"/v1/meters/{name}", MeterAnswer)).account) for name in names
            ]
        answer = await client.ask("/v1/meters", MetersAnswer)
        return [bytes.fromhex(entry.account) for entry in answer.meters]

    return ask_validators(client_home, work)
