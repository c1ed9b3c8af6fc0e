"""Money moves between two accounts or not at all; what is reserved is paid, given back, or ends by itself."""

import pytest

from primitives.hashing import compute_account_id
from tests.vm.ledger import START_S, Chain, Wallet
from vm.contracts.ledger import (
    AMOUNT_MAX,
    BALANCE_MAX,
    EXPIRIES_PER_BLOCK_MAX,
    GRID,
    ISSUANCE,
    PENDING_PER_ACCOUNT_MAX,
    PENDING_SECONDS_MAX,
    Asset,
    Balance,
    Grant,
    Hold,
    Post,
    Transfer,
    Void,
)
from vm.contracts.permissions import Suspend
from vm.receipt import Rejection

EXPIRY_S = START_S + 1000
ASSETS = list(Asset)


class Bank:
    """A chain with two homes; the first has 1,000 of each asset."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.rich = self.chain.open_account("rich")
        self.poor = self.chain.open_account("poor")
        for asset in Asset:
            self.grant(self.rich, 1000, asset)

    def grant(self, to: Wallet, amount: int, asset: int = Asset.COIN) -> str | None:
        return self.chain.call(self.chain.utility, Grant(to.account, asset, amount))

    def transfer(self, amount: int, asset: int = Asset.COIN) -> str | None:
        return self.chain.call(self.rich, Transfer(self.poor.account, asset, amount))

    def hold(self, amount: int, expires_s: int = EXPIRY_S, asset: int = Asset.COIN) -> bytes:
        """Reserve money and return the pending's id."""
        sealed = self.chain.sign(self.rich, Hold(self.poor.account, asset, amount, expires_s))
        (receipt,) = self.chain.execute(sealed)
        assert receipt.rejection is None
        return sealed.id

    def try_hold(self, amount: int, expires_s: int = EXPIRY_S, asset: int = Asset.COIN) -> str | None:
        return self.chain.call(self.rich, Hold(self.poor.account, asset, amount, expires_s))

    def post(self, pending: bytes, amount: int, by: Wallet | None = None) -> str | None:
        return self.chain.call(by or self.rich, Post(pending, amount))

    def void(self, pending: bytes, by: Wallet | None = None) -> str | None:
        return self.chain.call(by or self.poor, Void(pending))

    def amounts(self) -> tuple[int, int]:
        return self.balance(self.rich).amount, self.balance(self.poor).amount

    def balance(self, wallet: Wallet) -> Balance:
        return self.chain.balance(wallet.account, Asset.COIN)


@pytest.mark.parametrize("asset", ASSETS)
def test_a_transfer_moves_money_and_its_asset_sums_to_zero(asset: Asset) -> None:
    bank = Bank()
    assert bank.transfer(300, asset) is None
    assert bank.chain.balance(bank.rich.account, asset).amount == 700
    assert bank.chain.balance(bank.poor.account, asset).amount == 300
    assert bank.chain.balance(ISSUANCE, asset).amount == -1000
    assert bank.chain.sum_of_asset(asset) == 0


def test_one_asset_does_not_pay_for_another() -> None:
    bank = Bank()
    assert bank.transfer(1000, Asset.COIN) is None
    assert bank.transfer(1, Asset.COIN) == Rejection.BALANCE_TOO_LOW
    assert bank.transfer(1000, Asset.SETTLEMENT) is None


@pytest.mark.parametrize("asset", ASSETS)
def test_a_transfer_never_makes_a_balance_negative(asset: Asset) -> None:
    bank = Bank()
    assert bank.transfer(1001, asset) == Rejection.BALANCE_TOO_LOW
    assert bank.transfer(1000, asset) is None
    assert bank.transfer(1, asset) == Rejection.BALANCE_TOO_LOW


@pytest.mark.parametrize("amount", [0, -1, -(2**63), AMOUNT_MAX + 1, 2**64 - 1])
def test_an_amount_is_positive_and_bounded(amount: int) -> None:
    bank = Bank()
    assert bank.transfer(amount) == Rejection.AMOUNT_INVALID
    assert bank.grant(bank.rich, amount) == Rejection.AMOUNT_INVALID
    assert bank.try_hold(amount) == Rejection.AMOUNT_INVALID


@pytest.mark.parametrize("asset", [-1, 2, 256, 2**63])
def test_an_unknown_asset_is_refused(asset: int) -> None:
    bank = Bank()
    assert bank.transfer(1, asset) == Rejection.ARGUMENTS_INVALID
    assert bank.grant(bank.rich, 1, asset) == Rejection.ARGUMENTS_INVALID
    assert bank.try_hold(1, asset=asset) == Rejection.ARGUMENTS_INVALID


@pytest.mark.parametrize("to", [compute_account_id(b"nobody"), GRID, ISSUANCE, b"", bytes(3500)])
def test_money_goes_to_opened_accounts_only(to: bytes) -> None:
    bank = Bank()
    for record in (Transfer(to, 1, 1), Hold(to, 1, 1, EXPIRY_S)):
        assert bank.chain.call(bank.rich, record) == Rejection.RECIPIENT_UNKNOWN


def test_a_transfer_to_oneself_changes_nothing() -> None:
    bank = Bank()
    assert bank.chain.call(bank.rich, Transfer(bank.rich.account, 1, 1000)) is None
    assert bank.amounts() == (1000, 0)
    assert bank.chain.call(bank.rich, Transfer(bank.rich.account, 1, 1001)) == Rejection.BALANCE_TOO_LOW


def test_a_hold_for_oneself_gives_everything_back() -> None:
    bank = Bank()
    sealed = bank.chain.sign(bank.rich, Hold(bank.rich.account, 1, 400, EXPIRY_S))
    bank.chain.execute(sealed)
    assert bank.balance(bank.rich) == Balance(1000, 400, 1)
    assert bank.post(sealed.id, 400) is None
    assert bank.balance(bank.rich) == Balance(1000, 0, 0)


def test_no_more_is_issued_than_a_balance_holds() -> None:
    bank = Bank()
    others = [bank.chain.open_account(f"other{i}") for i in range(3)]
    room = BALANCE_MAX // AMOUNT_MAX
    for index in range(room - 1):
        assert bank.grant(others[index % 3], AMOUNT_MAX) is None
    assert bank.grant(others[0], AMOUNT_MAX) == Rejection.BALANCE_OVERFLOW
    assert bank.grant(others[0], AMOUNT_MAX - 1000) is None
    assert bank.grant(others[1], 1) == Rejection.BALANCE_OVERFLOW
    assert bank.chain.balance(ISSUANCE, Asset.COIN).amount == -BALANCE_MAX
    assert bank.chain.sum_of_asset(Asset.COIN) == 0


def test_a_hold_reserves_without_moving() -> None:
    bank = Bank()
    bank.hold(400)
    assert bank.amounts() == (1000, 0)
    assert bank.balance(bank.rich) == Balance(1000, 400, 1)
    assert bank.transfer(601) == Rejection.BALANCE_TOO_LOW
    assert bank.try_hold(601) == Rejection.BALANCE_TOO_LOW
    assert bank.transfer(600) is None
    assert bank.try_hold(1) == Rejection.BALANCE_TOO_LOW


def test_the_debtor_posts_all_of_it() -> None:
    bank = Bank()
    pending = bank.hold(400)
    assert bank.post(pending, 400) is None
    assert bank.amounts() == (600, 400)
    assert bank.balance(bank.rich) == Balance(600, 0, 0)
    assert bank.post(pending, 400) == Rejection.PENDING_UNKNOWN


def test_the_debtor_posts_a_part_and_the_rest_is_free_again() -> None:
    bank = Bank()
    pending = bank.hold(400)
    assert bank.post(pending, 150) is None
    assert bank.balance(bank.rich) == Balance(850, 0, 0)
    assert bank.balance(bank.poor).amount == 150


@pytest.mark.parametrize("amount", [0, -1, 401, 2**63])
def test_no_more_than_the_reserved_is_posted(amount: int) -> None:
    bank = Bank()
    assert bank.post(bank.hold(400), amount) == Rejection.AMOUNT_INVALID


def test_the_creditor_voids_and_everything_is_free_again() -> None:
    bank = Bank()
    pending = bank.hold(400)
    assert bank.void(pending) is None
    assert bank.balance(bank.rich) == Balance(1000, 0, 0)
    assert bank.void(pending) == Rejection.PENDING_UNKNOWN
    assert bank.post(pending, 1) == Rejection.PENDING_UNKNOWN


def test_only_the_debtor_posts_and_only_the_creditor_voids() -> None:
    bank = Bank()
    pending = bank.hold(400)
    third = bank.chain.open_account("third")
    for wallet in (bank.poor, third, bank.chain.utility):
        assert bank.post(pending, 1, by=wallet) == Rejection.NOT_ALLOWED
    for wallet in (bank.rich, third, bank.chain.utility):
        assert bank.void(pending, by=wallet) == Rejection.NOT_ALLOWED


@pytest.mark.parametrize("pending", [b"", bytes(32), bytes(33)])
def test_an_unknown_pending_is_refused(pending: bytes) -> None:
    bank = Bank()
    assert bank.post(pending, 1) == bank.void(pending) == Rejection.PENDING_UNKNOWN


@pytest.mark.parametrize(
    ("expires_s", "expected"),
    [
        (START_S, Rejection.ARGUMENTS_INVALID),
        (START_S - 1, Rejection.ARGUMENTS_INVALID),
        (-1, Rejection.ARGUMENTS_INVALID),
        (START_S + 1, None),
        (START_S + PENDING_SECONDS_MAX, None),
        (START_S + PENDING_SECONDS_MAX + 1, Rejection.ARGUMENTS_INVALID),
        (2**64 - 1, Rejection.ARGUMENTS_INVALID),
    ],
)
def test_a_reservation_ends_after_now_and_within_a_month(expires_s: int, expected: Rejection | None) -> None:
    assert Bank().try_hold(1, expires_s) == expected


def test_a_pending_ends_by_itself_at_its_time() -> None:
    bank = Bank()
    pending = bank.hold(400)
    assert bank.chain.last.next_due_ms == EXPIRY_S * 1000
    bank.chain.execute(at_s=EXPIRY_S - 1)
    assert bank.balance(bank.rich).reserved == 400
    bank.chain.execute(at_s=EXPIRY_S)
    assert bank.balance(bank.rich) == Balance(1000, 0, 0)
    assert bank.chain.last.next_due_ms is None
    assert bank.post(pending, 400) == Rejection.PENDING_UNKNOWN


def test_expired_pendings_are_freed_a_bounded_number_per_block_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank = Bank()
    monkeypatch.setattr("vm.contracts.ledger.EXPIRIES_PER_BLOCK_MAX", 2)
    pendings = [bank.hold(10, EXPIRY_S + 5 - index) for index in range(5)]
    bank.chain.time_s = EXPIRY_S + 100
    bank.chain.execute()
    assert bank.balance(bank.rich) == Balance(1000, 30, 3)
    assert bank.chain.last.next_due_ms == (EXPIRY_S + 3) * 1000
    assert bank.post(pendings[0], 10) == Rejection.PENDING_EXPIRED
    assert bank.balance(bank.rich).pendings == 1
    bank.chain.execute()
    assert bank.balance(bank.rich) == Balance(1000, 0, 0)


def test_the_bound_of_expiries_is_reached_and_the_rest_waits() -> None:
    bank = Bank()
    count = EXPIRIES_PER_BLOCK_MAX + 3
    wallets = [bank.chain.open_account(f"w{i}") for i in range(2)]
    for wallet in wallets:
        bank.grant(wallet, 1000)
    holds = [bank.chain.sign(wallets[i % 2], Hold(bank.poor.account, 1, 1, EXPIRY_S)) for i in range(count)]
    assert {receipt.rejection for receipt in bank.chain.execute(*holds)} == {None}
    bank.chain.execute(at_s=EXPIRY_S)
    assert sum(bank.balance(wallet).pendings for wallet in wallets) == 3
    bank.chain.execute()
    assert sum(bank.balance(wallet).pendings for wallet in wallets) == 0


def test_an_account_holds_a_bounded_number_of_reservations() -> None:
    bank = Bank()
    for _ in range(PENDING_PER_ACCOUNT_MAX):
        bank.hold(1)
    assert bank.try_hold(1) == Rejection.PENDING_LIMIT
    bank.chain.execute(at_s=EXPIRY_S)
    assert bank.try_hold(1, EXPIRY_S + 1) is None


def test_a_posting_at_the_last_moment_is_taken() -> None:
    bank = Bank()
    pending = bank.hold(400)
    bank.chain.time_s = EXPIRY_S - 1
    assert bank.post(pending, 400) is None


def test_money_of_a_suspended_debtor_comes_back_to_it_by_expiry() -> None:
    bank = Bank()
    pending = bank.hold(400)
    assert bank.chain.call(bank.chain.utility, Suspend(bank.rich.account)) is None
    assert bank.post(pending, 400) == Rejection.SUSPENDED
    bank.chain.execute(at_s=EXPIRY_S)
    assert bank.balance(bank.rich) == Balance(1000, 0, 0)


def test_calls_of_one_block_see_each_other_in_order() -> None:
    bank = Bank()
    chain = bank.chain
    receipts = chain.execute(
        chain.sign(bank.poor, Transfer(bank.rich.account, 1, 1)),
        chain.sign(bank.rich, Transfer(bank.poor.account, 1, 1000)),
        chain.sign(bank.rich, Transfer(bank.poor.account, 1, 1)),
        chain.sign(bank.poor, Transfer(bank.rich.account, 1, 1)),
    )
    expected = [Rejection.BALANCE_TOO_LOW, None, Rejection.BALANCE_TOO_LOW, None]
    assert [receipt.rejection for receipt in receipts] == expected
    assert bank.amounts() == (1, 999)
