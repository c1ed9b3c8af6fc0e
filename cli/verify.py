"""`gridbft verify`: what a file proves, said in plain words, with nothing but the genesis."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.bill import explain_line
from cli.console import print_json, print_line, talk
from cli.failure import CliError
from cli.moments import format_moment
from cli.money import count, format_kwh, format_money
from cli.options import HomeOption, JsonOption, find_home
from primitives.encoding import Struct
from primitives.limits import TRANSACTION_BYTES_MAX
from primitives.text import to_line

if TYPE_CHECKING:
    from meter.verification import (
        Certification,
        Problem,
        Verified,
        VerifiedBalance,
        VerifiedBill,
        VerifiedReceipt,
    )

TOTALS = (
    *("import_wh", "export_wh", "agreed_bought_wh", "agreed_sold_wh", "pool_bought_wh", "pool_sold_wh"),
    *("grid_bought_wh", "grid_sold_wh", "agreed_nano", "net_nano", "alone_nano"),
)
"""The sums that a bill shows in JSON."""

SENTENCE_CHARACTERS_MAX = 4 * TRANSACTION_BYTES_MAX
"""All fields of a call by their names: what a block holds and refused may have said anything."""


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt, a balance or a bill.")],
    *,
    genesis: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The network's genesis; by default that of the home directory.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Of a bill, one sentence per slot.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a kept receipt, balance or bill offline, and say what it proves, signed by whom."""
    from cli.client_settings import open_client_home, read_genesis
    from cli.proof_saving import read_file
    from meter.verification import Problem, VerifiedBill, Verifier

    constitution = (
        open_client_home(find_home(home)).read_genesis() if genesis is None else read_genesis(genesis)
    )
    found = Verifier(constitution).verify(read_file(file))
    if as_json:
        print_json(describe(found))
    if isinstance(found, Problem):
        raise CliError(f"{file} proves nothing: {found.name}: {found.detail}; do not rely on it")
    if as_json:
        return
    if explain and isinstance(found, VerifiedBill):
        for slot_s, line in found.lines:
            print_line(explain_line(slot_s, line, found.certification.currency))
    for sentence in tell(found):
        print_line(sentence)
    talk(f"verified offline, against the genesis of {found.certification.network} alone")


def tell(found: "Verified") -> list[str]:
    """Return what is proven, in printable sentences; the last one says who signed."""
    sentences = [*_tell_content(found), _tell_signers(found.certification)]
    return [to_line(sentence, SENTENCE_CHARACTERS_MAX) for sentence in sentences]


def _tell_content(found: "Verified") -> list[str]:
    from meter.verification import VerifiedBalance, VerifiedBill, VerifiedReceipt

    match found:
        case VerifiedReceipt():
            return _tell_receipt(found)
        case VerifiedBalance():
            return _tell_balance(found)
        case VerifiedBill():
            return _tell_bill(found)


def describe(found: "Verified | Problem") -> dict[str, object]:
    """Return what is proven as JSON, integers in the units of their names; bytes are lower-case hex."""
    from meter.verification import Problem, VerifiedBill

    if isinstance(found, Problem):
        return {"verified": False, "problem": str(found.name), "detail": found.detail}
    kind = type(found).__name__.removeprefix("Verified").lower()
    shown = {"verified": True, "kind": kind, **_list_fields(found)}
    if isinstance(found, VerifiedBill):
        shown["lines"] = [{"slot_s": slot_s, **_list_fields(line)} for slot_s, line in found.lines]
        shown["totals"] = {name: found.sum(name) for name in TOTALS}
    return shown


def _list_fields(value: object) -> dict[str, object]:
    """Return the fields of a record by name, as JSON."""
    names = value.__struct_fields__ if isinstance(value, Struct) else (each.name for each in fields(value))  # type: ignore[arg-type]  # records are Structs or dataclasses
    return {name: _to_json(getattr(value, name)) for name in names}


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return _list_fields(value) if isinstance(value, Struct) or is_dataclass(value) else value


def _tell_signers(certification: "Certification") -> str:
    signers, moment = ", ".join(certification.signers), format_moment(certification.time_ms // 1000)
    block = (
        f"block {certification.height} of {certification.network}, {moment} UTC, epoch {certification.epoch}"
    )
    share = f"{len(certification.signers)} of {certification.validators}, {certification.quorum} are a quorum"
    return f"signed: {block}, by {signers} ({share})"


def _tell_balance(found: "VerifiedBalance") -> list[str]:
    moment = format_moment(found.certification.time_ms // 1000)
    sentences = [
        f"account {found.name} ({found.account.hex()}, {found.role})",
        f"  after block {found.certification.height} of {moment} UTC",
    ]
    if found.settlement is not None:
        amount = found.settlement.amount
        money = f"{format_money(abs(amount), digits=9)} {found.certification.currency}"
        sentences.append(f"  {'owes' if amount < 0 else 'has'} {money} of settlement money")
    if found.coins is not None:
        sentences.append(
            f"  has {count(found.coins.amount, 'coin')}, {found.coins.reserved} of them reserved"
        )
    return sentences


def _tell_bill(found: "VerifiedBill") -> list[str]:
    first_s, last_s = found.lines[0][0], found.lines[-1][0] + found.slot_s
    currency, net, alone = found.certification.currency, found.sum("net_nano"), found.sum("alone_nano")
    slots = count(len(found.lines), "slot")
    sentences = [
        f"bill of {found.home} (meter {found.meter.hex()})",
        f"  {slots} from {format_moment(first_s)} to {format_moment(last_s)} UTC",
        f"  drew {format_kwh(found.sum('import_wh'))} kWh, fed in {format_kwh(found.sum('export_wh'))} kWh",
        f"  {'pays' if net >= 0 else 'receives'} {format_money(abs(net), digits=9)} {currency}",
        f"  at grid prices alone {format_money(alone, digits=9)}; every amount was computed again",
    ]
    if found.slots_absent:
        sentences.insert(
            2, f"  {count(found.slots_absent, 'slot')} in between not shown: the file says nothing of them"
        )
    return sentences


def _tell_receipt(found: "VerifiedReceipt") -> list[str]:
    from vm.contracts.energy.calls import SubmitReading

    receipt, transaction, call = found.receipt, found.transaction, found.call
    result = "was applied"
    if receipt.rejection is not None:
        spent = "its nonce is spent" if receipt.consumed else "its nonce is not spent"
        result = f"was refused: {receipt.rejection}, {spent}"
    moment = format_moment(found.time_ms // 1000)
    sentences = [
        f"transaction {receipt.transaction_id.hex()}",
        f"  {result}, in block {found.height} of {moment} UTC at place {found.place}",
    ]
    if transaction is None:
        return sentences
    sentences.append(
        f"  account {transaction.account.hex()} asked {transaction.call.contract}: {transaction.call.method}"
    )
    if isinstance(call, SubmitReading):
        sentences.append(
            f"  its meter showed {format_kwh(call.import_wh)} kWh drawn and {format_kwh(call.export_wh)} kWh fed in"
            f" at {format_moment(call.time_s)} UTC"
        )
    elif call is not None:
        sentences.append(f"  {', '.join(f'{name} {value}' for name, value in _list_fields(call).items())}")
    return sentences
