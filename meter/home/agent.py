"""A home that takes part in a round over the network: it reads, plans, and says its vector, until the trades are fixed.

It remembers nothing that the chain does not hold: an agent that was killed goes on where it was.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from meter.client import Client
from meter.home.model import Array
from meter.home.participant import HomeDay, Outcome, Participant, Seat, Trades
from meter.home.rounds import RoundView, read_round
from meter.outcomes import Outcome as Delivery
from meter.outcomes import OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.signer import Signer
from meter.validators import ClientError
from primitives.encoding import Struct, encode
from primitives.ids import Height, Nonce
from vm.contracts.energy.coordination.calls import ClaimRelief, Form, SubmitVector
from vm.contracts.energy.coordination.records import Status
from vm.contracts.energy.coordination.relief import get_relief_permille
from vm.receipt import Rejection
from vm.transaction import Call, SealedTransaction

POLL_S = 0.05
POLL_MAX_S = 1.0
"""Between two looks at the round: soon after an answer, ever slower while others think."""
DELIVERY_TIMEOUT_S = 60.0
CLAIM_ATTEMPTS = 3
"""A claim that nobody proves within three minutes is given up: the trades stand without it."""
OVERTAKEN = frozenset({Rejection.ITERATION_OTHER, Rejection.VECTOR_EXISTS, Rejection.ROUND_CLOSED})
"""Refusals that mean: the round went on, or holds the vector already. The agent reads it again."""
PASSING = frozenset({Rejection.NONCE_USED, Rejection.EXPIRED, Rejection.QUOTA_EXCEEDED})
"""Refusals of the envelope: the same call is signed anew."""


class AgentError(Exception):
    """The home cannot take part; the message is one line that says why."""


@dataclass
class Sent:
    """Everything that a home has sent, in order: its own record of what left it."""

    transactions: list[SealedTransaction]

    @property
    def size(self) -> int:
        """Return the bytes of all transactions."""
        return sum(len(each.raw) for each in self.transactions)


class Agent:
    """One home in one round."""

    def __init__(
        self,
        client: Client,
        signer: Signer,
        first_slot_s: int,
        day: HomeDay,
        tell: Callable[[str], None] = lambda _: None,
        record: Callable[[Delivery, int], None] = lambda _outcome, _elapsed_ms: None,
    ) -> None:
        """Take a way to the validators, the meter's key, the round's name, and the home's day, which stays here.

        ``tell`` is told why a look at the round failed, ``record`` what became of each transaction and how long it
        took.
        """
        self._client = client
        self._signer = signer
        self._first_slot_s = first_slot_s
        self._day = day
        self._tell = tell
        self._record = record
        self._participant: Participant | None = None
        self._said = ""
        self.sent = Sent([])

    async def take_part(self, timeout_s: float) -> RoundView:
        """Answer every iteration until the round is no longer open; return how it ended.

        Raises:
            AgentError: the home is no member, was left out, was refused, or the time is over.
            HomeError: the day cannot be planned.

        """
        end_s = monotonic() + timeout_s
        answered, pause_s = 0, POLL_S
        while monotonic() < end_s:
            view = await self._read()
            if view is not None:
                if view.round.status != Status.OPEN:
                    return view
                if self._is_awaited(view, answered) and await self._answer(view):
                    answered, pause_s = view.round.iteration, POLL_S
                    continue
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, POLL_MAX_S)
        raise AgentError(f"the round did not end within {timeout_s:.0f} s")

    async def conclude(self, view: RoundView, retail: Array, feed_in: Array) -> Outcome:
        """Plan the day with the fixed trades, and claim relief where they leave the home worse off than alone.

        Raises:
            AgentError: the claim was refused.
            HomeError: the day cannot be planned.

        """
        outcome = self._get_participant(view).finish(
            view.agreement, retail, feed_in, get_relief_permille(view.round)
        )
        claim = ClaimRelief(self._first_slot_s, outcome.claim_nano)
        if outcome.claim_nano and view.round.status == Status.FIXED:
            for _ in range(CLAIM_ATTEMPTS):
                if await self._deliver("claim_relief", claim):
                    break
        return outcome

    async def _read(self) -> RoundView | None:
        """Return the round, or None when nobody shows or proves it now."""
        try:
            return await read_round(self._client, self._first_slot_s, self._signer.account)
        except ClientError as error:
            self._say(str(error))
            await self._client.get_certified_height()  # leads on to the validators of a later epoch
            return None

    def _is_awaited(self, view: RoundView, answered: int) -> bool:
        """Tell whether the round awaits this home's vector."""
        member = view.member
        if member is None:
            raise AgentError(f"{self._day.name} is no member of the round: ask the utility to enrol it")
        if not member.active:
            raise AgentError(f"{self._day.name} was silent too often and is left out of the round")
        return view.round.iteration > max(member.iteration, answered)

    async def _answer(self, view: RoundView) -> bool:
        """Say the vector of the awaited iteration; tell whether the chain has it, or awaits another."""
        found, member = view.round, view.member
        participant = self._get_participant(view)
        trades: Trades
        if view.exchange is not None:
            participant.recall(member.trades_wh if member is not None else ())
            trades = participant.answer_exchange(view.exchange, found.active, found.rho)
        elif view.row is not None:
            trades = participant.answer_row(view.row, found.rho)
        else:
            raise AgentError("the round shows neither a row nor an exchange")
        vector = SubmitVector(self._first_slot_s, found.iteration, trades)
        return await self._deliver("submit_vector", vector)

    async def _deliver(self, method: str, record: Struct) -> bool:
        """Sign a call under a fresh nonce and wait for its verified result; False when it has to be said again.

        Saying it again is safe: of two equal vectors, or claims, the ledger applies one.

        Raises:
            AgentError: refused for good.

        """
        try:
            account = await self._client.get_account(self._signer.account.hex())
        except ClientError as error:
            self._say(str(error))
            return False
        call = Call("coordination", method, encode(record))
        transaction = self._signer.sign(call, Nonce(account.nonce_hint), Height(account.height))
        self.sent.transactions.append(transaction)
        begin_s = monotonic()
        outcome = await self._client.deliver(transaction, DELIVERY_TIMEOUT_S)
        self._record(outcome, int((monotonic() - begin_s) * 1000))
        match outcome:
            case RefusedByNetwork(rejection=rejection) | RefusedByNode(rejection=rejection):
                if rejection not in OVERTAKEN | PASSING:
                    raise AgentError(f"{self._day.name}: {method} was refused: {rejection}")
                return rejection in OVERTAKEN
            case OutcomeUnknown(reason=reason):
                self._say(reason)
                return False
            case _:
                return True

    def _say(self, line: str) -> None:
        """Tell why it does not go on, once."""
        if line != self._said:
            self._said = line
            self._tell(line)

    def _get_participant(self, view: RoundView) -> Participant:
        if self._participant is None:
            found = view.round
            if found.slots != self._day.expected.slots:
                what = f"the round has {found.slots} slots, the day of {self._day.name} {self._day.expected.slots}"
                raise AgentError(what)
            seat = Seat(Form(found.form), found.members - 1, found.terms)
            self._participant = Participant(self._day, seat)
        return self._participant
