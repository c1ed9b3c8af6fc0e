"""One signed call from the command line: build, say its id, deliver, believe only the verified receipt."""

from typing import TYPE_CHECKING

from cli.client_settings import ClientHome
from cli.console import print_json, print_line, talk
from cli.session import ask_validators, check_outcome
from meter.keystore import OpenedKey
from meter.outcomes import Committed, Outcome
from primitives.encoding import Struct, encode
from primitives.ids import Height, Nonce
from vm.transaction import Call, SealedTransaction, sign_transaction

if TYPE_CHECKING:
    from meter.client import Client

DELIVERY_TIMEOUT_S = 30.0
"""A view change at its longest time-out is over by then; the same bytes may always be sent again."""
VALID_BLOCKS = 1000
"""Hours on an idle network; a forgotten transaction does not surprise anybody a year later."""


def build_call(contract: str, method: str, arguments: Struct) -> Call:
    """Return the call of a contract's method."""
    return Call(contract, method, encode(arguments))


def transact(home: ClientHome, key: OpenedKey, call: Call, *, as_json: bool, done: str) -> None:
    """Sign a call with a key of this home, deliver it, and say what became of it.

    The id goes to standard output before anything is sent.

    Raises:
        CliError: refused with a name, or the outcome is unknown.

    """
    genesis_hash = home.read_genesis().compute_hash()

    async def deliver(client: "Client") -> Outcome:
        account = await client.get_account(key.label.account.hex())
        transaction = sign_transaction(
            key.key,
            genesis_hash,
            key.label.account,
            Nonce(account.nonce_hint),
            Height(account.height + VALID_BLOCKS),
            call,
        )
        announce(transaction, as_json=as_json)
        return await client.deliver(transaction, DELIVERY_TIMEOUT_S)

    outcome = ask_validators(home, deliver)
    check_outcome(outcome)
    if isinstance(outcome, Committed):
        talk(f"{done} (block {outcome.height}, verified)")
    if as_json and isinstance(outcome, Committed):
        print_json({"id": outcome.transaction_id.hex(), "height": outcome.height, "verified": True})


def announce(transaction: SealedTransaction, *, as_json: bool) -> None:
    """Say the id of what is about to be sent: on standard output, or beside the JSON."""
    if as_json:
        talk(transaction.id.hex())
    else:
        print_line(transaction.id.hex())
