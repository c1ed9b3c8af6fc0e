"""The pool against a plain model: whatever happens in whatever order, its bounds and its fairness hold."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.mempool import Added, Full, Known, Mempool, MempoolLimits, Refused
from primitives.ids import Digest, Height, MonotonicMs
from tests.node.transactions import make_unsigned
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

LIMITS = MempoolLimits(transactions_max=24, bytes_max=40_000, account_transactions_max=9)
ACCOUNTS = st.integers(0, 5)


class PoolMachine(RuleBasedStateMachine):
    """Keeps the same transactions in a list, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(LIMITS)
        self.waiting: list[SealedTransaction] = []
        self.committed: set[Digest] = set()
        self.nonce = 0
        self.height = 0

    @rule(account=ACCOUNTS, padding=st.sampled_from([0, 0, 0, 1_500]), life=st.integers(0, 5))
    def add_new(self, account: int, padding: int, life: int) -> None:
        self.nonce += 1
        sealed = make_unsigned(account, self.nonce, self.height + life, padding)
        held = sum(each.transaction.account == sealed.transaction.account for each in self.waiting)
        result = self.pool.add(sealed, MonotonicMs(self.nonce), lambda _: None)
        if result == Added():
            self.waiting.append(sealed)
            assert held < LIMITS.account_transactions_max
        else:
            assert isinstance(result, Full)
            assert self.pool.get(sealed.id) is None
            assert not (held == 0 and result.account)

    @rule(choice=st.randoms(use_true_random=False))
    def add_again(self, choice: st.DataObject) -> None:
        if self.waiting:
            sealed = choice.choice(self.waiting)  # type: ignore[attr-defined]
            assert self.pool.add(sealed, MonotonicMs(self.nonce), lambda _: None) == Known(committed=False)

    @rule(account=ACCOUNTS)
    def add_inadmissible(self, account: int) -> None:
        self.nonce += 1
        result = self.pool.add(
            make_unsigned(account, self.nonce), MonotonicMs(0), lambda _: Rejection.SUSPENDED
        )
        assert isinstance(result, Refused | Full)

    @rule(max_count=st.integers(1, 30), max_bytes=st.integers(100, 20_000), skip=st.integers(0, 5))
    def select_and_commit(self, max_count: int, max_bytes: int, skip: int) -> None:
        in_flight = {sealed.id for sealed in self.waiting[:skip]}
        selected = self.pool.select(in_flight, max_count, max_bytes)
        names = [sealed.id for sealed in selected]
        assert len(set(names)) == len(names) <= max_count
        assert not in_flight & set(names)
        assert sum(len(sealed.raw) for sealed in selected) <= max_bytes
        self.check_order(selected, in_flight)
        if len(selected) == max_count:
            self.check_turns(selected, in_flight)
        self.pool.commit(names)
        self.committed.update(names)
        self.waiting = [sealed for sealed in self.waiting if sealed.id not in self.committed]

    def check_order(self, selected: list[SealedTransaction], in_flight: set[Digest]) -> None:
        for account in {sealed.transaction.account for sealed in selected}:
            chosen = [sealed for sealed in selected if sealed.transaction.account == account]
            free = [
                sealed
                for sealed in self.waiting
                if sealed.transaction.account == account and sealed.id not in in_flight
            ]
            assert chosen == free[: len(chosen)]

    def check_turns(self, selected: list[SealedTransaction], in_flight: set[Digest]) -> None:
        """Of accounts that had more to give in a batch bounded by count, none got two more than another."""
        served = Counter(sealed.transaction.account for sealed in selected)
        small = {sealed.transaction.account for sealed in self.waiting if len(sealed.raw) > 1_000}
        free = Counter(sealed.transaction.account for sealed in self.waiting if sealed.id not in in_flight)
        hungry = [
            served[account] for account in free if free[account] > served[account] and account not in small
        ]
        if hungry:
            assert max(served.values()) <= min(hungry) + 1

    @rule()
    def expire(self) -> None:
        self.height += 1
        expired = set(self.pool.expire(Height(self.height)))
        assert expired == {s.id for s in self.waiting if s.transaction.valid_until < self.height}
        self.waiting = [sealed for sealed in self.waiting if sealed.id not in expired]

    @rule(bad=ACCOUNTS, count=st.integers(0, 30))
    def recheck(self, bad: int, count: int) -> None:
        account = make_unsigned(bad).transaction.account
        checked: list[Digest] = []

        def look(sealed: SealedTransaction) -> Rejection | None:
            checked.append(sealed.id)
            return Rejection.SUSPENDED if sealed.transaction.account == account else None

        dropped = {name for name, _ in self.pool.recheck(look, count)}
        assert len(checked) == len(set(checked)) == min(count, len(self.waiting))
        self.waiting = [sealed for sealed in self.waiting if sealed.id not in dropped]

    @invariant()
    def the_bounds_hold(self) -> None:
        assert len(self.pool) <= LIMITS.transactions_max
        assert self.pool.size_bytes <= LIMITS.bytes_max

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert len(self.pool) == len(self.waiting)
        found, missing = self.pool.resolve(sealed.id for sealed in self.waiting)
        assert list(found.values()) == self.waiting
        assert missing == ()
        if not self.waiting:
            assert self.pool.size_bytes == 0


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase
