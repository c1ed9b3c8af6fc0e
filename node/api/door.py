"""The door through which transactions come in, however they are carried: who may send, and what a refusal says."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from node.api.errors import ApiProblem
from node.api.offenders import Offenders
from node.api.services import Services, SubmitOutcome
from vm.receipt import Rejection

OFFENCES = frozenset({Rejection.MALFORMED, Rejection.SIGNATURE_INVALID})
"""What no honest client sends, and what costs a check to find."""

BODY_OFFENCE = 20
"""A body that is no array cost its reading: a megabyte as much as so many signatures."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a transaction was not taken: a rejection of the ledger, or ``BUSY``."""

    error: str
    detail: str


class Door:
    """Submits for clients, and remembers who sends what no honest client does."""

    def __init__(self, services: Services) -> None:
        self._submit = services.submit
        self._offenders = Offenders()

    def check(self, address: str) -> None:
        """Refuse an address that got too much wrong.

        Raises:
            ApiProblem: 429.

        """
        wait_s = self._offenders.compute_wait_s(address, asyncio.get_running_loop().time())
        if wait_s > 0:
            detail = "too many transactions from this address were malformed or wrongly signed"
            raise ApiProblem(429, "TOO_MANY_INVALID", detail, retry_after_s=math.ceil(wait_s))

    async def submit(self, address: str, raws: Sequence[bytes]) -> Sequence[SubmitOutcome]:
        """Submit, and count what no honest client sends."""
        outcomes = await self._submit(raws)
        self.note(address, sum(outcome.rejection in OFFENCES for outcome in outcomes))
        return outcomes

    def note(self, address: str, invalid: int) -> None:
        """Count what an address got wrong."""
        self._offenders.note(address, invalid, asyncio.get_running_loop().time())


def find_refusal(outcome: SubmitOutcome) -> Refusal | None:
    """Return why a transaction was not taken, or None when it was, or is known already."""
    if outcome.status in {"accepted", "known"}:
        return None
    if outcome.status == "busy":
        return Refusal("BUSY", outcome.detail or "no room now; send it again later")
    error = str(outcome.rejection or "REFUSED")
    return Refusal(error, outcome.detail or f"refused: {error}; docs/ledger says what to do")
