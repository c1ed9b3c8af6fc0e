"""One day of a community on the contracts: the round, the metered day, and its settlement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cli.simulate.crew import Crew, build_crew
from cli.simulate.inputs import DayInput
from cli.simulate.ledger import LocalLedger
from cli.simulate.options import SimulationOptions
from cli.simulate.pooled import POOLED_MAX
from cli.simulate.terms import CLAIM_S, build_terms
from cli.simulate.trace import CostTrace
from meter.home.desk import Told
from meter.home.participant import MICRO, NANO, Outcome, Seat, Trades
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.ids import AccountId
from primitives.signing import SecretKey
from vm.contracts.energy.calls import RegisterMeter, SetTariff, SubmitReading
from vm.contracts.energy.coordination.calls import (
    MEMBERS_PER_CALL_MAX,
    ClaimRelief,
    EnrolMembers,
    Form,
    OpenRound,
    SubmitVector,
)
from vm.contracts.energy.coordination.records import (
    Agreement,
    Exchange,
    Round,
    Row,
    Status,
    get_agreement_key,
    get_exchange_key,
    get_round_key,
    get_row_key,
)
from vm.contracts.energy.coordination.relief import get_relief_permille
from vm.contracts.energy.records import Line, get_line_key
from vm.contracts.ledger import GRID, Asset, get_balance
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.receipt import Rejection

LEAD_S = 86_400
"""The round is held on the day before."""
GRACE_S = 300


@dataclass(frozen=True)
class Step:
    """An iteration as the contract saw it; ``cost`` is that of fixing its targets, computed where a report shows it."""

    primal_mwh: int
    dual_mwh: int
    traded_wh: int
    residual_wh: int
    rho: int
    cost: float | None


@dataclass
class DayResult:
    """What a day came to. Costs in currency units; ``metered`` is each home's bill with its wear and discomfort."""

    round: Round
    steps: list[Step]
    outcomes: list[Outcome]
    agreements: list[Agreement | None]
    metered: list[float]
    relief: list[float]
    lines: list[list[Line]]
    transactions: int
    sent_bytes: list[int]
    money_left_nano: int
    bound: float | None


class RoundError(Exception):
    """The contract refused what a simulation never should send; a bug, or a home beyond its connection."""


def build_genesis(slot_s: int, time_s: int, retail: int, feed_in: int) -> tuple[Genesis, AccountId]:
    """Return the genesis of a simulation and its utility's account."""
    keys = [_make_key(f"validator {number}") for number in range(4)]
    utility = _make_key("utility")
    account = compute_account_id(utility.public)
    genesis = Genesis(
        version=1,
        name="simulation",
        currency="USD",
        time_ms=time_s * 1000,
        validators=tuple(Validator(f"v{number}", key.public, key.public) for number, key in enumerate(keys)),
        accounts=(GenesisAccount(account, utility.public, "utility", "the-utility"),),
        energy=EnergyParameters(
            slot_s=slot_s,
            grace_s=GRACE_S,
            correction_s=7 * 86_400,
            future_s=60,
            feed_in_price=feed_in,
            retail_price=retail,
        ),
        consensus=ConsensusParameters(),
    )
    return genesis, account


class Simulation:
    """A day's round over a local ledger. The homes stand in the order of their accounts, as the contract has them."""

    def __init__(self, options: SimulationOptions, day: DayInput) -> None:
        self.options = options
        first_s = day.starts_s[0]
        genesis, self._utility = build_genesis(
            day.slot_s, first_s - LEAD_S, max(day.surroundings.retail), options.feed_in
        )
        self.day = day
        self.first_s = first_s
        self.ledger = LocalLedger(genesis)
        self.terms = build_terms(options, day.surroundings.retail)
        accounts = {home.name: compute_account_id(_make_key(home.name).public) for home in day.homes}
        self.homes = sorted(day.homes, key=lambda home: accounts[home.name])
        self._trace: CostTrace | None = None
        self.accounts = [accounts[home.name] for home in self.homes]

    def play(self) -> DayResult:
        """Play the day and return what it came to.

        Raises:
            RoundError: the contract refused a call.
            CliError: a home's day cannot be planned.

        """
        self._found()
        seats = [Seat(self.options.form, len(self.homes) - 1, self.terms)] * len(self.homes)
        crew = build_crew(self.homes, seats, self.options.workers, self.options.scheduler)
        try:
            steps = self._coordinate(crew)
            exchange = self._read_exchange()
            bound = self._compute_bound(crew, exchange)
            outcomes = self._fix(crew)
        finally:
            crew.close()
        lines = self._meter(outcomes)
        agreements = [self._read_agreement(account) for account in self.accounts]
        relief = [0.0 if each is None else each.relief_nano / NANO for each in agreements]
        bills = [sum(line.net_nano for line in mine) / NANO for mine in lines]
        overlay = self.ledger.overlay
        system = self.ledger.context.genesis.accounts[0].account
        everybody = [*self.accounts, system]
        grid = -sum(get_balance(overlay, account, Asset.SETTLEMENT).amount for account in everybody)
        return DayResult(
            round=self.read_round(),
            steps=steps,
            outcomes=outcomes,
            agreements=agreements,
            metered=[
                bill + outcome.comfort - given
                for bill, outcome, given in zip(bills, outcomes, relief, strict=True)
            ],
            relief=relief,
            lines=lines,
            transactions=self.ledger.transactions,
            sent_bytes=[self.ledger.sent_bytes.get(account, 0) for account in self.accounts],
            money_left_nano=grid - self._sum_grid(),
            bound=bound,
        )

    def read_round(self) -> Round:
        """Return the round as it stands."""
        found = self.ledger.overlay.read(get_round_key(self.first_s), Round)
        if found is None:
            raise RoundError("the round is gone")
        return found

    def _found(self) -> None:
        """Register the meters, publish the prices and open the round."""
        self.ledger.begin_block(self.ledger.time_ms + 1000)
        for home, account in zip(self.homes, self.accounts, strict=True):
            key = _make_key(home.name)
            registration = RegisterMeter(
                account=account,
                public_key=key.public,
                home=home.name,
                owner=account,
                rating_w=home.spec.grid_w,
                opening_s=self.first_s,
                opening_import_wh=0,
                opening_export_wh=0,
            )
            self._call(self._utility, registration)
        prices = tuple((retail, self.options.feed_in) for retail in self.day.surroundings.retail)
        self._call(self._utility, SetTariff(self.first_s, prices))
        pages = [
            tuple(self.accounts[first : first + MEMBERS_PER_CALL_MAX])
            for first in range(0, len(self.accounts), MEMBERS_PER_CALL_MAX)
        ]
        opening = OpenRound(self.first_s, len(self.day.starts_s), self.options.form, self.terms, pages[0], ())
        self._call(self._utility, opening)
        for page in pages[1:]:
            self._call(self._utility, EnrolMembers(self.first_s, page))

    def _coordinate(self, crew: Crew) -> list[Step]:
        """Iterate until the contract fixes the trades."""
        steps: list[Step] = []
        while True:
            found = self.read_round()
            if found.status != Status.OPEN:
                return steps
            vectors = crew.answer(self._tell(found))
            self.ledger.begin_block(self.ledger.time_ms + 1000)
            for account, vector in zip(self.accounts, vectors, strict=True):
                self._call(account, SubmitVector(self.first_s, found.iteration, vector))
            solved = self.read_round()
            steps.append(
                Step(
                    primal_mwh=solved.primal_mwh,
                    dual_mwh=solved.dual_mwh,
                    traded_wh=solved.traded_wh,
                    residual_wh=solved.residual_wh,
                    rho=found.rho,
                    cost=self._trace_cost(vectors),
                )
            )

    def _trace_cost(self, vectors: list[Trades]) -> float | None:
        """Return what it would cost to fix the trades now, where a report asks for it."""
        if self.options.output is None or len(self.homes) > POOLED_MAX:
            return None
        if self._trace is None:
            self._trace = CostTrace(self.homes)
        exchange = self._read_exchange()
        if exchange is not None:
            return self._trace.cost_of_vectors(vectors, exchange)
        return self._trace.cost_of_rows(self._read_rows())

    def _compute_bound(self, crew: Crew, exchange: Exchange | None) -> float | None:
        """Return the Lagrangian bound at the final prices where the community is too large for one programme."""
        if exchange is None or len(self.homes) <= POOLED_MAX:
            return None
        return crew.compute_bound(np.array(exchange.prices_nano, dtype=np.float64) / NANO)

    def _tell(self, found: Round) -> Told:
        if self.options.form == Form.EXCHANGE:
            return Told(found.rho, found.active, [None] * len(self.accounts), self._read_exchange())
        return Told(found.rho, found.active, self._read_rows(), None)

    def _fix(self, crew: Crew) -> list[Outcome]:
        """Let the homes plan with the fixed trades, claim where they lose, and close the round."""
        agreements = [self._read_agreement(account) for account in self.accounts]
        feed_in = np.full(len(self.day.starts_s), self.options.feed_in / MICRO)
        outcomes = crew.finish(agreements, self.day.retail, feed_in, get_relief_permille(self.read_round()))
        self.ledger.begin_block(self.ledger.time_ms + 1000)
        for account, outcome in zip(self.accounts, outcomes, strict=True):
            if outcome.claim_nano:
                self._call(account, ClaimRelief(self.first_s, outcome.claim_nano))
        self.ledger.begin_block(self.ledger.time_ms + CLAIM_S * 1000)
        return outcomes

    def _meter(self, outcomes: Sequence[Outcome]) -> list[list[Line]]:
        """Send every home's readings, slot by slot, and return its settled lines."""
        registers = [[0, 0] for _ in outcomes]
        for number, start_s in enumerate(self.day.starts_s):
            end_s = start_s + self.day.slot_s
            self.ledger.begin_block(end_s * 1000)
            for account, outcome, counters in zip(self.accounts, outcomes, registers, strict=True):
                counters[0] += outcome.import_wh[number]
                counters[1] += outcome.export_wh[number]
                self._call(account, SubmitReading(end_s, counters[0], counters[1], "G", number + 1))
        overlay = self.ledger.overlay
        lines: list[list[Line]] = []
        for account in self.accounts:
            found = [overlay.read(get_line_key(account, start_s), Line) for start_s in self.day.starts_s]
            lines.append([line for line in found if line is not None])
        return lines

    def _read_rows(self) -> list[Row | None]:
        overlay = self.ledger.overlay
        return [overlay.read(get_row_key(self.first_s, account), Row) for account in self.accounts]

    def _read_exchange(self) -> Exchange | None:
        return self.ledger.overlay.read(get_exchange_key(self.first_s), Exchange)

    def _read_agreement(self, account: bytes) -> Agreement | None:
        return self.ledger.overlay.read(get_agreement_key(self.first_s, account), Agreement)

    def _sum_grid(self) -> int:
        return get_balance(self.ledger.overlay, GRID, Asset.SETTLEMENT).amount

    def _call(self, sender: bytes, record: object) -> None:
        rejection: Rejection | None = self.ledger.call(sender, record)  # type: ignore[arg-type]
        if rejection is not None:
            raise RoundError(f"{type(record).__name__} was refused: {rejection.value}")


def _make_key(name: str) -> SecretKey:
    """Return a key that belongs to a name: a simulation hides nothing and is the same each time."""
    return SecretKey(compute_account_id(name.encode()) * 2)
