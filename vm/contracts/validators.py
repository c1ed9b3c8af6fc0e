"""Who validates: changed one member at a time, by ballots of a quorum of the current validators (prefix ``v``).

====== ============ ========================================================================
prefix key          value
====== ============ ========================================================================
``vc`` –            ``Current``: the epoch, and the block that began it; absent in epoch 0
``vs`` epoch (8)    ``ValidatorSet`` of an epoch from 1 on; epoch 0 is the genesis
``vb`` public key   ``Ballot`` that a validator has cast in its epoch
``va`` public key   ``Endpoint`` where a later validator is reached
====== ============ ========================================================================

A validator votes with the account whose current key is its voting key. A change happens in the block in which a quorum
of ballots asks for the very same one; that block is the last of its epoch, and all ballots end with it.
"""

from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.limits import VALIDATORS_MAX, VALIDATORS_MIN
from primitives.quorum import get_quorum
from primitives.signing import is_public_key_sound
from vm.contract import CallContext, Contract
from vm.contracts.permissions import (
    check_new_account,
    find_key_owner,
    get_account,
    open_account,
    put_key,
)
from vm.genesis import Genesis, is_name_sound
from vm.receipt import Rejection
from vm.state import Overlay, StateReader, read_record

CURRENT_KEY = b"vc"
SET_PREFIX = b"vs"
BALLOT_PREFIX = b"vb"
ENDPOINT_PREFIX = b"va"

CERTIFICATE_BYTES_MAX = 1024
"""A self-signed Ed25519 or P-256 certificate has 300 to 600 bytes."""

HOST_BYTES_MAX = 253
"""RFC 1035, section 2.3.4."""

PORT_MAX = 65535


class Current(Struct, frozen=True):
    """The epoch, and the height of the block that ended the one before."""

    epoch: int
    since_height: int


class ValidatorSet(Struct, frozen=True):
    """The validators of one epoch in their order, and the height of the block that ended the epoch before."""

    epoch: int
    since_height: int
    validators: tuple[Validator, ...]


class Ballot(Struct, frozen=True):
    """The change that a validator asks for: the method and its encoded call."""

    epoch: int
    method: str
    change: bytes


class Endpoint(Struct, frozen=True):
    """Where a validator's peers reach it; what a node's own config.toml says goes before."""

    host: str
    port: int


class Add(Struct, frozen=True):
    """Let a validator in, at the end of the order; the account of its key is opened if there is none."""

    validator: Validator
    endpoint: Endpoint


class Remove(Struct, frozen=True):
    """Let the validator with this voting key go."""

    public_key: bytes


class Replace(Struct, frozen=True):
    """Give a validator a new key and certificate in its old place; its account gets the new key too."""

    public_key: bytes
    validator: Validator
    endpoint: Endpoint


class Withdraw(Struct, frozen=True):
    """Take the own ballot back."""


Change = Add | Remove | Replace
METHODS: dict[str, type[Struct]] = {
    "add": Add,
    "remove": Remove,
    "replace": Replace,
    "withdraw": Withdraw,
}


def get_set_key(epoch: int) -> bytes:
    """Return the key of an epoch's validator set."""
    return SET_PREFIX + epoch.to_bytes(8, "big")


def read_validator_set(state: StateReader, genesis: Genesis, epoch: int | None = None) -> ValidatorSet | None:
    """Return the validators of an epoch, of the current one by default; None for an epoch that has not begun."""
    current = read_record(state, CURRENT_KEY, Current)
    latest = 0 if current is None else current.epoch
    wanted = latest if epoch is None else epoch
    if wanted == 0:
        return ValidatorSet(0, 0, genesis.validators)
    return read_record(state, get_set_key(wanted), ValidatorSet)


def read_endpoint(state: StateReader, public_key: bytes) -> Endpoint | None:
    """Return where a validator that was added is reached; None for one of the genesis."""
    return read_record(state, ENDPOINT_PREFIX + public_key, Endpoint)


def read_ballots(state: StateReader, validators: ValidatorSet) -> dict[bytes, Ballot]:
    """Return the ballots of the current validators in their order."""
    found = {
        validator.public_key: read_record(state, BALLOT_PREFIX + validator.public_key, Ballot)
        for validator in validators.validators
    }
    return {
        key: ballot
        for key, ballot in found.items()
        if ballot is not None and ballot.epoch == validators.epoch
    }


def decode_change(method: str, change: bytes) -> Change:
    """Return the change that a ballot asks for.

    Raises:
        DecodeError: it asks for none; no ballot of the state does.

    """
    record = METHODS.get(method, Withdraw)
    call = decode(change, record)
    if not isinstance(call, Change):
        raise DecodeError(f"{method} is no change of the validators")
    return call


def find_new_set(state: Overlay, height: int) -> ValidatorSet | None:
    """Return the validators who follow the block at ``height``, or None when it changes nothing."""
    current = state.read(CURRENT_KEY, Current)
    if current is None or current.since_height != height:
        return None
    return state.read(get_set_key(current.epoch), ValidatorSet)


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the ballot cannot be cast, in this order: the sender votes for no current validator; the block has
    changed the validators already; then why the change itself is none.
    """
    current = _get_current_set(context)
    voter = _find_voter(context, current)
    if voter is None:
        return Rejection.NOT_A_VALIDATOR
    if current.since_height == context.height:
        return Rejection.MEMBERSHIP_CHANGING
    match call:
        case Add():
            return _check_add(context, current, call)
        case Remove():
            if _find(current, call.public_key) is None:
                return Rejection.VALIDATOR_UNKNOWN
            return Rejection.VALIDATOR_LIMIT if len(current.validators) <= VALIDATORS_MIN else None
        case Replace():
            return _check_replace(context, current, call)
        case Withdraw():
            ballot = context.state.read(BALLOT_PREFIX + voter, Ballot)
            return Rejection.BALLOT_MISSING if ballot is None or ballot.epoch != current.epoch else None
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Cast or withdraw a ballot; with a quorum for one change, make it."""
    state = context.state
    current = _get_current_set(context)
    voter = _find_voter(context, current)
    if voter is None:
        message = "a voter that was just checked is gone"
        raise AssertionError(message)
    if isinstance(call, Withdraw):
        state.write(BALLOT_PREFIX + voter, None)
        return
    method = next(name for name, record in METHODS.items() if isinstance(call, record))
    ballot = Ballot(current.epoch, method, encode(call))
    state.write(BALLOT_PREFIX + voter, ballot)
    cast = [state.read(BALLOT_PREFIX + each.public_key, Ballot) for each in current.validators]
    if sum(other == ballot for other in cast) >= get_quorum(len(current.validators)):
        _make_change(context, current, call)


def _make_change(context: CallContext, current: ValidatorSet, call: Struct) -> None:
    state = context.state
    validators = list(current.validators)
    match call:
        case Add():
            validators.append(call.validator)
            if find_key_owner(state, call.validator.public_key) is None:
                _open_account(state, call.validator)
            state.write(ENDPOINT_PREFIX + call.validator.public_key, call.endpoint)
        case Remove():
            validators = [each for each in validators if each.public_key != call.public_key]
            _forget_endpoint(state, call.public_key)
        case Replace():
            place = next(i for i, each in enumerate(validators) if each.public_key == call.public_key)
            validators[place] = call.validator
            _hand_account_over(state, call)
            _forget_endpoint(state, call.public_key)
            state.write(ENDPOINT_PREFIX + call.validator.public_key, call.endpoint)
    for each in current.validators:
        if state.read(BALLOT_PREFIX + each.public_key, Ballot) is not None:
            state.write(BALLOT_PREFIX + each.public_key, None)
    following = ValidatorSet(current.epoch + 1, context.height, tuple(validators))
    state.write(get_set_key(following.epoch), following)
    state.write(CURRENT_KEY, Current(following.epoch, context.height))


def _forget_endpoint(state: Overlay, public_key: bytes) -> None:
    if state.read(ENDPOINT_PREFIX + public_key, Endpoint) is not None:
        state.write(ENDPOINT_PREFIX + public_key, None)


def _hand_account_over(state: Overlay, call: Replace) -> None:
    account = find_key_owner(state, call.public_key)
    record = None if account is None else get_account(state, account)
    if account is None or record is None or record.public_key != call.public_key:
        _open_account(state, call.validator)
    else:
        put_key(state, account, record, call.validator.public_key)


def _open_account(state: Overlay, validator: Validator) -> None:
    account = compute_account_id(validator.public_key)
    open_account(state, account, validator.public_key, "validator", validator.name)


def _check_add(context: CallContext, current: ValidatorSet, call: Add) -> Rejection | None:
    if not _is_validator_sound(call.validator, call.endpoint):
        return Rejection.ARGUMENTS_INVALID
    if any(_is_same(each, call.validator) for each in current.validators):
        return Rejection.VALIDATOR_EXISTS
    if not is_public_key_sound(call.validator.public_key):
        return Rejection.KEY_UNSOUND
    if len(current.validators) >= VALIDATORS_MAX:
        return Rejection.VALIDATOR_LIMIT
    owner = find_key_owner(context.state, call.validator.public_key)
    if owner is None:
        return _check_account(context.state, call.validator)
    record = get_account(context.state, owner)
    is_current = record is not None and record.public_key == call.validator.public_key
    return None if is_current else Rejection.KEY_IN_USE


def _check_replace(context: CallContext, current: ValidatorSet, call: Replace) -> Rejection | None:
    if not _is_validator_sound(call.validator, call.endpoint):
        return Rejection.ARGUMENTS_INVALID
    replaced = _find(current, call.public_key)
    if replaced is None:
        return Rejection.VALIDATOR_UNKNOWN
    others = [each for each in current.validators if each != replaced]
    if call.validator.public_key == call.public_key or any(_is_same(each, call.validator) for each in others):
        return Rejection.VALIDATOR_EXISTS
    if not is_public_key_sound(call.validator.public_key):
        return Rejection.KEY_UNSOUND
    if find_key_owner(context.state, call.validator.public_key) is not None:
        return Rejection.KEY_IN_USE
    account = find_key_owner(context.state, call.public_key)
    record = None if account is None else get_account(context.state, account)
    if record is None or record.public_key != call.public_key:
        return _check_account(context.state, call.validator)
    return None


def _check_account(state: Overlay, validator: Validator) -> Rejection | None:
    account = compute_account_id(validator.public_key)
    return check_new_account(state, account, validator.public_key, "validator", validator.name)


def _is_same(first: Validator, second: Validator) -> bool:
    """Tell whether two validators share what must be their own."""
    return (
        first.name == second.name
        or first.public_key == second.public_key
        or first.tls_certificate == second.tls_certificate
    )


def _is_validator_sound(validator: Validator, endpoint: Endpoint) -> bool:
    is_host_plain = endpoint.host.isascii() and endpoint.host.isprintable() and " " not in endpoint.host
    return (
        is_name_sound(validator.name)
        and 0 < len(validator.tls_certificate) <= CERTIFICATE_BYTES_MAX
        and 0 < len(endpoint.host) <= HOST_BYTES_MAX
        and is_host_plain
        and 0 < endpoint.port <= PORT_MAX
    )


def _get_current_set(context: CallContext) -> ValidatorSet:
    current = context.state.read(CURRENT_KEY, Current)
    if current is None:
        return ValidatorSet(0, 0, context.ledger.genesis.validators)
    found = context.state.read(get_set_key(current.epoch), ValidatorSet)
    if found is None:
        message = "the validators of the current epoch are gone"
        raise AssertionError(message)
    return found


def _find(current: ValidatorSet, public_key: bytes) -> Validator | None:
    return next((each for each in current.validators if each.public_key == public_key), None)


def _find_voter(context: CallContext, current: ValidatorSet) -> bytes | None:
    """Return the voting key that is the sender's current one, or None."""
    record = get_account(context.state, context.sender)
    if record is None or _find(current, record.public_key) is None:
        return None
    return record.public_key


CONTRACT = Contract(name="validators", key_prefix=b"v", methods=METHODS, check=check, apply=apply)
