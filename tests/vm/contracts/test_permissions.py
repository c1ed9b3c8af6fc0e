"""Who may do what: roles, keys and names, each given once; and the utility cannot lock everybody out."""

from typing import NamedTuple

import pytest

from primitives.encoding import Struct
from primitives.signing import is_public_key_sound
from tests.vm.ledger import START_S, Chain, Wallet, make_genesis, make_key, make_wallet
from vm.contracts.energy.calls import SetTariff
from vm.contracts.ledger import GRID, ISSUANCE, ROUNDING, Asset, Grant
from vm.contracts.permissions import (
    ROLES,
    Register,
    Reinstate,
    RotateKey,
    Suspend,
    find_account_by_name,
    read_account,
)
from vm.receipt import Rejection

SMALL_ORDER_KEYS = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
"""The points of order 1, 2, 4 and 8 and their encodings that are not canonical (libsodium, ge25519_has_small_order)."""


class Case(NamedTuple):
    """A call of the utility's own."""

    name: str
    record: Struct


def make_register(name: str = "new", role: str = "prosumer") -> Register:
    wallet = make_wallet(name)
    return Register(wallet.account, wallet.key.public, role, name)


def rotate(chain: Chain, wallet: Wallet, key_name: str, by: Wallet | None = None) -> str | None:
    record = RotateKey(wallet.account, make_key(key_name).public)
    return chain.call(by or wallet, record)


@pytest.mark.parametrize("role", ROLES)
def test_the_utility_registers_accounts_of_every_role(role: str) -> None:
    chain = Chain()
    assert chain.call(chain.utility, make_register(role=role)) is None
    account = read_account(chain.state, make_wallet("new").account)
    assert account is not None
    assert (account.role, account.name, account.suspended, account.nonce) == (role, "new", False, 0)
    assert find_account_by_name(chain.state, "new") == make_wallet("new").account
    assert find_account_by_name(chain.state, "nobody") is None


UTILITY_CALLS = [
    Case("register", make_register()),
    Case("rotate another's key", RotateKey(make_wallet("utility").account, make_key("stolen").public)),
    Case("suspend", Suspend(make_wallet("utility").account)),
    Case("reinstate", Reinstate(make_wallet("utility").account)),
    Case("grant", Grant(make_wallet("utility").account, Asset.COIN, 1)),
    Case("tariff", SetTariff(START_S + 3600, ((2, 1),))),
]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "utility"])
@pytest.mark.parametrize("case", UTILITY_CALLS, ids=[case.name for case in UTILITY_CALLS])
def test_no_other_role_does_what_is_the_utilitys(role: str, case: Case) -> None:
    chain = Chain()
    assert chain.call(chain.open_account("other", role), case.record) == Rejection.NOT_ALLOWED


@pytest.mark.parametrize("name", ["", "a b", "a" * 33, "ä", "a/b", "line\n", "٣"])
def test_a_name_can_be_shown_and_typed_anywhere(name: str) -> None:
    record = Register(make_wallet("x").account, make_key("x").public, "prosumer", name)
    chain = Chain()
    assert chain.call(chain.utility, record) == Rejection.ARGUMENTS_INVALID


def test_a_role_and_an_id_are_sound() -> None:
    chain = Chain()
    assert chain.call(chain.utility, make_register(role="king")) == Rejection.ARGUMENTS_INVALID
    for length in (0, 15, 17):
        record = Register(bytes(length), make_key("x").public, "prosumer", "x")
        assert chain.call(chain.utility, record) == Rejection.ARGUMENTS_INVALID


def test_an_id_a_key_and_a_name_are_given_once() -> None:
    chain = Chain()
    chain.open_account("first")
    first, other = make_wallet("first"), make_wallet("other")
    cases = {
        Rejection.ACCOUNT_EXISTS: Register(first.account, other.key.public, "prosumer", "other"),
        Rejection.KEY_IN_USE: Register(other.account, first.key.public, "prosumer", "other"),
        Rejection.NAME_TAKEN: Register(other.account, other.key.public, "prosumer", "first"),
    }
    for expected, record in cases.items():
        assert chain.call(chain.utility, record) == expected


@pytest.mark.parametrize("account", [GRID, ISSUANCE, ROUNDING])
def test_the_ledgers_own_accounts_cannot_be_taken(account: bytes) -> None:
    chain = Chain()
    record = Register(account, make_key("thief").public, "prosumer", "thief")
    assert chain.call(chain.utility, record) == Rejection.ACCOUNT_EXISTS


@pytest.mark.parametrize("name", ["grid", "issuance", "rounding"])
def test_the_ledgers_own_names_cannot_be_borne(name: str) -> None:
    chain = Chain()
    assert chain.call(chain.utility, make_register(name)) == Rejection.NAME_TAKEN


@pytest.mark.parametrize("key", [*SMALL_ORDER_KEYS, "", "00" * 31, "ff" * 32, "02" + "00" * 31])
def test_a_key_that_libraries_judge_differently_is_registered_nowhere(key: str) -> None:
    public_key = bytes.fromhex(key)
    assert not is_public_key_sound(public_key)
    chain = Chain()
    record = Register(make_wallet("x").account, public_key, "prosumer", "x")
    assert chain.call(chain.utility, record) == Rejection.KEY_UNSOUND
    rotation = RotateKey(chain.utility.account, public_key)
    assert chain.call(chain.utility, rotation) == Rejection.KEY_UNSOUND


def test_an_account_rotates_its_own_key_and_keeps_its_id_name_and_nonces() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert rotate(chain, home, "second") is None
    account = read_account(chain.state, home.account)
    assert account is not None
    assert (account.public_key, account.name, account.nonce) == (make_key("second").public, "home", 1)
    assert rotate(chain, home, "third") == Rejection.KEY_NOT_CURRENT
    home.key, home.nonce = make_key("second"), 0
    assert rotate(chain, home, "third") == Rejection.NONCE_USED
    assert rotate(chain, home, "third") is None


def test_the_utility_rotates_the_key_of_a_household_that_lost_it() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert rotate(chain, home, "second", by=chain.utility) is None
    home.key = make_key("second")
    assert rotate(chain, home, "third") is None


def test_a_home_cannot_rotate_its_neighbours_key() -> None:
    chain = Chain()
    home, neighbour = chain.open_account("home"), chain.open_account("neighbour")
    assert rotate(chain, neighbour, "second", by=home) == Rejection.NOT_ALLOWED


def test_a_key_serves_one_account_for_ever() -> None:
    chain = Chain()
    home, neighbour = chain.open_account("home"), chain.open_account("neighbour")
    assert rotate(chain, home, "second") is None
    home.key = make_key("second")
    for name in ("home", "second", "neighbour"):
        assert rotate(chain, home, name) == Rejection.KEY_IN_USE
    assert rotate(chain, neighbour, "home") == Rejection.KEY_IN_USE


def test_the_key_of_an_unknown_account_cannot_be_rotated() -> None:
    chain = Chain()
    record = RotateKey(make_wallet("nobody").account, make_key("second").public)
    assert chain.call(chain.utility, record) == Rejection.ACCOUNT_UNKNOWN


def test_a_suspension_is_set_once_and_lifted_once() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert chain.call(chain.utility, Reinstate(home.account)) == Rejection.NOT_SUSPENDED
    assert chain.call(chain.utility, Suspend(home.account)) is None
    assert chain.call(chain.utility, Suspend(home.account)) == Rejection.SUSPENDED
    assert chain.call(chain.utility, Reinstate(home.account)) is None
    assert chain.call(chain.utility, Reinstate(home.account)) == Rejection.NOT_SUSPENDED


def test_unknown_accounts_cannot_be_suspended_or_reinstated() -> None:
    chain = Chain()
    for record in (Suspend(b"nobody"), Reinstate(b"nobody"), Suspend(GRID)):
        assert chain.call(chain.utility, record) == Rejection.ACCOUNT_UNKNOWN


def test_the_last_utility_cannot_be_suspended() -> None:
    chain = Chain()
    assert chain.call(chain.utility, Suspend(chain.utility.account)) == Rejection.LAST_UTILITY
    second = chain.open_account("second", "utility")
    assert chain.call(chain.utility, Suspend(chain.utility.account)) is None
    assert chain.call(second, Suspend(second.account)) == Rejection.LAST_UTILITY
    assert chain.call(second, Reinstate(chain.utility.account)) is None
    assert chain.call(chain.utility, Suspend(second.account)) is None
    assert chain.call(chain.utility, Suspend(chain.utility.account)) == Rejection.LAST_UTILITY


def test_the_utilities_of_the_genesis_are_counted() -> None:
    chain = Chain(make_genesis(names=("utility", "second")))
    second = make_wallet("second")
    assert chain.call(second, Suspend(chain.utility.account)) is None
    assert chain.call(second, Suspend(second.account)) == Rejection.LAST_UTILITY


def test_two_utilities_that_suspend_each_other_in_one_block_leave_one() -> None:
    chain = Chain(make_genesis(names=("utility", "second")))
    second = make_wallet("second")
    receipts = chain.execute(
        chain.sign(chain.utility, Suspend(second.account)), chain.sign(second, Suspend(chain.utility.account))
    )
    assert [receipt.rejection for receipt in receipts] == [None, Rejection.SUSPENDED]


def test_a_suspended_utility_has_no_rights_left() -> None:
    chain = Chain(make_genesis(names=("utility", "second")))
    second = make_wallet("second")
    assert chain.call(chain.utility, Suspend(second.account)) is None
    assert chain.call(second, Reinstate(second.account)) == Rejection.SUSPENDED
