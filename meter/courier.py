"""Carries what waits in the spool to the validators, and their proofs back into it.

Whatever ends the process, the next one takes up where the spool stands: the same bytes go out again until a proof says
what became of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from meter.outcomes import Committed, Outcome, OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.proofs import CertifiedHeight
from meter.signer import Signer
from meter.spool import Spool, SpoolEntry
from primitives.ids import AccountId, Digest, Height, Nonce
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

DELIVERED_AT_ONCE_MAX = 1000
"""One request's worth: the spool is asked again for the rest."""

PASSING = frozenset(
    {
        Rejection.ACCOUNT_UNKNOWN,
        Rejection.EXPIRED,
        Rejection.KEY_NOT_CURRENT,
        Rejection.METER_UNKNOWN,
        Rejection.NONCE_TOO_FAR,
        Rejection.QUOTA_EXCEEDED,
        Rejection.READING_OF_FUTURE,
        Rejection.SUSPENDED,
    }
)
"""Refusals that time or an operator can lift: such an entry is signed again when it has expired."""


class Carrier(Protocol):
    """What a courier needs of ``meter.client.Client``."""

    async def deliver_many(
        self, transactions: list[SealedTransaction], timeout_s: float
    ) -> list[Outcome]: ...

    async def wait_many(self, names: list[Digest], timeout_s: float) -> dict[bytes, Outcome]: ...

    async def get_certified_height(self) -> CertifiedHeight: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry as it stands in the spool after an attempt, and what the attempt showed."""

    entry: SpoolEntry
    outcome: Outcome


class Courier:
    """Brings one spool's entries to the network; one courier per spool."""

    def __init__(
        self,
        spool: Spool,
        client: Carrier,
        signers: Mapping[AccountId, Signer],
        *,
        is_past: Callable[[SpoolEntry], bool] = lambda _: False,
    ) -> None:
        """Take the spool, the client, and the signers of accounts whose expired transactions may be renewed.

        ``is_past`` tells by the sender's own clock that an entry is not of the future. Where the ledger says it is,
        the validators' clocks are behind (a blackout, and no battery for the clock): it is signed and sent again.
        """
        self._spool = spool
        self._client = client
        self._signers = signers
        self._is_past = is_past

    async def deliver_due(self, timeout_s: float, most: int = DELIVERED_AT_ONCE_MAX) -> list[Delivery]:
        """Send what is due, wait for proofs, keep them; each entry is tried once, in the order of the spool.

        Of what validators with slow clocks took for the future only the oldest entry is sent, until it is taken: each
        refusal costs a nonce.

        Raises:
            SpoolError: the disk failed; what was sent before is still in the spool.

        """
        wanted = self._spool.get_due(most)
        early = [entry for entry in wanted if self._is_early(entry)]
        held = {entry.number for entry in early[1:]}
        due = await self._renew_expired([entry for entry in wanted if entry.number not in held])
        self._spool.mark_sent(due)
        outcomes = await self._client.deliver_many([entry.transaction for entry in due], timeout_s)
        self._keep(due, outcomes)
        # Under one nonce it may be an earlier transaction of the entry that was applied.
        await self._look_back(
            [entry for entry, outcome in zip(due, outcomes, strict=True) if _is_nonce_used(outcome)]
        )
        if early and not self._spool.get_entry(early[0].number).is_open:
            self._spool.note_many((entry, "") for entry in early)
        return [
            Delivery(self._spool.get_entry(entry.number), outcome)
            for entry, outcome in zip(due, outcomes, strict=True)
        ]

    def _keep(self, due: list[SpoolEntry], outcomes: Iterable[Outcome]) -> None:
        proven, spent, reasons = [], [], []
        for entry, outcome in zip(due, outcomes, strict=True):
            match outcome:
                case RefusedByNetwork() if self._is_refused_early(entry, outcome):
                    spent.append((entry, outcome))
                case Committed() | RefusedByNetwork():
                    proven.append(outcome)
                case RefusedByNode(rejection=reason) | OutcomeUnknown(reason=reason):
                    reasons.append((entry, reason))
        self._spool.record_many(proven)
        self._spool.sign_under_next_nonce(spent, self._sign_under)
        self._spool.note_many(reasons)

    def _is_early(self, entry: SpoolEntry) -> bool:
        """Tell whether an entry waits for the validators' clocks."""
        return entry.reason == Rejection.READING_OF_FUTURE and self._is_past(entry)

    def _is_refused_early(self, entry: SpoolEntry, outcome: RefusedByNetwork) -> bool:
        """Tell whether only the validators' clocks stood against it, and it was final."""
        is_final = outcome.consumed and outcome.rejection == Rejection.READING_OF_FUTURE
        return is_final and entry.account in self._signers and self._is_past(entry)

    def _sign_under(self, entry: SpoolEntry, outcome: RefusedByNetwork, nonce: Nonce) -> SealedTransaction:
        return self._signers[entry.account].sign(entry.transaction.transaction.call, nonce, outcome.height)

    async def _renew_expired(self, due: list[SpoolEntry]) -> list[SpoolEntry]:
        """Return the entries to send: of those that have expired, first ask once more what became of them."""
        if not due:
            return []
        height = await self._client.get_certified_height()
        expired = [entry for entry in due if entry.is_expired(height)]
        if not expired:
            return due
        await self._look_back(expired)
        renewed = []
        for entry in due:
            current = self._spool.get_entry(entry.number)
            if current.is_open and current.is_expired(height):
                self._renew(current, height)
                current = self._spool.get_entry(entry.number)
            if current.is_open:
                renewed.append(current)
        return renewed

    async def _look_back(self, entries: list[SpoolEntry]) -> None:
        """Ask what became of anything that these entries ever were."""
        owners = {name: entry for entry in entries for name in self._spool.get_transaction_ids(entry.number)}
        if not owners:
            return
        known = await self._client.wait_many(list(owners), 0)
        found = {
            name: outcome
            for name, outcome in known.items()
            if isinstance(outcome, Committed | RefusedByNetwork)
        }
        self._keep([owners[Digest(name)] for name in found], found.values())

    def _renew(self, entry: SpoolEntry, height: CertifiedHeight) -> None:
        signer = self._signers.get(entry.account)
        if entry.reason in frozenset(Rejection) - PASSING:
            self._spool.give_up(entry, height, entry.reason)
        elif signer is not None:
            self._spool.sign_again(entry, height, lambda _: signer.renew(entry.transaction, Height(height)))


def _is_nonce_used(outcome: Outcome) -> bool:
    match outcome:
        case RefusedByNetwork(rejection=rejection, consumed=False) | RefusedByNode(rejection=rejection):
            return rejection == Rejection.NONCE_USED
        case _:
            return False
