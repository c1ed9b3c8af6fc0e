"""Question 4: validators are killed under load. How long nothing commits; nothing is lost, nothing is applied twice.

`python -m benchmarks.faults 200 -o benchmarks/results/faults.json`

A killed process loses its pool and what it had not synced, as in a power cut that the disk survives. The client goes
on sending at the rate that is given. The gap is the longest time in which it believed no new receipt. Then the chain
itself is read: each reading that was sent must stand in it, applied once, and all validators must show the same state.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Literal, get_args

import msgspec

from benchmarks.harness.load import LoadResult
from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError, Session, await_links, open_session
from cli.console import talk
from cli.demo.processes import ValidatorProcess
from meter.answers import StatusAnswer
from primitives.quorum import get_fault_tolerance

Fault = Literal["primary", "others", "all"]
"""Who is killed: the primary; as many of the others as may fail; everybody, and all start again at once."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
ADAPTER = "gridbft-stream"
REPEATS = 5
LOAD_S = 10.0
KILL_AFTER_S = 3.0
DRAIN_S = 60.0
AGREED_S = 60.0
POLL_S = 0.1


class FaultRun(msgspec.Struct, frozen=True):
    """One fault. ``missing`` were sent, not refused, and stand in no block; ``twice`` are applied in two places.

    ``views`` is by how many views the network moved on, ``linked_again_s`` how long after the load all were linked.
    """

    fault: str
    killed: list[str]
    gap_s: float
    result: LoadResult
    latency_ms: list[float]
    applied: int
    missing: int
    twice: int
    same_state: bool
    views: int
    blocks: int
    linked_again_s: float


class FaultReport(msgspec.Struct, frozen=True):
    """Every run; the gaps are medians over the repeats, the counts are sums."""

    question: str
    machine: Machine
    t_verify_us: float
    validators: int
    offered_tx_s: float
    seconds: float
    kill_after_s: float
    gap_s: dict[str, float]
    lost: int
    missing: int
    twice: int
    runs: list[FaultRun]


class _Transaction(msgspec.Struct, frozen=True):
    id: str
    rejection: str | None = None


class _Block(msgspec.Struct, frozen=True):
    state_root: str
    transactions: list[_Transaction]


async def measure(
    rate: float, validators: int = 4, repeats: int = REPEATS, seconds: float = LOAD_S, meters: int = 1000
) -> FaultReport:
    """Kill in every way, again and again, on one network.

    Raises:
        BenchError: the validators do not come back, or do not agree.

    """
    machine, t_verify = describe_machine(), measure_verify_us()
    kill_after_s = min(KILL_AFTER_S, seconds / 3)
    async with open_session(validators, meters) as session:
        await session.load("warm-up", ADAPTER, rate, kill_after_s)
        runs = []
        for fault in FAULTS * repeats:
            run = await break_and_look(session, fault, rate, seconds, kill_after_s)
            runs.append(run)
            talk(
                f"{fault}: {', '.join(run.killed)} killed, {run.gap_s} s without a commit, {run.missing} missing,"
                f" {run.twice} twice, {run.result.lost} unanswered"
            )
    return FaultReport(
        question="seconds without a commit when validators are killed under load; nothing lost, nothing twice",
        machine=machine,
        t_verify_us=t_verify,
        validators=validators,
        offered_tx_s=rate,
        seconds=seconds,
        kill_after_s=kill_after_s,
        gap_s={fault: median(run.gap_s for run in runs if run.fault == fault) for fault in FAULTS},
        lost=sum(run.result.lost for run in runs),
        missing=sum(run.missing for run in runs),
        twice=sum(run.twice for run in runs),
        runs=runs,
    )


async def break_and_look(
    session: Session, fault: Fault, rate: float, seconds: float, kill_after_s: float
) -> FaultRun:
    """Kill under load, start again what was killed, and look what stands in the chain."""
    first, view = await await_agreed(session), await _find_view(session)
    victims = await choose_victims(session, fault)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill_later(victims, kill_after_s, is_restarted=fault == "all"))
        loading = tasks.create_task(session.load(fault, ADAPTER, rate, seconds, drain_s=DRAIN_S))
    run = loading.result()
    began_s = monotonic()
    for victim in victims:
        victim.start()
    await await_links(session.client, len(session.bench.processes))
    linked_s = monotonic() - began_s
    last = await await_agreed(session)
    applied = await _read_applied(session, first, last)
    sent = {bytes(name).hex() for name in session.sent}
    roots = (await session.client.ask_each(f"/v1/blocks/{last}", _Block)).values()
    return FaultRun(
        fault=fault,
        killed=[victim.name for victim in victims],
        gap_s=run.result.longest_gap_s,
        result=run.result,
        latency_ms=run.latency_ms,
        applied=len(applied),
        missing=max(0, len(sent - set(applied)) - run.result.refused),
        twice=len(applied) - len(set(applied)),
        same_state=len({each if isinstance(each, str) else each.state_root for each in roots}) == 1,
        views=await _find_view(session) - view,
        blocks=last - first,
        linked_again_s=round(linked_s, 2),
    )


async def find_primary(session: Session) -> str:
    """Return who leads, as those in the highest view say.

    Raises:
        BenchError: nobody answers.

    """
    statuses = await _read_statuses(session)
    if not statuses:
        raise BenchError("no validator says who leads")
    return max(statuses, key=lambda each: each.view).primary


async def choose_victims(session: Session, fault: Fault) -> list[ValidatorProcess]:
    """Return whom a fault hits."""
    processes, primary = list(session.bench.processes), await find_primary(session)
    match fault:
        case "primary":
            return [each for each in processes if each.name == primary]
        case "others":
            return [each for each in processes if each.name != primary][: get_fault_tolerance(len(processes))]
        case "all":
            return processes


async def kill_later(victims: Sequence[ValidatorProcess], after_s: float, *, is_restarted: bool) -> None:
    """Kill so many seconds from now; with ``is_restarted`` they start again when all are dead."""
    await asyncio.sleep(after_s)
    for victim in victims:
        victim.end_now()
    for victim in victims:
        victim.kill()
    for victim in victims if is_restarted else ():
        victim.start()


async def await_agreed(session: Session) -> int:
    """Wait until all validators hold the same certified height and nothing waits; return it.

    Raises:
        BenchError: they do not come to it.

    """
    end_s = monotonic() + AGREED_S
    while monotonic() < end_s:
        found = await _read_statuses(session)
        heights = {each.height for each in found} | {each.certified_height for each in found}
        if (
            len(found) == len(session.bench.processes)
            and len(heights) == 1
            and not any(e.mempool for e in found)
        ):
            return heights.pop()
        await asyncio.sleep(POLL_S)
    raise BenchError(f"the validators did not agree within {AGREED_S:.0f} s")


async def _read_statuses(session: Session) -> list[StatusAnswer]:
    answers = (await session.client.get_statuses()).values()
    return [each for each in answers if not isinstance(each, str)]


async def _find_view(session: Session) -> int:
    return max((each.view for each in await _read_statuses(session)), default=0)


async def _read_applied(session: Session, first: int, last: int) -> list[str]:
    """Return the ids that were applied in the blocks above ``first``, up to ``last``, as often as they stand there."""
    found: list[str] = []
    for height in range(first + 1, last + 1):
        block = await session.client.ask(f"/v1/blocks/{height}", _Block)
        found += [each.id for each in block.transactions if each.rejection is None]
    return found


def main() -> None:
    """Measure at the rate that was asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rate", type=float, help="transactions per second, below what the network sustains")
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        found = asyncio.run(measure(given.rate, given.validators, given.repeats))
    except BenchError as error:
        sys.exit(f"faults: {error}")
    publish(found, given.output)
    if found.lost or found.missing or found.twice or not all(run.same_state for run in found.runs):
        sys.exit(
            "faults: something was lost, applied twice, or differs between validators, as the figures say"
        )


if __name__ == "__main__":
    main()
