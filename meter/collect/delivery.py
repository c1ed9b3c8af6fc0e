"""What waits in a collector's spool goes to the validators, for as long as it takes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from meter.answers import MeterAnswer
from meter.collect.collector import Collector, read_entry
from meter.collect.state import Facts, Proven, Reached, count
from meter.courier import DELIVERED_AT_ONCE_MAX, Courier, Delivery
from meter.outcomes import Committed, OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.spool import GIVEN_UP, SpoolEntry, SpoolState
from meter.spool_file import SpoolFailedError
from meter.validators import ClientError
from primitives.ids import Nonce
from primitives.text import to_line
from vm.receipt import Rejection

if TYPE_CHECKING:
    from meter.client import Client


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one attempt, between attempts in vain (growing), between looks at a meter that seems exchanged."""

    attempt_s: float = 30.0
    pause_first_s: float = 1.0
    pause_max_s: float = 60.0
    look_s: float = 60.0


class OtherKeyError(Exception):
    """The ledger has another key for this meter than the one that signs here."""


async def fetch_facts(
    client: "Client", collector_account: bytes, key: bytes, slot_s: int
) -> tuple[Facts, Nonce]:
    """Return what a validator says of a meter, and the nonce it has not used; a lie gets readings refused, no more.

    Raises:
        ClientError: no validator answers, or none knows the meter.
        OtherKeyError: its account has another key.

    """
    account = await client.get_account(collector_account.hex())
    if account.public_key != key.hex():
        raise OtherKeyError("its account has another key now; use the new key file, or ask the utility")
    meter = await client.ask(f"/v1/meters/{collector_account.hex()}", MeterAnswer)
    facts = Facts(
        account=collector_account.hex(),
        opening_s=meter.opening_s,
        slot_s=slot_s,
        rating_w=meter.rating_w,
        latest_s=meter.latest.time_s,
        latest_import_wh=meter.latest.import_wh,
        latest_export_wh=meter.latest.export_wh,
        height=account.height,
    )
    return facts, Nonce(account.nonce_hint)


class Delivering:
    """One collector's way to the validators."""

    def __init__(self, collector: Collector, client: "Client", patience: Patience | None = None) -> None:
        """Take who collects, and the client."""
        self._collector = collector
        self._client = client
        self._patience = patience or Patience()
        signers = {collector.signer.account: collector.signer}
        self._courier = Courier(collector.spool, client, signers, is_past=self._is_past)
        self._wake = asyncio.Event()
        collector.listeners.append(lambda _: self._wake.set())

    async def run(self) -> None:
        """Deliver for ever; what is refused for now, or unknown, is tried again after a pause."""
        pause_s = self._patience.pause_first_s
        while True:
            if self._collector.is_swap_suspected:
                await self._look()
            if not self._collector.spool.get_due(1):
                await self._rest(self._patience.look_s)
            elif await self.attempt():
                pause_s = self._patience.pause_first_s
            else:
                await self._rest(pause_s)
                pause_s = min(2 * pause_s, self._patience.pause_max_s)

    async def drain(self, attempts: int) -> bool:
        """Deliver what waits, at most so many times; tell whether nothing waits any more."""
        pause_s = self._patience.pause_first_s
        for _ in range(attempts):
            if not self._collector.spool.get_due(1):
                break
            if not await self.attempt():
                await asyncio.sleep(pause_s)
        return not self._collector.spool.get_due(1)

    async def attempt(self) -> bool:
        """Try once everything that is due; tell whether something became final."""
        due = {entry.number for entry in self._collector.spool.get_due(DELIVERED_AT_ONCE_MAX)}
        try:
            deliveries = await self._courier.deliver_due(self._patience.attempt_s)
            self._keep(deliveries)
            is_given_up = self._count_given_up(due - {delivery.entry.number for delivery in deliveries})
            status = await self._client.get_status()
        except (ClientError, SpoolFailedError) as error:  # a full disk may have room again
            self._collector.state.network_problem = to_line(str(error))
            self._collector.write()
            return False
        self._collector.state.reached = Reached(to_line(status.name), self._collector.now_s)
        self._collector.write()
        return is_given_up or any(not delivery.entry.is_open for delivery in deliveries)

    def _is_past(self, entry: SpoolEntry) -> bool:
        reading = read_entry(entry)
        return reading is not None and reading.time_s <= self._collector.now_s

    def _count_given_up(self, numbers: set[int]) -> bool:
        """Count what the courier found expired and never to be taken, by the name that it was refused with."""
        reasons = []
        for number in sorted(numbers):
            entry = self._collector.spool.get_entry(number)
            if entry.state is SpoolState.REFUSED:
                reasons.append(entry.reason.removeprefix(GIVEN_UP))
        for reason in reasons:
            count(self._collector.state.refused, reason)
        return bool(reasons)

    async def _rest(self, most_s: float) -> None:
        """Wait until something is spooled, at most so long."""
        self._wake.clear()
        try:
            async with asyncio.timeout(most_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        collector = self._collector
        signer = collector.signer
        try:
            facts, _ = await fetch_facts(
                self._client, signer.account, signer.key.public, collector.facts.slot_s
            )
        except (ClientError, OtherKeyError) as error:
            collector.state.network_problem = to_line(str(error))
            return
        collector.learn(facts)

    def _keep(self, deliveries: Iterable[Delivery]) -> None:
        state = self._collector.state
        state.network_problem = ""
        for delivery in deliveries:
            match delivery.outcome:
                case Committed() as outcome:
                    reading = read_entry(delivery.entry)
                    state.committed += 1
                    height = max(self._collector.facts.height, outcome.height)
                    state.facts = structs.replace(self._collector.facts, height=height)
                    state.last_proof = Proven(
                        outcome.transaction_id.hex(), outcome.height, 0 if reading is None else reading.time_s
                    )
                case RefusedByNetwork(rejection=rejection) if delivery.entry.is_open:
                    state.network_problem = f"{rejection}: not taken for now"
                    state.early += rejection == Rejection.READING_OF_FUTURE
                case RefusedByNetwork(rejection=rejection):
                    count(state.refused, rejection)
                case RefusedByNode(rejection=rejection):
                    state.network_problem = f"{rejection}: not taken for now"
                case OutcomeUnknown(reason=reason):
                    state.network_problem = to_line(reason)
