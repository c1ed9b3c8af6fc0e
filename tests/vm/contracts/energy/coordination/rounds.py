"""Homes in a round on a chain: a test says vectors by the homes' names, the contract sees accounts."""

from dataclasses import dataclass, field
from typing import Any

from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import Chain
from vm.contracts.energy.coordination import queries
from vm.contracts.energy.coordination.calls import ClaimRelief, Form, OpenRound, SubmitVector, Terms
from vm.contracts.energy.coordination.records import Agreement, Exchange, Round, Row

LEAD_SLOTS = 10
SLOTS = 3
ITERATION_S = 60
CLAIM_S = 300


def make_terms(**changes: int) -> Terms:
    values = {
        "rho": 100,
        "tolerance_mwh": 500,
        "iterations_max": 50,
        "iteration_s": ITERATION_S,
        "silence_max": 2,
        "balancing": 0,
        "price_start": 150_000,
        "pair_limit_wh": 5000,
        "fee": 0,
        "preference": 0,
        "preference_price": 0,
        "penalty_price": 0,
        "relief_permille": 10,
        "claim_s": CLAIM_S,
    }
    return Terms(**{**values, **changes})


@dataclass
class RoundOfHomes:
    """A round over SLOTS slots that begin LEAD_SLOTS after the meters open; partners of a home are in their order."""

    homes: tuple[str, ...] = ("a", "b", "c")
    form: Form = Form.BILATERAL
    terms: Terms = field(default_factory=make_terms)
    slots: int = SLOTS
    community: Community = field(init=False)

    def __post_init__(self) -> None:
        self.community = Community(homes=self.homes)
        self.order = sorted(self.homes, key=lambda name: self.community.home[name].account)

    @property
    def chain(self) -> Chain:
        return self.community.chain

    @property
    def first_slot_s(self) -> int:
        return self.community.start_of(LEAD_SLOTS)

    def account(self, name: str) -> bytes:
        return self.community.home[name].account

    def opening(self, **changes: Any) -> OpenRound:  # noqa: ANN401  # the fields' own types
        values = {
            "first_slot_s": self.first_slot_s,
            "slots": self.slots,
            "form": self.form,
            "terms": self.terms,
            "members": tuple(self.account(name) for name in self.homes),
            "distances": (),
        }
        return OpenRound(**{**values, **changes})

    def open(self, **changes: Any) -> str | None:  # noqa: ANN401  # as above
        return self.chain.call(self.chain.utility, self.opening(**changes))

    def partners(self, name: str) -> list[str]:
        return [other for other in self.order if other != name]

    def vector(self, name: str, **trades: list[int]) -> tuple[int, ...]:
        """Return a home's vector: trades by partner's name, nothing with the others."""
        return tuple(wh for other in self.partners(name) for wh in trades.get(other, [0] * self.slots))

    def submit(
        self, name: str, vector: tuple[int, ...], *, iteration: int | None = None, at_s: int | None = None
    ) -> str | None:
        number = self.round().iteration if iteration is None else iteration
        record = SubmitVector(self.first_slot_s, number, vector)
        return self.chain.call(self.community.home[name].wallet, record, at_s=at_s)

    def say(self, vectors: dict[str, tuple[int, ...]]) -> None:
        """Submit the vectors of an iteration."""
        for name, vector in vectors.items():
            assert self.submit(name, vector) is None

    def claim(self, name: str, nano: int) -> str | None:
        record = ClaimRelief(self.first_slot_s, nano)
        return self.chain.call(self.community.home[name].wallet, record)

    def pass_deadline(self) -> None:
        self.chain.execute(at_s=-(-self.round().deadline_ms // 1000))

    def round(self) -> Round:
        found = queries.get_round(self.chain.state, self.first_slot_s)
        assert found is not None
        return found

    def row(self, name: str) -> Row:
        found = queries.get_row(self.chain.state, self.first_slot_s, self.account(name))
        assert found is not None
        return found

    def exchange(self) -> Exchange:
        found = queries.get_exchange(self.chain.state, self.first_slot_s)
        assert found is not None
        return found

    def agreement(self, name: str) -> Agreement:
        found = queries.get_agreement(self.chain.state, self.first_slot_s, self.account(name))
        assert found is not None
        return found

    def price_with(self, name: str, other: str, slot: int) -> int:
        """Return twice λ between two homes."""
        return self.row(name).prices_x2[self.partners(name).index(other) * self.slots + slot]

    def target_with(self, name: str, other: str, slot: int) -> int:
        """Return twice p̂ of a home towards another."""
        return self.row(name).targets_x2[self.partners(name).index(other) * self.slots + slot]
