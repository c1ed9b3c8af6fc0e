"""A community of homes on a chain: each has a meter whose registers the test moves."""

from dataclasses import dataclass, field

from primitives.encoding import Struct
from tests.vm.ledger import HOUR, START_S, Chain, Wallet, make_energy, make_genesis, make_wallet
from vm.contracts.energy import queries
from vm.contracts.energy.calls import CorrectReading, RegisterMeter, ReplaceMeter, SubmitReading
from vm.contracts.energy.records import HISTORY_PREFIX, Line, Reading, Slot
from vm.contracts.ledger import GRID
from vm.contracts.permissions import Reinstate, Suspend
from vm.transaction import SealedTransaction

RATING_W = 20_000
OPENING_IMPORT_WH = 1_000_000
OPENING_EXPORT_WH = 1_000


@dataclass
class Home:
    """A home's wallet, and its meter's registers."""

    wallet: Wallet
    opening_s: int = START_S
    import_wh: int = OPENING_IMPORT_WH
    export_wh: int = OPENING_EXPORT_WH

    @property
    def name(self) -> str:
        return self.wallet.name

    @property
    def account(self) -> bytes:
        return self.wallet.account


def make_registration(name: str, opening_s: int = START_S, rating_w: int = RATING_W) -> RegisterMeter:
    wallet = make_wallet(name)
    return RegisterMeter(
        account=wallet.account,
        public_key=wallet.key.public,
        home=name,
        owner=wallet.account,
        rating_w=rating_w,
        opening_s=opening_s,
        opening_import_wh=OPENING_IMPORT_WH,
        opening_export_wh=OPENING_EXPORT_WH,
    )


@dataclass
class Community:
    """Homes a, b, c, … whose meters open at START_S; slots are named by their number from there."""

    homes: tuple[str, ...] = ("a", "b", "c")
    slot_s: int = HOUR
    grace_s: int = 900
    correction_s: int = 7 * 86400
    future_s: int = 5
    chain: Chain = field(init=False)
    home: dict[str, Home] = field(init=False)

    def __post_init__(self) -> None:
        energy = make_energy(
            slot_s=self.slot_s,
            grace_s=self.grace_s,
            correction_s=self.correction_s,
            future_s=self.future_s,
        )
        self.chain = Chain(make_genesis(energy), START_S)
        self.home = {}
        for name in self.homes:
            self.add(name)

    def add(self, name: str, opening_s: int = START_S) -> Home:
        home = Home(make_wallet(name), opening_s)
        assert self.chain.call(self.chain.utility, make_registration(name, opening_s)) is None
        self.home[name] = home
        return home

    def start_of(self, slot: int) -> int:
        return START_S + slot * self.slot_s

    def end_of(self, slot: int) -> int:
        return self.start_of(slot + 1)

    def reading(
        self, name: str, slot: int, import_wh: int, export_wh: int, **changes: object
    ) -> SubmitReading:
        """Return the reading at the end of a slot; the registers are counted from the opening ones."""
        values: dict[str, object] = {
            "time_s": self.end_of(slot),
            "import_wh": OPENING_IMPORT_WH + import_wh,
            "export_wh": OPENING_EXPORT_WH + export_wh,
            "status": "G",
            "pagination": slot + 1,
        }
        return SubmitReading(**{**values, **changes})  # type: ignore[arg-type]  # the fields' own types

    def sign(self, name: str, record: Struct) -> SealedTransaction:
        return self.chain.sign(self.home[name].wallet, record)

    def submit(
        self,
        name: str,
        slot: int,
        import_wh: int,
        export_wh: int = 0,
        *,
        at_s: int | None = None,
        **changes: object,
    ) -> str | None:
        """Send the reading at the end of a slot, by default then; return why it was refused, or None."""
        at_s = max(self.end_of(slot), self.chain.time_s) if at_s is None else at_s
        record = self.reading(name, slot, import_wh, export_wh, **changes)
        return self.chain.call(self.home[name].wallet, record, at_s=at_s)

    def correct(
        self,
        name: str,
        slot: int,
        import_wh: int,
        export_wh: int = 0,
        *,
        by: Wallet | None = None,
        status: str = "G",
        reason: str = "checked",
    ) -> str | None:
        home = self.home[name]
        record = CorrectReading(
            home.account,
            self.end_of(slot),
            OPENING_IMPORT_WH + import_wh,
            OPENING_EXPORT_WH + export_wh,
            status,
            reason,
        )
        return self.chain.call(by or home.wallet, record)

    def replace(
        self,
        name: str,
        slot: int,
        last_wh: tuple[int, int],
        first_wh: tuple[int, int],
        *,
        by: Wallet | None = None,
    ) -> str | None:
        """Exchange a meter at the end of a slot; the last registers are counted from the opening ones."""
        last = (OPENING_IMPORT_WH + last_wh[0], OPENING_EXPORT_WH + last_wh[1])
        record = ReplaceMeter(self.home[name].account, self.end_of(slot), *last, *first_wh)
        return self.chain.call(
            by or self.chain.utility, record, at_s=max(self.end_of(slot), self.chain.time_s)
        )

    def suspend(self, name: str) -> None:
        assert self.chain.call(self.chain.utility, Suspend(self.home[name].account)) is None

    def reinstate(self, name: str) -> None:
        assert self.chain.call(self.chain.utility, Reinstate(self.home[name].account)) is None

    def pass_grace(self, slot: int) -> None:
        self.chain.execute(at_s=self.end_of(slot) + self.grace_s)

    def slot(self, slot: int) -> Slot:
        found = queries.get_slot(self.chain.state, self.start_of(slot))
        assert found is not None
        return found

    def is_settled(self, slot: int) -> bool:
        found = queries.get_slot(self.chain.state, self.start_of(slot))
        return found is not None and found.settled

    def line(self, name: str, slot: int) -> Line:
        found = queries.get_bill_line(self.chain.state, self.home[name].account, self.start_of(slot))
        assert found is not None
        return found.line

    def stored_reading(self, name: str, slot: int) -> Reading:
        found = queries.get_reading(self.chain.state, self.home[name].account, self.end_of(slot))
        assert found is not None
        return found

    def history(self, name: str) -> int:
        account = self.home[name].account
        return sum(account in key for key, _ in self.chain.state.iterate(HISTORY_PREFIX))

    def net(self, name: str) -> int:
        """Return what a home paid so far: its settlement balance, turned round."""
        return -self.chain.balance(self.home[name].account).amount

    def grid_net(self) -> int:
        return self.chain.balance(GRID).amount
