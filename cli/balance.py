"""`gridbft balance`: what an account owes or is owed, and proven when asked."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, build_usage_error
from cli.money import format_money
from cli.options import HomeOption, JsonOption, NodeOption, SaveOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from consensus.messages import Handover
    from meter.answers import AccountAnswer
    from meter.client import Client
    from meter.proof_files import BalanceFile
    from meter.verification import VerifiedBalance
    from vm.genesis import Genesis


def balance(
    account: Annotated[
        str | None,
        typer.Argument(help="Name or id; without it, the only key of this home.", show_default=False),
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the balance's proof offline against the genesis.")
    ] = False,
    save: SaveOption = None,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balances of an account: settlement money (negative: it owes) and coins."""
    from cli.client_settings import open_client_home
    from vm.genesis import is_name_sound

    client_home = open_client_home(find_home(home), node)
    name = _find_own(client_home) if account is None else account
    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name or id of an account")
    genesis = client_home.read_genesis()
    verify = verify or save is not None
    answer, handovers = _fetch(client_home, name, verify=verify)
    found = None
    if verify:
        from cli.proof_saving import build_balance_file, write_new

        data, found = _check(build_balance_file(answer, handovers), answer, name, genesis)
        if save is not None:
            write_new(save, data)
    if as_json:
        print_json(_describe(answer, is_verified=verify))
        return
    print_line(f"{answer.name}  {format_money(answer.balances.settlement_nano, digits=9)} {genesis.currency}")
    if answer.balances.coins:
        print_line(f"{answer.name}  {answer.balances.coins} coins")
    if found is not None:
        signed = found.certification
        talk(f"verified offline: it stands under block {signed.height},")
        talk(f"  which {len(signed.signers)} of {signed.validators} validators signed")
        if found.settlement is None:
            talk("  but of settlement money: that none was ever booked is what the validator says")
    if save is not None:
        talk(f"kept in {save}; `gridbft verify {save}` checks it without any validator")


def _find_own(home: "ClientHome") -> str:
    from meter.keystore import list_keys

    labels = [key.label for key in list_keys(home.wallets) if key.label is not None]
    if len(labels) != 1:
        raise build_usage_error(f"{home.wallets} has {len(labels)} keys: name the account")
    return labels[0].account.hex()


def _fetch(home: "ClientHome", name: str, *, verify: bool) -> "tuple[AccountAnswer, tuple[Handover, ...]]":
    """Return what a validator answers, and the handovers from the genesis to its certificate's epoch."""
    from cli.session import ask_validators
    from meter.answers import AccountAnswer

    async def work(client: "Client") -> "tuple[AccountAnswer, tuple[Handover, ...]]":
        query = {"proof": "1"} if verify else {}
        answer: AccountAnswer = await client.ask(f"/v1/accounts/{name}", AccountAnswer, query)
        anchor = await client.follow(answer.certificate)
        return answer, client.get_handovers(anchor.epoch)

    return ask_validators(home, work)


def _check(
    content: "BalanceFile", answer: "AccountAnswer", asked: str, genesis: "Genesis"
) -> "tuple[bytes, VerifiedBalance]":
    """Return the file and what it proves, when that is what the answer says, of the account that was named."""
    from cli.proof_saving import check_proof
    from meter.verification import VerifiedBalance

    data, found = check_proof(content, genesis)
    shown = answer.balances
    if (
        not isinstance(found, VerifiedBalance)
        or (asked != found.name and asked.lower() != found.account.hex())
        or found.name != answer.name
        or (found.settlement.amount if found.settlement else 0) != shown.settlement_nano
        or (found.coins.amount if found.coins else 0) != shown.coins
    ):
        raise CliError("the validator proves another balance than it says; ask another one with --node")
    return data, found


def _describe(answer: "AccountAnswer", *, is_verified: bool) -> dict[str, object]:
    return {
        "account": answer.account,
        "name": answer.name,
        "role": answer.role,
        "status": answer.status,
        "settlement_nano": answer.balances.settlement_nano,
        "coins": answer.balances.coins,
        "height": answer.height,
        "verified": is_verified,
    }
