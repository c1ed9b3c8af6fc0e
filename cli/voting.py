"""A ballot from the command line: a validator of now signs with its own key, and hears how many are missing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client_settings import ClientHome
from cli.failure import CliError, ExitCode
from cli.session import ask_validators, check_outcome
from cli.transact import DELIVERY_TIMEOUT_S, VALID_BLOCKS, announce, build_call
from meter.answers import AccountAnswer, MotionAnswer, ValidatorsAnswer
from meter.outcomes import Committed
from meter.validators import NotFoundError
from node.identity import Identity
from primitives.encoding import Struct
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Height, Nonce
from vm.transaction import sign_transaction

if TYPE_CHECKING:
    from meter.client import Client

MakeChange = Callable[[ValidatorsAnswer], Struct]
"""Gives the call for the validators of now; raises CliError when there is none."""


@dataclass(frozen=True)
class Cast:
    """What became of a ballot: the block, who validates after it, and the motion that it is part of, if still open."""

    transaction_id: bytes
    height: int
    before: ValidatorsAnswer
    after: ValidatorsAnswer
    motion: MotionAnswer | None

    @property
    def is_decided(self) -> bool:
        """Tell whether the validators changed with it."""
        return self.after.epoch > self.before.epoch


def open_voter_identities(home: ClientHome, passphrase_file: Path | None) -> tuple[Identity, ...]:
    """Return the keys of the validator whose home this is.

    Raises:
        CliError: it is no validator's home, or a key does not open.

    """
    from cli.keys import build_key_error
    from cli.node_keys import NODE_KEY_PATH, open_identities
    from cli.passphrase import read_passphrase
    from meter.keystore import KeyNotFoundError, KeystoreError, read_key_label

    try:
        label = read_key_label(home.directory / NODE_KEY_PATH)
        passphrase = read_passphrase(passphrase_file, of_what=f"the keys of {label.name}")
        return open_identities(home.directory, passphrase)
    except KeyNotFoundError:
        raise CliError(
            f"{home.directory} is no validator's home: it has no {NODE_KEY_PATH}; only validators vote, so pass the"
            " home of one with --home",
            ExitCode.NOT_FOUND,
        ) from None
    except KeystoreError as error:
        raise build_key_error(error) from None


def cast_ballot(
    home: ClientHome, identities: tuple[Identity, ...], method: str, make_change: MakeChange, *, as_json: bool
) -> Cast:
    """Sign and deliver a ballot; the id goes out before it is sent.

    Raises:
        CliError: no key of this home is a validator's, refused with a name, or the outcome is unknown.

    """
    genesis_hash = home.read_genesis().compute_hash()

    async def work(client: "Client") -> Cast:
        before = await client.ask("/v1/validators", ValidatorsAnswer)
        voter = _find_voter(home, identities, before)
        call = build_call("validators", method, make_change(before))
        account = await _find_account(client, voter, before)
        transaction = sign_transaction(
            voter.key,
            genesis_hash,
            AccountId(bytes.fromhex(account.account)),
            Nonce(account.nonce_hint),
            Height(account.height + VALID_BLOCKS),
            call,
        )
        announce(transaction, as_json=as_json)
        outcome = await client.deliver(transaction, DELIVERY_TIMEOUT_S)
        check_outcome(outcome)
        height = (
            outcome.height if isinstance(outcome, Committed) else before.height
        )  # what passed is committed
        after = await client.ask("/v1/validators", ValidatorsAnswer)
        motion = next((each for each in after.motions if each.change == call.arguments), None)
        return Cast(transaction.id, height, before, after, motion)

    return ask_validators(home, work)


def _find_voter(home: ClientHome, identities: tuple[Identity, ...], current: ValidatorsAnswer) -> Identity:
    keys = {each.public_key for each in current.validators}
    for identity in identities:
        if identity.key.public.hex() in keys:
            return identity
    raise CliError(
        f"NOT_A_VALIDATOR: no key of {home.directory} is a validator's in epoch {current.epoch}; only validators of now"
        " vote: `gridbft validators list` names them",
        ExitCode.NOT_ALLOWED,
    )


async def _find_account(client: "Client", voter: Identity, current: ValidatorsAnswer) -> AccountAnswer:
    """Return the account whose current key is the voter's: its own, or the one that it took over by its name."""
    public_key = voter.key.public.hex()
    name = next(each.name for each in current.validators if each.public_key == public_key)
    for text in (compute_account_id(voter.key.public).hex(), name):
        try:
            account = await client.get_account(text)
        except NotFoundError:
            continue
        if account.public_key == public_key:
            return account
    raise CliError(
        f"{name} has no account with this key: it cannot vote; ask the utility to register one",
        ExitCode.NOT_FOUND,
    )
