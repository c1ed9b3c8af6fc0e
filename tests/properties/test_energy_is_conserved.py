"""After any sequence of calls energy and money sum to zero, and nothing is lost or counted twice."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from primitives.encoding import Struct
from tests.vm.contracts.energy.audit import audit, split_key
from tests.vm.contracts.energy.community import (
    OPENING_EXPORT_WH,
    OPENING_IMPORT_WH,
    Community,
    make_registration,
)
from tests.vm.ledger import Wallet, make_wallet
from vm.contracts.energy.calls import CorrectReading, ReplaceMeter, SetTariff, SubmitReading
from vm.contracts.energy.records import READING_PREFIX, get_meter_key
from vm.contracts.permissions import Reinstate, Suspend
from vm.state_root import build_tree

HOMES = ("a", "b", "c", "d")
NAMES = st.sampled_from(HOMES)
STEP_WH = {"a": (2000, 0), "b": (300, 1500), "c": (0, 2500), "d": (700, 700)}
NOISE = st.one_of(st.integers(0, 2600), st.sampled_from([0, 0, 1, 2]))
CORRECTION_SLOTS = 9


class EnergyMachine(RuleBasedStateMachine):
    """Four homes and a short correction window; every call may be refused, none may break a rule."""

    @initialize(
        slot_s=st.sampled_from([900, 3600]), grace=st.sampled_from([0, 1, 2, 9]), is_future_open=st.booleans()
    )
    def open(self, slot_s: int, grace: int, is_future_open: bool) -> None:
        self.slot_s = slot_s
        self.community = Community(
            homes=("a", "b"),
            slot_s=slot_s,
            grace_s=grace * slot_s,
            correction_s=CORRECTION_SLOTS * slot_s,
            future_s=slot_s if is_future_open else 0,
        )
        self.chain = self.community.chain
        self.wallets = {name: make_wallet(name) for name in HOMES}
        self.unregistered = {"c", "d"}
        self.waiting: list[tuple[Wallet, Struct]] = []
        self.chain.time_s += 4 * slot_s

    @rule(
        names=st.sets(NAMES, min_size=1), back=st.sampled_from([0, 0, 0, 0, -1, 1, 2, 3, 5, 8]), noise=NOISE
    )
    def submit(self, names: set[str], back: int, noise: int) -> None:
        for name in sorted(names - self.unregistered):
            slot = self.current_slot() - back
            reading = SubmitReading(
                self.community.start_of(slot),
                *self.registers(name, slot, noise),
                "E" if noise == 1 else "G",
                max(slot, 1) + (noise == 2),
            )
            self.waiting.append((self.wallets[name], reading))

    @rule(which=st.integers(0, 40), noise=NOISE, by_utility=st.booleans())
    def correct(self, which: int, noise: int, by_utility: bool) -> None:
        """Correct one of the newest readings."""
        keys = [key for key, _ in self.chain.state.iterate(READING_PREFIX)]
        keys.sort(reverse=True)
        if not keys:
            return
        key = keys[which % len(keys)]
        time_s, account = split_key(key)
        wallet = next(wallet for wallet in self.wallets.values() if wallet.account == account)
        slot = (time_s - self.community.start_of(0)) // self.slot_s
        registers = self.registers(wallet.name, slot, noise)
        record = CorrectReading(account, time_s, *registers, "E" if noise == 1 else "G", "checked")
        self.waiting.append((self.chain.utility if by_utility else wallet, record))

    @rule(
        name=NAMES,
        back=st.sampled_from([0, 0, 1, 2, -1]),
        noise=NOISE,
        less_wh=st.sampled_from([0, 1, 700, 2**20]),
    )
    def replace(self, name: str, back: int, noise: int, less_wh: int) -> None:
        """Exchange a meter for one that shows a little less, or much less."""
        slot = self.current_slot() - back
        last = self.registers(name, slot, noise)
        first = (max(0, last[0] - less_wh), max(0, last[1] - less_wh))
        record = ReplaceMeter(self.wallets[name].account, self.community.start_of(slot), *last, *first)
        self.waiting.append((self.chain.utility, record))

    @precondition(lambda self: len(self.unregistered) > 0)
    @rule(offset=st.integers(-4, 2))
    def register(self, offset: int) -> None:
        name = min(self.unregistered)
        opening_s = max(self.community.start_of(self.current_slot() + offset), 0)
        self.waiting.append((self.chain.utility, make_registration(name, opening_s)))

    @rule(name=NAMES, is_suspended=st.sampled_from([True, False, False]))
    def suspend(self, name: str, is_suspended: bool) -> None:
        account = self.wallets[name].account
        self.waiting.append((self.chain.utility, Suspend(account) if is_suspended else Reinstate(account)))

    @rule(retail=st.integers(0, 300_000), feed_in=st.integers(0, 300_000), ahead=st.integers(0, 2))
    def set_tariff(self, retail: int, feed_in: int, ahead: int) -> None:
        first_s = self.community.start_of(self.current_slot() + ahead)
        self.waiting.append((self.chain.utility, SetTariff(first_s, ((retail, feed_in),))))

    @rule(steps=st.sampled_from([0, 1, 1, 1, 1, 2, 4]), quarters=st.sampled_from([0, 0, 1, 3]))
    def advance(self, steps: int, quarters: int) -> None:
        self.flush()
        self.chain.time_s += steps * self.slot_s + quarters * self.slot_s // 4

    @precondition(lambda self: len(self.waiting) > 0)
    @rule()
    def flush(self) -> None:
        sealed = [self.chain.sign(wallet, record) for wallet, record in self.waiting]
        self.waiting = []
        self.chain.execute(*sealed)
        self.unregistered = {
            name for name in HOMES if self.chain.state.get(get_meter_key(self.wallets[name].account)) is None
        }

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        if hasattr(self, "chain") and not self.waiting:
            audit(self.chain.state, self.slot_s)

    def teardown(self) -> None:
        if hasattr(self, "chain"):
            self.flush()
            self.chain.execute(at_s=self.chain.time_s + 2 * CORRECTION_SLOTS * self.slot_s)
            audit(self.chain.state, self.slot_s)
            assert build_tree(self.chain.state.buckets.items()).root == self.chain.tree.root

    def registers(self, name: str, slot: int, noise: int) -> tuple[int, int]:
        """Return registers that grow with time, a little too little or too much now and then."""
        import_step, export_step = STEP_WH[name]
        return (
            OPENING_IMPORT_WH + slot * import_step + noise * import_step // 2000,
            OPENING_EXPORT_WH + slot * export_step + noise * export_step // 2000,
        )

    def current_slot(self) -> int:
        return (self.chain.time_s - self.community.start_of(0)) // self.slot_s


TestEnergyMachine = EnergyMachine.TestCase
TestEnergyMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
