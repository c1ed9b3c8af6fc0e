"""`gridbft bill`: a home's day, line by line, in plain sentences, and proven when asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, SaveOption, find_home

if TYPE_CHECKING:
    from cli.bill_check import Bill
    from cli.client_settings import ClientHome
    from consensus.messages import Handover
    from meter.answers import BillAnswer
    from meter.client import Client
    from meter.proofs import TrustAnchor
    from vm.contracts.energy.records import Line
    from vm.genesis import Genesis

PROVEN_SLOTS_MAX = 700
"""A week of quarter hours: what a validator proves in one answer."""
NO_READING = "no reading came: this slot settled without you"


@dataclass(frozen=True)
class Fetched:
    """The slots of a day, a validator's answer about them, the meter's account, and what the client believes.

    ``handovers`` lead from the genesis to the epoch of the answer's certificate.
    """

    slots_s: list[int]
    answer: "BillAnswer"
    account: bytes
    anchor: "TrustAnchor"
    handovers: "tuple[Handover, ...]"


def bill(
    meter: Annotated[
        str | None,
        typer.Argument(
            metavar="METER",
            help="Name or account of the meter; without it, the only meter key of this home.",
            show_default=False,
        ),
    ] = None,
    *,
    day: Annotated[
        str,
        typer.Option(metavar="N|DATE", help="The N-th 24 hours since the meter's opening, or a UTC date."),
    ],
    explain: Annotated[bool, typer.Option("--explain", help="One plain sentence per slot.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every line's proof offline and recompute all sums.")
    ] = False,
    save: SaveOption = None,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a home drew, fed in and owes for a day, in the community and at grid prices alone."""
    from cli.client_settings import open_client_home

    verify = verify or save is not None

    client_home = open_client_home(find_home(home), node)
    genesis = client_home.read_genesis()
    name = _find_meter_name(client_home) if meter is None else _check_name(meter)
    fetched = _fetch(client_home, genesis, name, day, verify=verify)
    slots_s = fetched.slots_s
    found = _read(fetched, verify=verify)
    if save is not None:
        _save(save, found, fetched, genesis)
    if as_json:
        print_json(_describe(found, slots_s, is_verified=verify))
        return
    if not found.lines:
        talk(f"{found.home}: no slot of that day has settled yet")
        return
    if explain:
        for slot_s, line in found.lines.items():
            print_line(explain_line(slot_s, line, genesis.currency))
    _print_totals(found, genesis)
    if len(found.lines) < len(slots_s):
        talk(f"{len(slots_s) - len(found.lines)} of {len(slots_s)} slots of that day have not settled yet")
    if verify and found.certificate is not None:
        signers = len(found.certificate.signatures)
        members = fetched.anchor.get_membership(found.certificate.header.epoch) or fetched.anchor.membership
        talk(f"verified offline: {len(found.lines)} lines stand under block {found.height},")
        talk(f"  which {signers} of {len(members.replicas)} validators signed; every amount was recomputed")
    if save is not None:
        talk(f"kept in {save}; `gridbft verify {save}` checks it without any validator")


def explain_line(slot_s: int, line: "Line", currency: str) -> str:
    """Return a slot in the words of energy.md: what was drawn and fed in, from and to whom, at which price."""
    from cli.moments import format_moment
    from cli.money import format_kwh, format_money, format_price
    from vm.contracts.energy.records import Flag

    pool, retail, feed_in = map(format_price, (line.pool_price, line.retail_price, line.feed_in_price))
    agreed = format_price(abs(line.agreed_nano) // max(line.agreed_bought_wh + line.agreed_sold_wh, 1))
    parts = []
    if line.import_wh or line.pool_bought_wh or line.agreed_bought_wh:
        shares = _name_shares(
            (line.agreed_bought_wh, "as agreed with your neighbours", agreed),
            (line.pool_bought_wh, "from your neighbours", pool),
            (line.grid_bought_wh, "from the grid", retail),
        )
        parts.append(f"you drew {format_kwh(line.import_wh)} kWh{shares}")
    if line.export_wh or line.pool_sold_wh or line.agreed_sold_wh:
        shares = _name_shares(
            (line.agreed_sold_wh, "as agreed with your neighbours", agreed),
            (line.pool_sold_wh, "to your neighbours", pool),
            (line.grid_sold_wh, "to the grid", feed_in),
        )
        parts.append(f"you fed in {format_kwh(line.export_wh)} kWh{shares}")
    if line.flags & Flag.MISSING:
        parts = [NO_READING]
    sentence = "; ".join(parts) or "you drew and fed in nothing"
    remarks = [text for name, text in _REMARKS.items() if line.flags & Flag[name]]
    remark = f" ({', '.join(remarks)})" if remarks else ""
    verb = "you pay" if line.net_nano >= 0 else "you receive"
    return (
        f"{format_moment(slot_s)}  {sentence}{remark}; {verb} {format_money(abs(line.net_nano))} {currency}"
    )


_REMARKS = {
    "GAP": "it includes earlier slots whose readings never came",
    "LATE": "the reading came late: adjusted at grid prices",
    "CORRECTED": "corrected",
    "STATUS_NOT_GOOD": "the meter reported a problem",
    "SPLIT": "part of it was moved to its own slot by a late reading",
}


def _name_shares(*shares: tuple[int, str, str]) -> str:
    from cli.money import format_kwh

    named = [f"{format_kwh(wh)} {whom} at {price}" for wh, whom, price in shares if wh]
    return f": {', '.join(named)}" if named else ""


def _fetch(home: "ClientHome", genesis: "Genesis", name: str, day: str, *, verify: bool) -> Fetched:
    """Return what a validator answers about a meter's day."""
    from cli.moments import parse_day
    from cli.session import ask_validators
    from meter.answers import MeterAnswer

    slot_s = genesis.energy.slot_s

    async def work(client: "Client") -> Fetched:
        meter: MeterAnswer = await client.ask(f"/v1/meters/{name}", MeterAnswer)
        begin_s, end_s = parse_day(day, meter.opening_s)
        slots_s = list(range(-(-begin_s // slot_s) * slot_s, end_s, slot_s))
        if len(slots_s) > PROVEN_SLOTS_MAX:
            raise build_usage_error(f"--day {day}: more slots than one bill has")
        answer = await client.get_bill(meter.account, slots_s[0], slots_s[-1], with_proofs=verify)
        anchor = await client.follow(answer.certificate)
        handovers = client.get_handovers(anchor.epoch)
        return Fetched(slots_s, answer, bytes.fromhex(meter.account), anchor, handovers)

    return ask_validators(home, work)


def _read(fetched: Fetched, *, verify: bool) -> "Bill":
    from cli.bill_check import BillProblem, read_bill, verify_bill

    try:
        if not verify:
            return read_bill(fetched.answer)
        return verify_bill(fetched.anchor, fetched.account, fetched.slots_s, fetched.answer)
    except BillProblem as error:
        raise CliError(f"the bill proves nothing: {error}; ask another validator with --node") from None


def _save(path: "Path", found: "Bill", fetched: Fetched, genesis: "Genesis") -> None:
    from cli.proof_saving import build_bill_file, check_proof, write_new
    from meter.verification import VerifiedBill

    if not found.lines:
        raise CliError(f"no slot of that day has settled yet, so there is nothing to keep in {path}")
    data, proven = check_proof(build_bill_file(fetched.answer, fetched.handovers), genesis)
    if not isinstance(proven, VerifiedBill) or proven.home != found.home:
        raise CliError("the validator proves another bill than it says; ask another one with --node")
    write_new(path, data)


def _find_meter_name(home: "ClientHome") -> str:
    from meter.keystore import KeyKind, list_keys

    labels = [key.label for key in list_keys(home.wallets) if key.label is not None]
    meters = [label for label in labels if label.kind is KeyKind.METER]
    if len(meters) != 1:
        raise CliError(f"{home.wallets} has {len(meters)} keys of meters: name the meter", ExitCode.USAGE)
    return meters[0].account.hex()


def _check_name(name: str) -> str:
    from vm.genesis import is_name_sound

    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name or account of a meter")
    return name


def _print_totals(found: "Bill", genesis: "Genesis") -> None:
    from rich.table import Table

    from cli.moments import format_moment
    from cli.money import format_kwh, format_money

    first_s, last_s = min(found.lines), max(found.lines)
    print_line(
        f"{found.home}: {format_moment(first_s)} to {format_moment(last_s + genesis.energy.slot_s)} UTC"
    )
    table = Table()
    table.add_column("")
    for heading in ("kWh", "neighbours", "grid"):
        table.add_column(heading, justify="right")
    rows = (
        ("drawn", ("import_wh",), ("agreed_bought_wh", "pool_bought_wh"), ("grid_bought_wh",)),
        ("fed in", ("export_wh",), ("agreed_sold_wh", "pool_sold_wh"), ("grid_sold_wh",)),
    )
    for name, *columns in rows:
        sums = (sum(map(found.sum, fields)) for fields in columns)
        table.add_row(name, *(format_kwh(energy) for energy in sums))
    build_console().print(table)
    net, alone = found.sum("net_nano"), found.sum("alone_nano")
    verb = "to pay" if net >= 0 else "to receive"
    print_line(
        f"{verb} {format_money(abs(net), digits=9)} {genesis.currency}; at grid prices alone "
        f"{format_money(alone, digits=9)}; saved {format_money(alone - net, digits=9)}"
    )


def _describe(found: "Bill", slots_s: list[int], *, is_verified: bool) -> dict[str, object]:
    fields = (
        "import_wh",
        "export_wh",
        "pool_bought_wh",
        "pool_sold_wh",
        "grid_bought_wh",
        "grid_sold_wh",
        "net_nano",
        "alone_nano",
        "agreed_bought_wh",
        "agreed_sold_wh",
        "agreed_nano",
    )
    return {
        "meter": found.meter.hex(),
        "home": found.home,
        "height": found.height,
        "slots": len(slots_s),
        "lines": [
            {"slot_s": slot_s, **{name: getattr(line, name) for name in line.__struct_fields__}}
            for slot_s, line in found.lines.items()
        ],
        "totals": {field: found.sum(field) for field in fields},
        "verified": is_verified,
    }
