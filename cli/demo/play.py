"""The day, slot by slot: time moves, meters report, the slot settles; in the middle the primary is killed."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from cli.demo.community import GRACE_S
from cli.demo.day import PricedSlot
from cli.demo.stage import POLL_S, Stage
from cli.failure import CliError
from cli.money import count
from meter.reading import Reading
from meter.signer import MeterClock, build_reading_call
from meter.sources.table import format_time
from meter.validators import NotFoundError
from primitives.encoding import encode
from primitives.ids import Height, Nonce, UnixSeconds
from vm.contracts.energy.calls import TARIFF_SLOTS_MAX, RegisterMeter, SetTariff
from vm.transaction import Call, SealedTransaction

SETTLE_TIMEOUT_S = 30.0
RESTART_AFTER_DIVISOR = 8
"""The killed validator misses an eighth of the day, at least one slot, so that it has to catch up."""


@dataclass
class Crash:
    """The kill in the middle of the day and what followed; heights are those that were proven then."""

    validator: str
    slot: int
    height: int
    killed_at_s: float
    restarted_height: int | None = None


async def open_day(stage: Stage) -> None:
    """The utility registers the homes' meters and publishes the day's prices.

    Raises:
        CliError: a transaction was refused, or nobody answered.

    """
    plan, signer = stage.plan, stage.utility
    calls = [
        *(_build_registration(stage, index) for index in range(len(plan.homes))),
        *_build_tariffs(stage),
    ]
    transactions = [
        signer.sign(call, Nonce(number), Height(stage.tally.height)) for number, call in enumerate(calls, 1)
    ]
    async with asyncio.TaskGroup() as group:
        for index, transaction in enumerate(transactions):
            group.create_task(stage.deliver(stage.get_client(index), transaction))


async def play_day(stage: Stage, advance: Callable[[PricedSlot], None]) -> Crash | None:
    """Play all slots; ``advance`` is told each one that settled. Return what became of the killed validator.

    Raises:
        CliError: a slot does not settle, or a validator stopped by itself.

    """
    plan = stage.plan
    crash: Crash | None = None
    away = max(1, len(plan.slots) // RESTART_AFTER_DIVISOR)
    for slot in plan.slots:
        await stage.step_clocks(slot.end_s * 1000, (slot.end_s + GRACE_S // 2) * 1000)
        if crash is not None and crash.restarted_height is None and slot.index >= crash.slot + away:
            restart(stage, crash)
        transactions = sign_slot(stage, slot)
        if stage.options.kill_primary and slot.index == plan.middle:
            crash = await _report_with_crash(stage, slot, transactions)
        else:
            await _report(stage, transactions)
        await wait_until_settled(stage, slot)
        if crash is not None and crash.slot == slot.index:
            await _tell_view_change(stage, crash)
        stage.check_processes()
        advance(slot)
    if crash is not None and crash.restarted_height is None:
        restart(stage, crash)
    return crash


def sign_slot(stage: Stage, slot: PricedSlot) -> list[SealedTransaction]:
    """Return what the meters say about a slot: their cumulative registers at its end, one transaction each."""
    plan = stage.plan
    clock = MeterClock(plan.start_s, plan.slot_s)
    transactions = []
    for home in plan.homes:
        registers = home.slots[slot.index]
        reading = Reading(slot.end_s, registers.import_register_wh, registers.export_register_wh)
        signer = stage.get_signer(stage.meters[home.home])
        call = build_reading_call(reading, clock)
        transactions.append(
            signer.sign(call, Nonce(stage.nonces_used + slot.index + 1), Height(stage.tally.height))
        )
    return transactions


def restart(stage: Stage, crash: Crash) -> None:
    """Start the killed validator again on its home as the crash left it."""
    crash.restarted_height = stage.tally.height
    stage.get_process(crash.validator).start()
    missed = crash.restarted_height - crash.height
    stage.tell(f"{crash.validator} starts again and has {count(missed, 'block')} to catch up")


async def wait_until_settled(stage: Stage, slot: PricedSlot) -> None:
    """Wait until a validator shows the slot as settled at its certified height.

    Raises:
        CliError: it does not settle.

    """
    end_s = monotonic() + SETTLE_TIMEOUT_S
    while monotonic() < end_s:
        with contextlib.suppress(NotFoundError):  # a validator that is behind knows nothing of it yet
            if (await stage.get_client(slot.index).get_slot(slot.start_s)).settled:
                return
        await asyncio.sleep(POLL_S)
        stage.check_processes()
    raise CliError(f"the slot {format_time(slot.start_s)} did not settle within {SETTLE_TIMEOUT_S:.0f} s")


async def _report(stage: Stage, transactions: list[SealedTransaction]) -> None:
    async with asyncio.TaskGroup() as group:
        for index, transaction in enumerate(transactions):
            group.create_task(stage.deliver(stage.get_client(index), transaction))


async def _report_with_crash(stage: Stage, slot: PricedSlot, transactions: list[SealedTransaction]) -> Crash:
    """Submit half of the slot's readings, kill the primary with SIGKILL, and let the meters go on."""
    statuses = await stage.get_statuses()
    primary = max(statuses, key=lambda status: (status.view, status.height)).primary
    half = (len(transactions) + 1) // 2
    async with asyncio.TaskGroup() as group:
        for index, transaction in enumerate(transactions[:half]):
            group.create_task(stage.deliver(stage.get_client(index), transaction))
        await stage.get_client(0).submit(transactions[0])  # the network is at work when the blow comes
        stage.get_process(primary).kill()
        crash = Crash(primary, slot.index, stage.tally.height, monotonic())
        stage.tell(
            f"{primary}, the primary, is killed while the readings of {format_time(slot.start_s)} come in"
        )
        for index, transaction in enumerate(transactions[half:], half):
            group.create_task(stage.deliver(stage.get_client(index), transaction))
    return crash


async def _tell_view_change(stage: Stage, crash: Crash) -> None:
    elapsed_s = monotonic() - crash.killed_at_s
    statuses = await stage.get_statuses()
    newest = max(statuses, key=lambda status: (status.view, status.height))
    stage.tell(
        f"view {newest.view}: {newest.primary} leads, the slot settled {elapsed_s:.1f} s after the kill"
    )


def _build_registration(stage: Stage, index: int) -> Call:
    home = stage.plan.homes[index]
    label = stage.meters[home.home].label
    arguments = RegisterMeter(
        account=label.account,
        public_key=label.public_key,
        home=home.home,
        owner=label.account,
        rating_w=stage.community.rating_w,
        opening_s=stage.plan.start_s,
        opening_import_wh=home.opening_import_wh,
        opening_export_wh=home.opening_export_wh,
    )
    return Call("energy", "register_meter", encode(arguments))


def _build_tariffs(stage: Stage) -> list[Call]:
    plan = stage.plan
    prices = [(slot.retail_price, plan.feed_in_price) for slot in plan.slots]
    return [
        Call(
            "energy",
            "set_tariff",
            encode(
                SetTariff(
                    UnixSeconds(plan.start_s + first * plan.slot_s),
                    tuple(prices[first : first + TARIFF_SLOTS_MAX]),
                )
            ),
        )
        for first in range(0, len(prices), TARIFF_SLOTS_MAX)
    ]
