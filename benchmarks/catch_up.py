"""Question 9: how fast a validator that was away comes back, from its peers' blocks and from a snapshot of their state.

`python -m benchmarks.catch_up 600 -o benchmarks/results/catch_up.json`

It is killed, the others are loaded at the rate that is given, and it starts again when the load is over: what it
missed, over the time from the first block it made up to the last, stands beside what the network took live. For the
snapshot its store is removed, and the others have let their old blocks go.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic

import msgspec

from benchmarks.faults import ADAPTER, await_agreed, choose_victims
from benchmarks.harness.machine import Machine, describe_machine, measure_verify_us
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError, Session, open_session
from cli.console import talk
from cli.demo.processes import ValidatorProcess
from meter.client import Client, open_client
from node.pruning import Pruner
from node.storage.chain import ChainStore
from node.storage.leveldb import open_leveldb

REPEATS = 5
AWAY_S = 10.0
BACK_S = 240.0
LOOK_S = 0.01
KEPT = 3
"""Blocks that the others keep before a snapshot is needed."""


class Away(msgspec.Struct, frozen=True):
    """What a validator missed and how it made it up; live rates are those of the load that it missed.

    ``start_s`` goes from the start of its process to its first answer. ``catch_up_s`` begins when it was last seen
    where it had been, or with its process where it was further when it first answered.
    """

    blocks: int
    transactions: int
    live_blocks_s: float
    live_tx_s: float
    live_p99_ms: float
    start_s: float
    catch_up_s: float
    blocks_s: float
    tx_s: float
    tx_s_to_live: float


class Restored(msgspec.Struct, frozen=True):
    """A store made anew from a snapshot: seconds from the start of the process to the others' height."""

    height: int
    meters: int
    state_mb: float
    start_s: float
    restored_s: float


class CatchUpReport(msgspec.Struct, frozen=True):
    """Every repeat, and the medians."""

    question: str
    machine: Machine
    t_verify_us: float
    validators: int
    offered_tx_s: float
    away_s: float
    tx_s_to_live: float
    blocks_s: float
    tx_s: float
    snapshot_s: float
    away: list[Away]
    snapshots: list[Restored]


async def measure(
    rate: float, validators: int = 4, repeats: int = REPEATS, seconds: float = AWAY_S, meters: int = 1000
) -> CatchUpReport:
    """Let a validator be away and come back, again and again, on one network.

    Raises:
        BenchError: it does not come back.

    """
    machine, t_verify = describe_machine(), measure_verify_us()
    async with open_session(validators, meters) as session:
        await session.load("warm-up", ADAPTER, rate, seconds / 4)
        away, snapshots = [], []
        for _ in range(repeats):
            away.append(await be_away(session, rate, seconds))
            talk(f"away: {away[-1]}")
        for _ in range(repeats):
            snapshots.append(await restore(session))
            talk(f"restored: {snapshots[-1]}")
    return CatchUpReport(
        question="blocks and transactions that a validator makes up in a second, and seconds to restore a snapshot",
        machine=machine,
        t_verify_us=t_verify,
        validators=validators,
        offered_tx_s=rate,
        away_s=seconds,
        tx_s_to_live=median(each.tx_s_to_live for each in away),
        blocks_s=median(each.blocks_s for each in away),
        tx_s=median(each.tx_s for each in away),
        snapshot_s=median(each.restored_s for each in snapshots),
        away=away,
        snapshots=snapshots,
    )


async def be_away(session: Session, rate: float, seconds: float) -> Away:
    """Kill a validator, load the others, start it again and watch it come back."""
    first = await await_agreed(session)
    (absent,) = (await choose_victims(session, "others"))[:1]
    absent.kill()
    run = await session.load("away", ADAPTER, rate, seconds)
    last = await _find_height(session.client)
    absent.start()
    seen = await _watch(session, absent, last)
    left_s = max((when for when, height in seen if height == first), default=0.0)
    catch_up_s = max(seen[-1][0] - left_s, LOOK_S)
    missed = last - first
    live_s = run.result.confirmed / max(1.0, run.result.achieved_tx_s)
    tx_s = run.result.confirmed / catch_up_s
    await await_agreed(session)
    return Away(
        blocks=missed,
        transactions=run.result.confirmed,
        live_blocks_s=round(run.blocks / live_s, 1),
        live_tx_s=run.result.achieved_tx_s,
        live_p99_ms=run.p99_ms,
        start_s=round(seen[0][0], 2),
        catch_up_s=round(catch_up_s, 2),
        blocks_s=round(missed / catch_up_s, 1),
        tx_s=round(tx_s, 1),
        tx_s_to_live=round(tx_s / max(1.0, run.result.achieved_tx_s), 2),
    )


async def restore(session: Session) -> Restored:
    """Take a validator's store away where nobody keeps old blocks, and watch it come back."""
    await await_agreed(session)
    (absent,) = (await choose_victims(session, "others"))[:1]
    processes = session.bench.processes
    await stop(processes)
    for process in processes:
        if process is not absent:
            prune(process.home)
    shutil.rmtree(absent.home / "data" / "leveldb")
    for process in processes:
        if process is not absent:
            process.start()
    last = await _await_height(session, len(processes) - 1)
    absent.start()
    seen = await _watch(session, absent, last)
    await await_agreed(session)
    store = absent.home / "data" / "leveldb"
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return Restored(
        last, session.meters.count, round(size / 1e6, 2), round(seen[0][0], 2), round(seen[-1][0], 2)
    )


async def stop(processes: Sequence[ValidatorProcess]) -> None:
    """Stop all of them well."""
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        await process.wait_stopped()


def prune(home: Path) -> None:
    """Let the old blocks of a stopped validator go, as it does while it runs."""
    with open_leveldb(home / "data" / "leveldb") as store:
        chain = ChainStore(store)
        certificate = chain.get_latest_certificate()
        if certificate is None:
            raise BenchError(f"{home.name} holds no certificate")
        pruner = Pruner(chain, KEPT)
        while pruner.step(certificate.header.height):  # type: ignore[arg-type]  # a height
            pass


async def _watch(session: Session, validator: ValidatorProcess, last: int) -> list[tuple[float, int]]:
    """Return when, in seconds from now, it showed which height: from its first answer until it shows ``last``."""
    began_s, seen = monotonic(), list[tuple[float, int]]()
    url = session.bench.urls[list(session.bench.processes).index(validator)]
    async with open_client([url], session.bench.anchor) as client:
        while not seen or seen[-1][1] < last:
            if monotonic() - began_s > BACK_S:
                raise BenchError(
                    f"{validator.name} did not come back within {BACK_S:.0f} s: {validator.read_last_line()}"
                )
            (answer,) = (await client.get_statuses()).values()
            if not isinstance(answer, str):
                seen.append((monotonic() - began_s, answer.height))
            await asyncio.sleep(LOOK_S)
    return seen


async def _find_height(client: Client) -> int:
    answers = (await client.get_statuses()).values()
    return max((each.height for each in answers if not isinstance(each, str)), default=0)


async def _await_height(session: Session, count: int) -> int:
    """Wait until so many validators answer and are linked to each other; return the highest height."""
    end_s = monotonic() + BACK_S
    while monotonic() < end_s:
        answers = (await session.client.get_statuses()).values()
        found = [each for each in answers if not isinstance(each, str)]
        linked = [
            each for each in found if sum(bool(peer.get("connected")) for peer in each.peers) == count - 1
        ]
        if len(linked) == count:
            return max(each.height for each in linked)
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"{count} validators did not find each other within {BACK_S:.0f} s")


def main() -> None:
    """Measure at the rate that was asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rate", type=float, help="transactions per second, what the network sustains")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--seconds", type=float, default=AWAY_S, help="how long it is away")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        found = asyncio.run(measure(given.rate, repeats=given.repeats, seconds=given.seconds))
    except BenchError as error:
        sys.exit(f"catch_up: {error}")
    publish(found, given.output)


if __name__ == "__main__":
    main()
