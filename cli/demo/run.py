"""A demonstration from the first process to the last: set up, play, check, tell, and leave nothing behind."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.console import build_console, build_talk, print_json, talk
from cli.demo import checks
from cli.demo.community import Community, found_community, make_meter_keys
from cli.demo.day import DayPlan, PricedSlot
from cli.demo.options import DemoOptions
from cli.demo.play import Crash, open_day, play_day
from cli.demo.processes import run_validators
from cli.demo.stage import Stage, open_stage, wait_until_ready
from cli.demo.summary import Checks, DemoResult, print_summary, sum_bills
from cli.failure import CliError, ExitCode, find_expected
from cli.money import count
from meter.sources.table import format_time
from meter.validators import ClientError

if TYPE_CHECKING:
    from cli.bill_check import Bill
    from cli.demo.tem import Agreed

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


class DemoStoppedError(Exception):
    """Somebody asked the demonstration to stop; everything was stopped in order."""


@dataclass
class _StopRequests:
    """What a stop signal does now: ``act`` while validators run, else it ends the demonstration at once."""

    act: Callable[[], object] | None = None

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            DemoStoppedError: nothing runs that would have to be stopped first.

        """
        if self.act is None:
            raise DemoStoppedError
        self.act()

    def ignore(self) -> None:
        """Let what is being removed be removed."""
        self.act = lambda: None


def run_demo(options: DemoOptions, plan: DayPlan) -> int:
    """Run it and return the exit code: 0 when every check holds.

    Raises:
        CliError: something went wrong on the way; no process is left in any case.

    """
    try:
        with _heed_signals() as requests, _prepare_directory(options, requests) as directory:
            community = found_community(options, plan, directory)
            result = asyncio.run(_run_stoppable(options, plan, community, requests))
            if options.keep:
                _tell_kept(community)
    except DemoStoppedError:
        talk("gridbft: stopped; no process is left")
        return INTERRUPTED
    if options.as_json:
        print_json(result.to_json())
    else:
        _print(plan, community, result)
    if not result.checks.are_good:
        hint = "" if options.keep else "; run it again with --keep to look at the validators' logs"
        talk(f"gridbft: a check failed: {', '.join(result.checks.name_failed())}{hint}")
    return int(ExitCode.OK if result.checks.are_good else ExitCode.ERROR)


async def _run_stoppable(
    options: DemoOptions, plan: DayPlan, community: Community, requests: _StopRequests
) -> DemoResult:
    """Run the day; a signal cancels it and the validators are stopped in order, a second one kills them."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_run(options, plan, community))
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        if is_stopping:
            for process in community.processes:
                process.end_now()
            return
        is_stopping = True
        task.cancel()

    requests.act = lambda: loop.call_soon_threadsafe(stop)
    try:
        return await task
    except asyncio.CancelledError:
        if is_stopping:
            raise DemoStoppedError from None
        raise
    finally:
        requests.ignore()


async def _run(options: DemoOptions, plan: DayPlan, community: Community) -> DemoResult:
    meters = make_meter_keys(community, plan, keep=options.keep)
    with _show_progress(plan) as (tell, advance):
        try:
            async with (
                run_validators(community.processes),
                open_stage(options, plan, community, meters, tell) as stage,
            ):
                return await _play(stage, advance)
        except ClientError as error:
            raise CliError(str(error)) from None
        except BaseExceptionGroup as group:
            first = find_expected(group, (CliError, ClientError))
            if first is None:
                raise
            raise first if isinstance(first, CliError) else CliError(str(first)) from None


async def _play(stage: Stage, advance: Callable[[PricedSlot], None]) -> DemoResult:
    plan = stage.plan
    stage.tell(f"{len(stage.community.processes)} validators start")
    await wait_until_ready(stage)
    stage.tell(f"the utility registers {count(len(plan.homes), 'home')} and publishes the prices of the day")
    await open_day(stage)
    if not stage.options.tem:
        return await _check(stage, await play_day(stage, advance), None)
    from cli.demo.tem import agree

    agreed = await agree(stage)
    await play_day(stage, advance)
    return await _check(stage, agreed.crash, agreed)


async def _check(stage: Stage, crash: Crash | None, agreed: "Agreed | None") -> DemoResult:
    is_back = await checks.wait_until_back(stage, crash)
    if crash is not None and is_back:
        stage.tell(f"{crash.validator} caught up, and its signature is in a new certificate")
    bills = await checks.fetch_bills(stage)
    verified, failed = stage.tally.verify_receipts(stage.community.anchor)
    home_bills = checks.build_home_bills(bills)
    statuses = await stage.get_statuses()
    tem = None if agreed is None else await _describe_round(stage, agreed, bills)
    return DemoResult(
        validators=len(stage.community.processes),
        homes=len(stage.plan.homes),
        slots=len(stage.plan.slots),
        day=stage.plan.day,
        transactions=stage.tally.count(),
        height=min(status.certified_height for status in statuses),
        view_changes=max(status.view_changes for status in statuses),
        latency_ms=stage.tally.compute_latency(),
        bills=home_bills,
        community=sum_bills(home_bills, await checks.compute_rounding(stage, bills)),
        checks=Checks(
            state_roots_equal=await checks.are_state_roots_equal(stage),
            conservation=await checks.is_conserved(stage, bills),
            receipts_verified=verified,
            receipts_failed=failed,
            caught_up=is_back,
        ),
        tem=tem,
    )


async def _describe_round(stage: Stage, agreed: "Agreed", bills: "dict[str, Bill]") -> dict[str, object]:
    from cli.demo.tem import summarise

    return asdict(await summarise(stage, agreed, bills))


@contextlib.contextmanager
def _heed_signals() -> Iterator[_StopRequests]:
    """Take the stop signals until the block is left: from the first key to the last file removed.

    A hang-up that nohup had ignored stays ignored.
    """
    requests = _StopRequests()
    heeded = [
        number
        for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, requests.hear) for number in heeded}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _prepare_directory(options: DemoOptions, requests: _StopRequests) -> Iterator[Path]:
    """Give the directory of the network; it is removed afterwards unless it is to be kept."""
    if options.home is None:
        parent = Path(tempfile.mkdtemp(prefix="gridbft-demo-"))
        directory, removed = parent / "demo", parent
    else:
        directory = removed = options.home
    try:
        yield directory
    finally:
        requests.ignore()
        if not options.keep:
            shutil.rmtree(removed, ignore_errors=True)


@contextlib.contextmanager
def _show_progress(plan: DayPlan) -> Iterator[tuple[Callable[[str], None], Callable[[PricedSlot], None]]]:
    """Give what tells a line, and what moves the bar, both on standard error."""
    console = build_talk()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("slots"),
        TimeElapsedColumn(),
        console=console,
        transient=not console.is_terminal,
        disable=not console.is_terminal,
    )
    with progress:
        bar = progress.add_task(f"day {plan.day}", total=len(plan.slots))

        def tell(line: str) -> None:
            progress.console.print(f"[dim]·[/dim] {line}")

        def advance(slot: PricedSlot) -> None:
            progress.update(bar, advance=1, description=f"settled {format_time(slot.start_s)[11:16]}")

        yield tell, advance


def _print(plan: DayPlan, community: Community, result: DemoResult) -> None:
    title = f"{format_time(plan.start_s)[:10]}, {count(len(plan.homes), 'home')}, {count(len(plan.slots), 'slot')}"
    print_summary(build_console(), result, community.spec.currency, title)


def _tell_kept(community: Community) -> None:
    directory = community.network.directory
    talk(f"The network is kept in {directory}. Start its validators again, each in a shell of its own:")
    flag = "" if community.passphrase_file is None else f" --passphrase-file {community.passphrase_file}"
    for home in community.network.homes:
        talk(f"  gridbft start --home {home}{flag}")
    talk(f"and ask them:  gridbft status --home {directory}")
    talk(
        "Their clocks stand at the end of the day: bills, blocks and proofs can be asked as long as you like."
    )
