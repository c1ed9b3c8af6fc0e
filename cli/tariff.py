"""`gridbft tariff`: the utility publishes what the grid asks and pays."""

from typing import Annotated

import typer

from cli.failure import build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

app = typer.Typer(no_args_is_help=True, help="Prices of the grid, micro-currency per kWh.")


@app.command("set")
def set_prices(
    first_slot: Annotated[
        str, typer.Argument(metavar="SLOT", help="Start of the first slot in UTC, as 2026-01-01T00:00:00Z.")
    ],
    *,
    retail: Annotated[int, typer.Option(metavar="µ/kWh", min=0, help="What the grid asks.")],
    feed_in: Annotated[int, typer.Option("--feed-in", metavar="µ/kWh", min=0, help="What the grid pays.")],
    slots: Annotated[int, typer.Option(metavar="N", min=1, help="For how many slots.")] = 1,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish one price pair for N slots that have not begun; the utility's key signs."""
    from cli.client_settings import open_client_home
    from cli.keys import open_utility_key
    from cli.moments import parse_boundary
    from cli.transact import build_call, transact
    from vm.contracts.energy.calls import TARIFF_SLOTS_MAX, SetTariff
    from vm.genesis import is_price_pair_sound

    client_home = open_client_home(find_home(home), node)
    slot_s = client_home.read_genesis().energy.slot_s
    start_s = parse_boundary(first_slot, slot_s)
    if slots > TARIFF_SLOTS_MAX:
        raise build_usage_error(
            f"--slots {slots}: at most {TARIFF_SLOTS_MAX} at once; publish the rest after"
        )
    if not is_price_pair_sound(feed_in, retail):
        raise build_usage_error(
            f"--feed-in {feed_in}: must not be above --retail {retail}, nor that above 10^9"
        )
    key = open_utility_key(client_home, passphrase_file)
    call = build_call("energy", "set_tariff", SetTariff(start_s, ((retail, feed_in),) * slots))
    transact(client_home, key, call, as_json=as_json, done=f"{slots} slots from {first_slot} are priced")
