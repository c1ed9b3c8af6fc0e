"""Validators change by ballots of a quorum of those who validate now, one member at a time."""

import pytest

from primitives.encoding import Struct
from primitives.hashing import compute_account_id
from primitives.header import Validator, compute_membership_hash
from primitives.quorum import get_quorum
from tests.vm.ledger import Chain, Wallet, make_genesis, make_key, make_validator_wallet
from vm.contracts.permissions import RotateKey, read_account
from vm.contracts.validators import (
    Add,
    Endpoint,
    Remove,
    Replace,
    Withdraw,
    read_ballots,
    read_endpoint,
    read_validator_set,
)
from vm.receipt import Rejection

ENDPOINT = Endpoint("vx.example", 7100)


def make_validator(name: str, key: str = "") -> Validator:
    return Validator(name, make_key(key or name).public, f"certificate of {name} {key}".encode())


def make_add(name: str) -> Add:
    return Add(make_validator(name), ENDPOINT)


class Town:
    """A chain of ``count`` validators and the wallets they vote with."""

    def __init__(self, count: int = 4) -> None:
        self.chain = Chain(make_genesis(validators=count))
        self.voters = [make_validator_wallet(index) for index in range(count)]

    def cast(self, change: Struct, voters: list[Wallet] | None = None) -> list[str | None]:
        """Let each vote in a block of its own; return why each was refused."""
        chosen = self.voters[: get_quorum(len(self.voters))] if voters is None else voters
        return [self.chain.call(voter, change) for voter in chosen]

    @property
    def validators(self) -> tuple[Validator, ...]:
        current = read_validator_set(self.chain.state, self.chain.genesis)
        assert current is not None
        return current.validators

    @property
    def names(self) -> list[str]:
        return [validator.name for validator in self.validators]


@pytest.mark.parametrize("count", [4, 5, 6, 7, 10])
def test_a_change_happens_with_the_ballot_that_completes_a_quorum_and_not_before(count: int) -> None:
    town = Town(count)
    quorum = get_quorum(count)
    assert town.cast(make_add("vx"), town.voters[: quorum - 1]) == [None] * (quorum - 1)
    assert len(town.names) == count
    assert town.chain.last.next_validators is None
    assert town.cast(make_add("vx"), [town.voters[quorum - 1]]) == [None]
    assert town.names[-1] == "vx"
    assert town.chain.last.next_validators is not None


def test_the_header_names_the_validators_who_follow_it() -> None:
    town = Town()
    before = town.chain.header.next_membership
    town.cast(make_add("vx"))
    assert town.chain.header.next_membership == compute_membership_hash(town.validators) != before
    assert (town.chain.header.epoch, town.chain.epoch) == (0, 1)
    town.chain.execute()
    assert town.chain.header.next_membership == compute_membership_hash(town.validators)
    assert town.chain.last.next_validators is None


def test_a_validator_that_was_let_in_votes_with_an_account_of_its_own() -> None:
    town = Town()
    town.cast(make_add("vx"))
    newcomer = Wallet("vx", make_key("vx"), compute_account_id(make_key("vx").public))
    assert town.chain.call(newcomer, Remove(town.voters[0].key.public)) is None
    assert read_endpoint(town.chain.state, newcomer.key.public) == ENDPOINT


def test_a_validator_that_was_let_go_votes_no_more_and_its_ballots_are_gone() -> None:
    town = Town(5)
    leaver = town.voters[4]
    assert town.cast(make_add("vx"), [leaver]) == [None]
    town.cast(Remove(leaver.key.public))
    assert town.names == ["v0", "v1", "v2", "v3"]
    assert town.chain.call(leaver, make_add("vx")) == Rejection.NOT_A_VALIDATOR
    current = read_validator_set(town.chain.state, town.chain.genesis)
    assert current is not None
    assert read_ballots(town.chain.state, current) == {}


def test_a_replaced_key_stands_in_the_old_place_and_its_account_goes_with_it() -> None:
    town = Town()
    old = town.voters[1]
    town.cast(Replace(old.key.public, make_validator("v1", "fresh"), ENDPOINT))
    assert town.names == ["v0", "v1", "v2", "v3"]
    assert town.validators[1].public_key == make_key("fresh").public
    record = read_account(town.chain.state, old.account)
    assert record is not None
    assert record.public_key == make_key("fresh").public
    assert town.chain.call(old, Withdraw()) == Rejection.KEY_NOT_CURRENT


def test_a_quorum_counts_equal_changes_only() -> None:
    town = Town()
    town.cast(make_add("vy"), town.voters[:2])
    town.cast(make_add("vx"), town.voters[2:])
    assert len(town.names) == 4
    town.cast(make_add("vx"), town.voters[:1])
    assert town.names[-1] == "vx"


def test_a_second_ballot_takes_the_place_of_the_first() -> None:
    town = Town()
    town.cast(make_add("vy"), town.voters[:2])
    town.cast(make_add("vx"), town.voters[:2])
    assert town.cast(make_add("vy"), town.voters[2:]) == [None, None]
    assert len(town.names) == 4


def test_a_ballot_can_be_taken_back_once() -> None:
    town = Town()
    town.cast(make_add("vx"), town.voters[:2])
    assert town.chain.call(town.voters[0], Withdraw()) is None
    assert town.chain.call(town.voters[0], Withdraw()) == Rejection.BALLOT_MISSING
    town.cast(make_add("vx"), town.voters[2:3])
    assert len(town.names) == 4


def test_ballots_end_with_their_epoch() -> None:
    town = Town()
    town.cast(Remove(town.voters[3].key.public), town.voters[3:])
    town.cast(make_add("vy"), town.voters[:3])
    assert town.cast(make_add("vx"), town.voters[:3]) == [None, None, None]
    assert town.names == ["v0", "v1", "v2", "v3", "vy"]  # four of five are needed now


def test_a_block_changes_the_validators_once() -> None:
    town = Town()
    town.cast(make_add("vy"), town.voters[:2])
    last = town.chain.sign(town.voters[2], make_add("vy"))
    late = town.chain.sign(town.voters[3], make_add("vx"))
    receipts = town.chain.execute(last, late)
    assert [receipt.rejection for receipt in receipts] == [None, Rejection.MEMBERSHIP_CHANGING]


def test_nobody_else_votes() -> None:
    town = Town()
    home = town.chain.open_account("home")
    for sender in (town.chain.utility, home):
        assert town.chain.call(sender, make_add("vx")) == Rejection.NOT_A_VALIDATOR


def test_an_account_whose_key_was_rotated_away_from_the_voting_key_votes_no_more() -> None:
    town = Town()
    voter = town.voters[0]
    assert town.chain.call(voter, RotateKey(voter.account, make_key("other").public)) is None
    moved = Wallet("v0", make_key("other"), voter.account, voter.nonce)
    assert town.chain.call(moved, make_add("vx")) == Rejection.NOT_A_VALIDATOR


@pytest.mark.parametrize(
    ("change", "rejection"),
    [
        (Add(Validator("v1", make_key("x").public, b"x"), ENDPOINT), Rejection.VALIDATOR_EXISTS),
        (Add(Validator("vx", make_key("validator 1").public, b"x"), ENDPOINT), Rejection.VALIDATOR_EXISTS),
        (Add(Validator("vx", make_key("x").public, b"certificate 1"), ENDPOINT), Rejection.VALIDATOR_EXISTS),
        (Add(Validator("vx", bytes(32), b"x"), ENDPOINT), Rejection.KEY_UNSOUND),
        (Add(Validator("utility", make_key("x").public, b"x"), ENDPOINT), Rejection.NAME_TAKEN),
        (Add(Validator("v x", make_key("x").public, b"x"), ENDPOINT), Rejection.ARGUMENTS_INVALID),
        (Add(Validator("vx", make_key("x").public, b""), ENDPOINT), Rejection.ARGUMENTS_INVALID),
        (Add(Validator("vx", make_key("x").public, bytes(1025)), ENDPOINT), Rejection.ARGUMENTS_INVALID),
        (Add(make_validator("vx"), Endpoint("", 1)), Rejection.ARGUMENTS_INVALID),
        (Add(make_validator("vx"), Endpoint("a b", 1)), Rejection.ARGUMENTS_INVALID),
        (Add(make_validator("vx"), Endpoint("a", 0)), Rejection.ARGUMENTS_INVALID),
        (Add(make_validator("vx"), Endpoint("a", 65536)), Rejection.ARGUMENTS_INVALID),
        (Remove(make_key("x").public), Rejection.VALIDATOR_UNKNOWN),
        (Remove(make_key("validator 1").public), Rejection.VALIDATOR_LIMIT),
        (Replace(make_key("x").public, make_validator("vx"), ENDPOINT), Rejection.VALIDATOR_UNKNOWN),
        (
            Replace(make_key("validator 1").public, make_validator("v1", "validator 1"), ENDPOINT),
            Rejection.VALIDATOR_EXISTS,
        ),
        (
            Replace(make_key("validator 1").public, make_validator("v1", "validator 2"), ENDPOINT),
            Rejection.VALIDATOR_EXISTS,
        ),
        (
            Replace(make_key("validator 1").public, make_validator("v1", "utility"), ENDPOINT),
            Rejection.KEY_IN_USE,
        ),
        (
            Replace(make_key("validator 1").public, Validator("v1", bytes(32), b"x"), ENDPOINT),
            Rejection.KEY_UNSOUND,
        ),
        (Withdraw(), Rejection.BALLOT_MISSING),
    ],
)
def test_what_is_no_change_is_refused_by_name(change: Struct, rejection: Rejection) -> None:
    town = Town()
    assert town.chain.call(town.voters[0], change) == rejection


def test_there_are_at_most_eighty_validators() -> None:
    town = Town(80)
    assert town.chain.call(town.voters[0], make_add("vx")) == Rejection.VALIDATOR_LIMIT
