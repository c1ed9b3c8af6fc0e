"""What the acts of a demonstration share: the community, clients of its validators, and the time that they see."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from cli.admin import ask_admin
from cli.demo.community import Community
from cli.demo.day import DayPlan
from cli.demo.options import DemoOptions
from cli.demo.processes import ValidatorProcess
from cli.demo.tally import Tally
from cli.failure import CliError
from meter.answers import StatusAnswer
from meter.client import Client, open_client
from meter.keystore import OpenedKey
from meter.outcomes import OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.signer import Signer
from meter.validators import ClientSettings
from vm.transaction import SealedTransaction

PATIENCE = ClientSettings(
    request_timeout_s=5.0, rounds=8, pause_first_s=0.05, pause_max_s=0.5, resend_after_s=1.0
)
"""Meters of a demonstration ask again soon: somebody watches."""
DELIVERY_TIMEOUT_S = 60.0
"""Several view changes in a row with doubled time-outs fit; then something is broken and is told."""
READY_TIMEOUT_S = 60.0
POLL_S = 0.05


@dataclass
class Stage:
    """The running community. ``clients`` prefer one validator each and go on to the others, ``single_clients`` ask one
    only; ``tell`` shows a line to whoever watches.
    """

    options: DemoOptions
    plan: DayPlan
    community: Community
    clients: tuple[Client, ...]
    single_clients: tuple[Client, ...]
    meters: dict[str, OpenedKey]
    tell: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)
    nonces_used: int = 0
    """Meters have used nonces up to this one before the day begins."""

    @property
    def utility(self) -> Signer:
        """Return what signs for the utility."""
        return self.get_signer(self.community.utility)

    def get_signer(self, key: OpenedKey) -> Signer:
        """Return what signs for the account of a key."""
        return Signer(key.key, key.label.account, self.community.network.genesis_hash)

    def get_client(self, index: int) -> Client:
        """Return the client of the home at ``index``: each prefers another validator."""
        return self.clients[index % len(self.clients)]

    def get_process(self, name: str) -> ValidatorProcess:
        """Return the process of a validator."""
        return next(process for process in self.community.processes if process.name == name)

    async def deliver(self, client: Client, transaction: SealedTransaction) -> None:
        """Deliver a transaction that must be applied, and keep what became of it.

        Raises:
            CliError: it was refused, or nobody could prove anything in time.

        """
        begin_s = monotonic()
        outcome = await client.deliver(transaction, DELIVERY_TIMEOUT_S)
        if isinstance(outcome, OutcomeUnknown):
            self.check_processes()
            raise CliError(f"no certificate after {DELIVERY_TIMEOUT_S:.0f} s: {outcome.reason}")
        self.tally.record(outcome, int((monotonic() - begin_s) * 1000))
        if isinstance(outcome, RefusedByNetwork | RefusedByNode):
            raise CliError(f"a transaction of the demonstration was refused: {outcome.rejection}; a bug")

    async def get_statuses(self) -> list[StatusAnswer]:
        """Return how the validators that answer describe themselves."""
        answers = await self.clients[0].get_statuses()
        return [answer for answer in answers.values() if not isinstance(answer, str)]

    def check_processes(self) -> None:
        """Raise when a process that should run has ended.

        Raises:
            CliError: with the last line of its log.

        """
        for process in self.community.processes:
            process.check_alive()

    async def step_clocks(self, time_ms: int, hold_ms: int) -> None:
        """Move the clocks of all running validators; one that is only just starting is moved at the next step.

        Raises:
            CliError: a validator that was there does not answer.

        """
        running = [process for process in self.community.processes if process.is_running()]
        moves = (asyncio.to_thread(_step_clock, process, time_ms, hold_ms) for process in running)
        await asyncio.gather(*moves)


@asynccontextmanager
async def open_stage(
    options: DemoOptions,
    plan: DayPlan,
    community: Community,
    meters: dict[str, OpenedKey],
    tell: Callable[[str], None],
) -> AsyncIterator[Stage]:
    """Open the clients: one for each validator that meters prefer, with all others behind it."""
    urls = community.urls
    async with AsyncExitStack() as stack:
        orders = [urls[index:] + urls[:index] for index in range(len(urls))]
        clients = [await _open(stack, community, order) for order in orders]
        single_clients = [await _open(stack, community, [url]) for url in urls]
        yield Stage(options, plan, community, tuple(clients), tuple(single_clients), meters, tell)


async def _open(stack: AsyncExitStack, community: Community, urls: Sequence[str]) -> Client:
    return await stack.enter_async_context(open_client(urls, community.anchor, PATIENCE))


async def wait_until_ready(stage: Stage) -> None:
    """Wait until all validators answer, are linked to each other and follow.

    Raises:
        CliError: one of them stopped, or they do not find each other.

    """
    others = len(stage.community.processes) - 1
    end_s = monotonic() + READY_TIMEOUT_S
    while monotonic() < end_s:
        stage.check_processes()
        statuses = await stage.get_statuses()
        linked = [
            status.name
            for status in statuses
            if status.phase == "normal"
            and sum(bool(peer.get("connected")) for peer in status.peers) >= others
        ]
        if len(linked) == others + 1:
            return
        await asyncio.sleep(POLL_S)
    raise CliError(f"the validators did not find each other within {READY_TIMEOUT_S:.0f} s")


def _step_clock(process: ValidatorProcess, time_ms: int, hold_ms: int) -> None:
    try:
        ask_admin(process.home, "POST", "/clock", {"time_ms": time_ms, "hold_ms": hold_ms})
    except CliError:
        if process.is_running() and not process.is_starting:
            raise
    else:
        process.is_starting = False
