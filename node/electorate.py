"""Who validates, as the ledger says it: the sets of all epochs, what current validators want, and who still signs."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from node.receipts import ChainReader
from primitives.header import Validator
from primitives.ids import Height
from primitives.quorum import get_quorum
from vm.contracts.validators import (
    Add,
    Endpoint,
    Remove,
    Replace,
    ValidatorSet,
    decode_change,
    read_ballots,
    read_endpoint,
    read_validator_set,
)
from vm.genesis import Genesis
from vm.state import StateReader

SIGNED_LOOKED_AT_MAX = 64
"""Certificates looked at for whom a validator signed last: who is in none of them has been silent for a window."""

EPOCHS_REMEMBERED_MAX = 8
"""Epochs whose validators' names are kept; old blocks are read a few at a time."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A change that validators want: their names, and how many more must ask for the same."""

    method: str
    name: str
    public_key: bytes
    endpoint: Endpoint | None
    voters: tuple[str, ...]
    missing: int
    change: bytes


@dataclass(frozen=True, slots=True)
class Electorate:
    """The validators of one epoch, where each is reached if the ledger says it, and what they want."""

    current: ValidatorSet
    endpoints: Mapping[bytes, Endpoint]
    motions: tuple[Motion, ...]


class ValidatorNames:
    """The names of validators by epoch and key; for one event loop."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._names: OrderedDict[int, Mapping[bytes, str]] = OrderedDict()

    def get_name(self, state: StateReader, epoch: int, public_key: bytes) -> str:
        """Return the name of an epoch's validator, or its key in hexadecimal when it was none."""
        names = self._names.get(epoch)
        if names is None:
            found = read_validator_set(state, self._genesis, epoch)
            if found is None:
                return public_key.hex()
            names = self._names[epoch] = {each.public_key: each.name for each in found.validators}
            if len(self._names) > EPOCHS_REMEMBERED_MAX:
                self._names.popitem(last=False)
        return names.get(public_key, public_key.hex())


def read_electorate(state: StateReader, genesis: Genesis, epoch: int | None) -> Electorate | None:
    """Return the validators of an epoch (None: of the current one), or None when it has not begun."""
    current = read_validator_set(state, genesis, epoch)
    if current is None:
        return None
    found = {each.public_key: read_endpoint(state, each.public_key) for each in current.validators}
    endpoints = {key: endpoint for key, endpoint in found.items() if endpoint is not None}
    return Electorate(current, endpoints, _collect_motions(state, current))


def find_last_signed(chain: ChainReader, height: Height, keys: frozenset[bytes]) -> dict[bytes, Height]:
    """Return the highest certified block that each key signed, of the last ones up to ``height``."""
    found: dict[bytes, Height] = {}
    for number in range(height, max(0, height - SIGNED_LOOKED_AT_MAX), -1):
        certificate = chain.get_certificate(Height(number))
        if certificate is not None:
            for entry in certificate.signatures:
                if entry.replica in keys:
                    found.setdefault(entry.replica, Height(number))
        if len(found) == len(keys):
            break
    return found


def _collect_motions(state: StateReader, current: ValidatorSet) -> tuple[Motion, ...]:
    """Return what the ballots ask for, each change once, in the order of the first who asks for it."""
    names = {each.public_key: each for each in current.validators}
    ballots = read_ballots(state, current)
    motions = []
    for ballot in dict.fromkeys(ballots.values()):
        voters = tuple(names[key].name for key, other in ballots.items() if other == ballot)
        target, endpoint = _find_target(names, ballot.method, ballot.change)
        motions.append(
            Motion(
                method=ballot.method,
                name=target.name,
                public_key=target.public_key,
                endpoint=endpoint,
                voters=voters,
                missing=get_quorum(len(current.validators)) - len(voters),
                change=ballot.change,
            )
        )
    return tuple(motions)


def _find_target(
    names: Mapping[bytes, Validator], method: str, encoded: bytes
) -> tuple[Validator, Endpoint | None]:
    """Return the validator whom a change is about: the new one, or the one that leaves."""
    change = decode_change(method, encoded)
    match change:
        case Add(validator=validator, endpoint=endpoint) | Replace(validator=validator, endpoint=endpoint):
            return validator, endpoint
        case Remove(public_key=public_key):
            return names[public_key], None
