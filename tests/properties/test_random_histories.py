"""Long seeded histories, dense with accepted calls; a found seed is added for ever."""

from collections import Counter
from random import Random

import pytest

from primitives.encoding import Struct
from tests.vm.contracts.energy.audit import audit, split_key
from tests.vm.contracts.energy.community import (
    OPENING_EXPORT_WH,
    OPENING_IMPORT_WH,
    Community,
    Home,
    make_registration,
)
from tests.vm.ledger import Wallet, make_wallet
from vm.contracts.energy.calls import CorrectReading, RegisterMeter, ReplaceMeter, SetTariff, SubmitReading
from vm.contracts.energy.records import READING_PREFIX
from vm.contracts.permissions import Reinstate, Suspend

SEEDS = range(12)
ROUNDS = 80
NAMES = "abcdef"
CALLS = ["submit"] * 14 + ["correct"] * 3 + ["suspend", "reinstate", "register", "replace", "set_tariff"]


class History:
    """A community whose parameters, homes and calls are drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.slot_s = self.random.choice([900, 3600])
        self.community = Community(
            slot_s=self.slot_s,
            grace_s=self.random.choice([0, 1, 2, 6]) * self.slot_s,
            correction_s=self.random.choice([6, 9, 30]) * self.slot_s,
            future_s=self.random.choice([0, 5, self.slot_s]),
        )
        self.chain = self.community.chain
        self.hits: Counter[str] = Counter()
        self.steps = {
            name: (self.random.choice([0, 300, 2000]), self.random.choice([0, 700, 2500])) for name in NAMES
        }

    def play(self) -> None:
        for _ in range(ROUNDS):
            calls = [self.draw_call() for _ in range(self.random.randint(0, 6))]
            sealed = [self.chain.sign(wallet, record) for wallet, record in calls]
            for (_, record), receipt in zip(calls, self.chain.execute(*sealed), strict=True):
                self.hits[f"{type(record).__name__} {receipt.rejection}"] += 1
                if isinstance(record, RegisterMeter) and receipt.rejection is None:
                    self.community.home[record.home] = Home(make_wallet(record.home), record.opening_s)
            audit(self.chain.state, self.slot_s)
            self.chain.time_s += self.random.choice([0, 1, 4, 4, 4, 8]) * self.slot_s // 4

    def draw_call(self) -> tuple[Wallet, Struct]:
        home = self.community.home[self.random.choice(sorted(self.community.home))]
        utility = self.chain.utility
        match self.random.choice(CALLS):
            case "submit":
                return home.wallet, self.draw_reading(home.name)
            case "correct":
                return self.random.choice([utility, home.wallet]), self.draw_correction(home)
            case "suspend":
                return utility, Suspend(home.account)
            case "reinstate":
                return utility, Reinstate(home.account)
            case "replace":
                return utility, self.draw_replacement(home)
            case "register":
                name = NAMES[min(len(self.community.home), len(NAMES) - 1)]
                opening_s = self.community.start_of(self.current_slot() + self.random.randint(-4, 2))
                return utility, make_registration(name, max(opening_s, 0))
            case _:
                feed_in = self.random.randint(0, 200_000)
                retail = feed_in + self.random.randint(-1000, 200_000)
                first_s = self.community.start_of(self.current_slot() + self.random.randint(0, 2))
                return utility, SetTariff(first_s, ((retail, feed_in),))

    def draw_reading(self, name: str) -> SubmitReading:
        slot = self.current_slot() - 1 - self.random.choice([0, 0, 0, 0, -1, 1, 2, 3, 4, 7])
        registers = self.draw_registers(name, slot)
        status = self.random.choice("GGGE")
        return SubmitReading(self.community.end_of(slot), *registers, status, max(slot + 1, 1))

    def draw_correction(self, home: Home) -> CorrectReading:
        """Correct one of the home's newest readings, if it has any."""
        named = map(split_key, dict(self.chain.state.iterate(READING_PREFIX)))
        times_s = [time_s for time_s, account in named if account == home.account]
        time_s = self.random.choice(times_s[-8:]) if times_s else self.community.end_of(0)
        slot = (time_s - self.community.end_of(0)) // self.slot_s
        return CorrectReading(home.account, time_s, *self.draw_registers(home.name, slot), "G", "checked")

    def draw_replacement(self, home: Home) -> ReplaceMeter:
        """Exchange a home's meter for one that shows almost the same, so that what follows may fit it."""
        slot = self.current_slot() - 1 - self.random.choice([0, 0, 0, 1, -1])
        last = self.draw_registers(home.name, slot)
        first = [max(0, register - self.random.choice([0, 100, 700])) for register in last]
        return ReplaceMeter(home.account, self.community.end_of(slot), *last, *first)

    def draw_registers(self, name: str, slot: int) -> tuple[int, int]:
        """Return registers that grow with time, now and then a little too little or too much."""
        noise = self.random.choice([0, 0, 0, self.random.randint(-500, 1000)])
        import_step, export_step = self.steps[name]
        return (
            OPENING_IMPORT_WH + (slot + 1) * import_step + noise * import_step // 1000,
            OPENING_EXPORT_WH + (slot + 1) * export_step + noise * export_step // 1000,
        )

    def current_slot(self) -> int:
        return (self.chain.time_s - self.community.start_of(0)) // self.slot_s


def test_meters_are_exchanged_in_such_histories() -> None:
    history = History(0)
    history.play()
    assert history.hits["ReplaceMeter None"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_rule_holds_after_every_block(seed: int) -> None:
    history = History(seed)
    history.play()
    assert history.hits["SubmitReading None"] > 20
    assert history.hits["CorrectReading None"] > 0
