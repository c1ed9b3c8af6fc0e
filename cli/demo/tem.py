"""The homes agree on the day's trades over the network, the primary and a home are killed meanwhile, and the day is
lived.

Each home is an agent with a client of its own; it keeps load, sun and battery to itself and sends vectors only.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic

import msgspec
import numpy as np

from cli.bill_check import Bill
from cli.demo.day import DayPlan
from cli.demo.play import Crash, restart
from cli.demo.stage import POLL_S, Stage
from cli.failure import CliError
from cli.simulate.inputs import Community, DayInput
from cli.simulate.options import RunFlags, SourceFlags, TermFlags, build_options
from cli.simulate.terms import build_terms
from meter.home.agent import Agent, AgentError
from meter.home.participant import MICRO, NANO, Outcome
from meter.home.rounds import RoundView, read_round
from meter.home.spec import HomeError
from meter.sources.csv import HomeDay, HomeSlot
from meter.validators import ClientError
from primitives.encoding import encode
from primitives.ids import Height, Nonce, WattHours
from vm.contracts.energy.coordination.calls import Form, OpenRound
from vm.transaction import Call

ROUND_TIMEOUT_S = 180.0
"""A round of ten homes takes some ten seconds; a machine under load takes longer."""
KILL_AT, HOME_KILL_AT, RESTART_AT = 5, 8, 12
"""The iterations in which the primary is killed, a home is killed and begins anew, and the primary comes back."""
TELL_EVERY = 10
METER_NONCES = 10_000
"""More than a round's iterations, and the nonces after it."""


class RoundAnswer(msgspec.Struct, frozen=True):
    """What a validator claims of a round."""

    status: str
    round: dict[str, object]

    @property
    def iteration(self) -> int:
        """Return the awaited iteration."""
        return int(str(self.round["iteration"]))


@dataclass(frozen=True)
class Agreed:
    """What the homes came to before the day, and what became of the killed validator."""

    view: RoundView
    outcomes: Mapping[str, Outcome]
    seconds: float
    sent_bytes: int
    crash: Crash | None


@dataclass(frozen=True)
class TemResult:
    """The round and its day, in currency units; ``metered`` is after settlement, with wear and discomfort."""

    iterations: int
    converged: bool
    seconds: float
    residual_wh: int
    traded_wh: int
    bytes_per_home: int
    alone: float
    together: float
    metered: float
    per_home: Mapping[str, Mapping[str, float]]


async def agree(stage: Stage) -> Agreed:
    """Open the round, let the homes take part until the trades are fixed, and give the day its metered registers.

    Raises:
        CliError: the round did not end, or a home could not take part.

    """
    day = build_day_input(stage)
    await _open_round(stage, day)
    begin_s = monotonic()
    play = _RoundPlay(stage, day)
    views = await play.run()
    seconds = monotonic() - begin_s
    retail, feed_in = day.retail, np.full(len(day.starts_s), stage.options.feed_in / MICRO)
    outcomes: dict[str, Outcome] = {}
    for home, agent in play.agents.items():
        outcomes[home] = await agent.conclude(views[home], retail, feed_in)
    crash = play.crash
    if crash is not None and crash.restarted_height is None:
        restart(stage, crash)
    stage.nonces_used = METER_NONCES
    stage.plan = replace_registers(stage.plan, outcomes)
    stage.options = replace(stage.options, kill_primary=False)
    view = next(iter(views.values()))
    stage.tell(
        f"the trades are fixed after {view.round.iteration} iterations, {seconds:.1f} s; "
        f"plans leave {view.round.residual_wh} Wh over"
    )
    sent = sum(agent.sent.size for agent in play.agents.values())
    return Agreed(view, outcomes, seconds, sent, crash)


def build_day_input(stage: Stage) -> DayInput:
    """Return what the homes know of their day.

    Raises:
        CliError: usage; the files say nothing about loads.

    """
    options = stage.options
    names = ",".join(home.home for home in stage.plan.homes)
    source = SourceFlags(
        homes=None if options.is_packaged else options.data,
        context=options.context,
        day=options.day,
        only=names,
    )
    terms = TermFlags(feed_in=options.feed_in, retail=options.retail)
    return Community(build_options(source, terms, RunFlags())).build_day(options.day)


async def summarise(stage: Stage, agreed: Agreed, bills: Mapping[str, Bill]) -> TemResult:
    """Return the round's figures together with the settled bills and the relief."""
    per_home: dict[str, dict[str, float]] = {}
    traded = 0
    for home, outcome in agreed.outcomes.items():
        view = await _read(stage, home)
        relief = 0.0 if view.agreement is None else view.agreement.relief_nano / NANO
        traded += sum(max(net, 0) for net in view.agreement.net_wh) if view.agreement is not None else 0
        per_home[home] = {
            "alone": outcome.alone,
            "together": outcome.together - relief,
            "metered": bills[home].sum("net_nano") / NANO + outcome.comfort - relief,
        }
    totals = {
        name: sum(values[name] for values in per_home.values()) for name in ("alone", "together", "metered")
    }
    found = agreed.view.round
    return TemResult(
        iterations=found.iteration,
        converged=found.converged,
        seconds=round(agreed.seconds, 3),
        residual_wh=found.residual_wh,
        traded_wh=traded,
        bytes_per_home=agreed.sent_bytes // len(agreed.outcomes),
        per_home=per_home,
        **totals,
    )


def replace_registers(plan: DayPlan, outcomes: Mapping[str, Outcome]) -> DayPlan:
    """Return the day with what the homes' meters will count after they live by their plans."""
    homes = []
    for home in plan.homes:
        outcome = outcomes[home.home]
        drawn, fed = int(home.opening_import_wh), int(home.opening_export_wh)
        slots = []
        for slot, import_wh, export_wh in zip(home.slots, outcome.import_wh, outcome.export_wh, strict=True):
            drawn, fed = drawn + import_wh, fed + export_wh
            energy = WattHours(import_wh), WattHours(export_wh)
            slots.append(HomeSlot(slot.start_s, *energy, WattHours(drawn), WattHours(fed)))
        homes.append(HomeDay(home.home, home.opening_import_wh, home.opening_export_wh, tuple(slots)))
    return replace(plan, homes=tuple(homes))


class _RoundPlay:
    """The agents at work, and what is done to them and to the primary meanwhile."""

    def __init__(self, stage: Stage, day: DayInput) -> None:
        self._stage = stage
        self._days = {home.name: home for home in day.homes}
        self.agents: dict[str, Agent] = {}
        self.crash: Crash | None = None
        self._views: dict[str, RoundView] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> dict[str, RoundView]:
        """Return how the round ended, as each home read and proved it.

        Raises:
            CliError: it did not end, or a home could not take part.

        """
        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S), asyncio.TaskGroup() as group:
                for number, name in enumerate(self._days):
                    self._start(group, number, name)
                await self._watch(group)
        except TimeoutError:
            raise CliError(f"the round did not end within {ROUND_TIMEOUT_S:.0f} s") from None
        except BaseExceptionGroup as errors:
            expected = errors.subgroup((AgentError, HomeError, ClientError, CliError))
            if (
                expected is None
                or errors.split((AgentError, HomeError, ClientError, CliError))[1] is not None
            ):
                raise
            first = expected.exceptions[0]
            raise CliError(str(first)) from None
        return self._views

    def _start(self, group: asyncio.TaskGroup, number: int, name: str) -> None:
        """Begin an agent that knows nothing but its home and the chain."""
        stage = self._stage
        signer = stage.get_signer(stage.meters[name])
        agent = Agent(
            stage.get_client(number),
            signer,
            stage.plan.start_s,
            self._days[name],
            record=stage.tally.record,
        )
        self.agents[name] = agent

        async def take_part() -> None:
            self._views[name] = await agent.take_part(ROUND_TIMEOUT_S)

        self._tasks[name] = group.create_task(take_part())

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Follow the round and strike: the primary, then a home; then the primary comes back."""
        stage, told = self._stage, 0
        is_home_killed = not stage.options.kill_primary
        number, victim = 1 % len(self._days), list(self._days)[1 % len(self._days)]
        while len(self._views) < len(self._days):
            found = await _ask(stage)
            if stage.options.kill_primary and self.crash is None and found.iteration >= KILL_AT:
                self.crash = await _kill_primary(stage, found.iteration)
            if not is_home_killed and found.iteration >= HOME_KILL_AT and victim not in self._views:
                is_home_killed = True
                self._tasks[victim].cancel()
                stage.tell(
                    f"{victim} is killed in iteration {found.iteration} and begins anew, knowing nothing"
                )
                self._start(group, number, victim)
            crash = self.crash
            if crash is not None and crash.restarted_height is None and found.iteration >= RESTART_AT:
                restart(stage, crash)
            if found.iteration >= told + TELL_EVERY:
                told = found.iteration
                stage.tell(
                    f"iteration {told}: plans are off by {_get_wh(found, 'primal_mwh')} Wh, "
                    f"targets moved by {_get_wh(found, 'dual_mwh')} Wh (root mean square)"
                )
            await asyncio.sleep(POLL_S)


async def _open_round(stage: Stage, day: DayInput) -> None:
    options = build_options(SourceFlags(), TermFlags(), RunFlags())
    accounts = tuple(stage.meters[home.name].label.account for home in day.homes)
    opening = OpenRound(
        stage.plan.start_s,
        len(day.starts_s),
        Form.BILATERAL,
        build_terms(options, day.surroundings.retail),
        accounts,
        (),
    )
    signer = stage.utility
    account = await stage.get_client(0).get_account(signer.account.hex())
    call = Call("coordination", "open_round", encode(opening))
    transaction = signer.sign(call, Nonce(account.nonce_hint), Height(account.height))
    await stage.deliver(stage.get_client(0), transaction)
    stage.tell(f"the utility opens a round for {len(accounts)} homes and {len(day.starts_s)} slots")


async def _kill_primary(stage: Stage, iteration: int) -> Crash:
    statuses = await stage.get_statuses()
    primary = max(statuses, key=lambda status: (status.view, status.height)).primary
    stage.get_process(primary).kill()
    stage.tell(f"{primary}, the primary, is killed in iteration {iteration}")
    return Crash(primary, 0, stage.tally.height, monotonic())


async def _ask(stage: Stage) -> RoundAnswer:
    stage.check_processes()
    return await stage.get_client(0).ask(f"/v1/rounds/{stage.plan.start_s}", RoundAnswer)


async def _read(stage: Stage, home: str) -> RoundView:
    return await read_round(stage.get_client(0), stage.plan.start_s, stage.meters[home].label.account)


def _get_wh(found: RoundAnswer, field: str) -> str:
    return f"{int(str(found.round[field])) / 1000:.3f}"
