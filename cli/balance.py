"""`gridbft balance`: what an account owes or is owed."""

from typing import Annotated

import typer

from cli.console import print_json, print_line
from cli.failure import build_usage_error
from cli.money import format_money
from cli.options import HomeOption, JsonOption, NodeOption, find_home


def balance(
    account: Annotated[
        str | None,
        typer.Argument(help="Name or id; without it, the only key of this home.", show_default=False),
    ] = None,
    *,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balances of an account: settlement money (negative: it owes) and coins."""
    from cli.client_settings import ClientHome, open_client_home
    from cli.session import ask_validators
    from meter.keystore import list_keys
    from vm.genesis import is_name_sound

    def find_own(client_home: ClientHome) -> str:
        labels = [key.label for key in list_keys(client_home.wallets) if key.label is not None]
        if len(labels) != 1:
            raise build_usage_error(f"{client_home.wallets} has {len(labels)} keys: name the account")
        return labels[0].account.hex()

    client_home = open_client_home(find_home(home), node)
    name = find_own(client_home) if account is None else account
    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name or id of an account")
    answer = ask_validators(client_home, lambda client: client.get_account(name))
    if as_json:
        print_json(
            {
                "account": answer.account,
                "name": answer.name,
                "role": answer.role,
                "status": answer.status,
                "settlement_nano": answer.balances.settlement_nano,
                "coins": answer.balances.coins,
                "height": answer.height,
            }
        )
        return
    currency = client_home.read_genesis().currency
    print_line(f"{answer.name}  {format_money(answer.balances.settlement_nano, digits=9)} {currency}")
    if answer.balances.coins:
        print_line(f"{answer.name}  {answer.balances.coins} coins")
