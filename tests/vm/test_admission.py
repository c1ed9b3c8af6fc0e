"""Who may do something now, and the nonces: any unused one near the highest, each at most once."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.encoding import encode
from tests.vm.ledger import HOUR, START_S, Chain, Wallet, make_genesis, make_key, make_wallet
from vm import admission
from vm.admission import NONCE_AHEAD_MAX, NONCE_WINDOW, check_nonce, consume_nonce
from vm.contracts.ledger import Asset, Grant, Transfer
from vm.contracts.permissions import Account, Reinstate, RotateKey, Suspend, read_account
from vm.receipt import Receipt, Rejection
from vm.transaction import Call, SealedTransaction

NO_SUCH_CALL = Call("nothing", "at_all", b"")
"""Refused after the envelope was accepted: it consumes its nonce and does nothing."""


def make_account(highest: int = 0) -> Account:
    return Account(bytes(32), "prosumer", "home", False, highest, b"", 0, 0)


def use(chain: Chain, wallet: Wallet, *nonces: int) -> list[str | None]:
    receipts = chain.execute(*(chain.sign_call(wallet, NO_SUCH_CALL, nonce=nonce) for nonce in nonces))
    return [receipt.rejection if not receipt.consumed else "consumed" for receipt in receipts]


def execute_one(chain: Chain, sealed: SealedTransaction) -> Receipt:
    """Execute a block of one; the mempool is told the same refusal beforehand."""
    early = chain.admit(sealed)
    (receipt,) = chain.execute(sealed)
    assert early == receipt.rejection
    return receipt


@dataclass
class NaiveNonces:
    """The rule in its simplest form: a set of what was used."""

    used: set[int] = field(default_factory=set)

    def check(self, nonce: int) -> Rejection | None:
        highest = max(self.used, default=0)
        if nonce > highest + NONCE_AHEAD_MAX:
            return Rejection.NONCE_TOO_FAR
        if nonce <= highest - NONCE_WINDOW:
            return Rejection.NONCE_TOO_OLD
        return Rejection.NONCE_USED if nonce in self.used else None


STEPS = st.one_of(
    st.integers(-8, 8),
    st.integers(-NONCE_WINDOW - 3, -NONCE_WINDOW + 3),
    st.integers(NONCE_WINDOW - 3, NONCE_WINDOW + 3),
    st.integers(-NONCE_WINDOW - 10, NONCE_WINDOW + 10),
    st.integers(NONCE_AHEAD_MAX - 2, NONCE_AHEAD_MAX + 2),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_nonces_behave_like_a_set_of_used_ones(steps: list[int]) -> None:
    account, naive = make_account(), NaiveNonces()
    for step in steps:
        nonce = max(1, account.nonce + step)
        expected = naive.check(nonce)
        assert check_nonce(account, nonce) == expected
        if expected is None:
            account = consume_nonce(account, nonce, 0)
            naive.used.add(nonce)
            assert check_nonce(account, nonce) == Rejection.NONCE_USED
    assert account.nonce == max(naive.used, default=0)
    assert len(account.unused) <= NONCE_WINDOW // 8
    assert not account.unused.endswith(b"\x00")


def test_the_record_of_an_account_that_counts_by_one_stays_small() -> None:
    account = make_account()
    for nonce in range(1, 3000):
        account = consume_nonce(account, nonce, 0)
    assert account.unused == b""


def test_nonces_may_come_in_any_order_each_once() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert use(chain, home, 3, 1, 2, 5) == ["consumed"] * 4
    assert use(chain, home, 1, 2, 3, 5) == [Rejection.NONCE_USED] * 4
    assert use(chain, home, 4) == ["consumed"]


def test_a_nonce_that_fell_out_of_the_window_is_too_old() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert use(chain, home, NONCE_WINDOW + 1) == ["consumed"]
    assert use(chain, home, 1) == [Rejection.NONCE_TOO_OLD]
    assert use(chain, home, 2) == ["consumed"]


def test_a_nonce_too_far_ahead_is_refused_and_does_not_move_the_window() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert use(chain, home, NONCE_AHEAD_MAX + 1) == [Rejection.NONCE_TOO_FAR]
    assert use(chain, home, 1) == ["consumed"]
    assert use(chain, home, NONCE_AHEAD_MAX + 1) == ["consumed"]


def test_the_same_transaction_twice_in_a_block_is_applied_once() -> None:
    chain = Chain()
    home, friend = chain.open_account("home"), chain.open_account("friend")
    chain.call(chain.utility, Grant(home.account, Asset.COIN, 100))
    sealed = chain.sign(home, Transfer(friend.account, 1, 30))
    first, second = chain.execute(sealed, sealed)
    assert (first.rejection, first.consumed) == (None, True)
    assert (second.rejection, second.consumed) == (Rejection.NONCE_USED, False)
    assert chain.balance(friend.account, Asset.COIN).amount == 30


def test_the_same_transaction_in_two_blocks_is_applied_once() -> None:
    chain = Chain()
    home, friend = chain.open_account("home"), chain.open_account("friend")
    chain.call(chain.utility, Grant(home.account, Asset.COIN, 100))
    sealed = chain.sign(home, Transfer(friend.account, 1, 30))
    assert execute_one(chain, sealed).rejection is None
    assert execute_one(chain, sealed).rejection == Rejection.NONCE_USED
    assert chain.balance(friend.account, Asset.COIN).amount == 30


def test_a_refused_call_consumes_its_nonce_and_changes_nothing_else() -> None:
    chain = Chain()
    home = chain.open_account("home")
    sealed = chain.sign(home, Transfer(chain.utility.account, 1, 1))
    result = chain.execute_raw(sealed.raw)
    assert result.receipts == (Receipt(sealed.id, "BALANCE_TOO_LOW", consumed=True),)
    assert list(result.state_writes) == [b"pa" + home.account]
    assert execute_one(chain, sealed).rejection == Rejection.NONCE_USED


def test_an_unknown_account_is_refused() -> None:
    chain = Chain()
    receipt = execute_one(chain, chain.sign_call(make_wallet("nobody"), NO_SUCH_CALL))
    assert (receipt.rejection, receipt.consumed) == (Rejection.ACCOUNT_UNKNOWN, False)


def test_a_transaction_of_another_chain_is_refused() -> None:
    chain, other = Chain(), Chain(make_genesis(names=("utility", "second")))
    receipt = execute_one(chain, other.sign_call(other.utility, NO_SUCH_CALL))
    assert (receipt.rejection, receipt.consumed) == (Rejection.OTHER_CHAIN, False)


def test_a_key_that_was_rotated_away_is_refused_and_its_nonce_stays_free() -> None:
    chain = Chain()
    home = chain.open_account("home")
    old = chain.sign_call(home, NO_SUCH_CALL, nonce=5)
    home.key = make_key("home, second")
    assert chain.call(chain.utility, RotateKey(home.account, home.key.public)) is None
    receipt = execute_one(chain, old)
    assert (receipt.rejection, receipt.consumed) == (Rejection.KEY_NOT_CURRENT, False)
    assert use(chain, home, 5) == ["consumed"]


def test_a_suspended_account_is_refused_and_its_nonce_stays_free() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert chain.call(chain.utility, Suspend(home.account)) is None
    sealed = chain.sign_call(home, NO_SUCH_CALL)
    receipt = execute_one(chain, sealed)
    assert (receipt.rejection, receipt.consumed) == (Rejection.SUSPENDED, False)
    assert chain.call(chain.utility, Reinstate(home.account)) is None
    assert execute_one(chain, sealed).consumed


def test_a_transaction_is_executed_up_to_its_last_height_and_not_after_it() -> None:
    chain = Chain()
    home = chain.open_account("home")
    last = chain.sign_call(home, NO_SUCH_CALL, valid_until=chain.header.height + 1)
    assert execute_one(chain, last).consumed
    expired = chain.sign_call(home, NO_SUCH_CALL, valid_until=chain.header.height)
    receipt = execute_one(chain, expired)
    assert (receipt.rejection, receipt.consumed) == (Rejection.EXPIRED, False)
    assert use(chain, home, home.nonce) == ["consumed"]


def test_the_quota_of_a_slot_is_refused_without_consuming_and_is_fresh_in_the_next_slot() -> None:
    chain = Chain()
    home = chain.open_account("home")
    quota = admission.QUOTA_PER_SLOT
    assert quota >= 2000
    assert use(chain, home, *range(1, quota + 2)) == ["consumed"] * quota + [Rejection.QUOTA_EXCEEDED]
    over = chain.sign_call(home, NO_SUCH_CALL, nonce=quota + 1)
    assert chain.admit(over) == Rejection.QUOTA_EXCEEDED
    chain.time_s = START_S + HOUR
    assert execute_one(chain, over).consumed


def test_the_utility_has_no_quota() -> None:
    chain = Chain()
    count = admission.QUOTA_PER_SLOT + 1
    assert use(chain, chain.utility, *range(1, count + 1)) == ["consumed"] * count


def test_what_does_not_consume_does_not_count_against_the_quota() -> None:
    chain = Chain()
    home = chain.open_account("home")
    assert use(chain, home, 1, 1, 1) == ["consumed", Rejection.NONCE_USED, Rejection.NONCE_USED]
    account = read_account(chain.state, home.account)
    assert account is not None
    assert account.quota_used == 1


def test_position_is_judged_before_content() -> None:
    chain = Chain()
    home = chain.open_account("home")
    expired_and_unknown = chain.sign_call(home, NO_SUCH_CALL, valid_until=0)
    assert execute_one(chain, expired_and_unknown).rejection == Rejection.EXPIRED


def test_unknown_contracts_methods_and_arguments_are_named() -> None:
    chain = Chain()
    home = chain.open_account("home")
    cases = {
        Rejection.CONTRACT_UNKNOWN: NO_SUCH_CALL,
        Rejection.METHOD_UNKNOWN: Call("ledger", "steal", b"\x90"),
        Rejection.ARGUMENTS_INVALID: Call("ledger", "transfer", encode((home.account, 1))),
    }
    for expected, call in cases.items():
        receipt = execute_one(chain, chain.sign_call(home, call))
        assert (receipt.rejection, receipt.consumed) == (expected, True)


def test_arguments_in_another_encoding_are_refused() -> None:
    chain = Chain()
    home = chain.open_account("home")
    canonical = encode(Transfer(home.account, 1, 1))
    assert canonical.endswith(b"\x01\x01")
    call = Call("ledger", "transfer", canonical[:-1] + b"\xcc\x01")
    assert execute_one(chain, chain.sign_call(home, call)).rejection == Rejection.ARGUMENTS_INVALID
