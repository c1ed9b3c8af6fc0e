"""After any sequence of grants, transfers and reservations each asset sums to zero and no coin is owed."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from primitives.encoding import decode
from tests.vm.ledger import Chain
from vm.contracts.ledger import (
    BALANCE_PREFIX,
    DUE_PREFIX,
    ISSUANCE,
    PENDING_PREFIX,
    Asset,
    Balance,
    Grant,
    Hold,
    Pending,
    Post,
    Transfer,
    Void,
)

NAMES = ("a", "b", "c")
NAME = st.sampled_from(NAMES)
ASSET = st.sampled_from(list(Asset))
AMOUNT = st.one_of(st.integers(1, 60), st.sampled_from([0, -5, 2**56, 2**62]))


class MoneyMachine(RuleBasedStateMachine):
    """Three accounts; the model beside them is a dictionary of balances and one of pendings."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.wallets = {name: self.chain.open_account(name) for name in NAMES}
        self.pendings: list[bytes] = []

    @rule(to=NAME, asset=ASSET, amount=AMOUNT)
    def grant(self, to: str, asset: Asset, amount: int) -> None:
        self.chain.call(self.chain.utility, Grant(self.wallets[to].account, asset, amount))

    @rule(sender=NAME, to=NAME, asset=ASSET, amount=AMOUNT)
    def transfer(self, sender: str, to: str, asset: Asset, amount: int) -> None:
        before = {name: self.chain.balance(wallet.account, asset) for name, wallet in self.wallets.items()}
        rejection = self.chain.call(self.wallets[sender], Transfer(self.wallets[to].account, asset, amount))
        free = before[sender].amount - before[sender].reserved
        assert (rejection is None) == (0 < amount <= free)
        for name, wallet in self.wallets.items():
            moved = amount * ((name == to) - (name == sender)) if rejection is None else 0
            assert self.chain.balance(wallet.account, asset).amount == before[name].amount + moved

    @rule(sender=NAME, to=NAME, asset=ASSET, amount=AMOUNT, seconds=st.integers(0, 300))
    def hold(self, sender: str, to: str, asset: Asset, amount: int, seconds: int) -> None:
        record = Hold(self.wallets[to].account, asset, amount, self.chain.time_s + seconds)
        sealed = self.chain.sign(self.wallets[sender], record)
        (receipt,) = self.chain.execute(sealed)
        if receipt.rejection is None:
            self.pendings.append(sealed.id)

    @rule(by=NAME, which=st.integers(0, 9), amount=AMOUNT)
    def post(self, by: str, which: int, amount: int) -> None:
        if self.pendings:
            self.chain.call(self.wallets[by], Post(self.pendings[-1 - which % len(self.pendings)], amount))

    @rule(by=NAME, which=st.integers(0, 9))
    def void(self, by: str, which: int) -> None:
        if self.pendings:
            self.chain.call(self.wallets[by], Void(self.pendings[-1 - which % len(self.pendings)]))

    @rule(seconds=st.sampled_from([0, 1, 50, 400]))
    def advance(self, seconds: int) -> None:
        self.chain.execute(at_s=self.chain.time_s + seconds)

    @invariant()
    def each_asset_sums_to_zero_and_no_coin_is_owed(self) -> None:
        for asset in Asset:
            prefix = BALANCE_PREFIX + bytes([asset])
            balances = {k[3:]: decode(v, Balance) for k, v in self.chain.state.iterate(prefix)}
            assert sum(balance.amount for balance in balances.values()) == 0
            issued = balances.pop(bytes(ISSUANCE), Balance(0, 0, 0))
            assert issued.amount <= 0
            assert (issued.reserved, issued.pendings) == (0, 0)
            for account, balance in balances.items():
                assert 0 <= balance.reserved <= balance.amount
                mine = [p for p in self.read_pendings() if (p.debtor, p.asset) == (account, asset)]
                assert (balance.reserved, balance.pendings) == (sum(p.amount for p in mine), len(mine))

    @invariant()
    def every_pending_has_one_expiry(self) -> None:
        dues = [key for key, _ in self.chain.state.iterate(DUE_PREFIX)]
        assert len(dues) == len(self.read_pendings())
        assert all(int.from_bytes(key[2:10], "big") * 1000 > self.chain.header.time_ms for key in dues)

    def read_pendings(self) -> list[Pending]:
        return [decode(value, Pending) for _, value in self.chain.state.iterate(PENDING_PREFIX)]


TestMoneyMachine = MoneyMachine.TestCase
TestMoneyMachine.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
