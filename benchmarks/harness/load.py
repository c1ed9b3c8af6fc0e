"""The load: transactions leave when they are due, whatever the system does (open loop), in a process of their own.

`python -m benchmarks.harness.load ORDER UNITS RESULT` is that process: ORDER is a JSON file (``LoadOrder``), UNITS
holds the transactions, RESULT is written as JSON (``LoadResult``). A latency counts from when the transaction was due
to when the client believed its result: a system that stalls is charged for all that should have been sent meanwhile.
"""

import asyncio
import contextlib
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol

import msgspec

from primitives.encoding import Struct, decode_trusted, encode

TICK_S = 0.005
"""What is due in the same five milliseconds leaves together; each counts from the beginning of them."""


class Unit(Struct, frozen=True):
    """A transaction as one system takes it: a name by which it is confirmed, and its bytes."""

    name: bytes
    body: bytes


class LoadOrder(msgspec.Struct, frozen=True):
    """What to do: ``adapter`` names the system and the way in, ``rate`` is transactions per second.

    ``drain_s`` is how long after the last one is due the client waits for what is not confirmed. With
    ``is_one_by_one`` the rate counts for nothing (closed loop): a unit is due when the one before it is believed.
    """

    adapter: str
    urls: list[str]
    genesis: str
    rate: float
    drain_s: float = 20.0
    tick_s: float = TICK_S
    is_one_by_one: bool = False


class LoadResult(msgspec.Struct, frozen=True):
    """What the client saw. ``latencies_ms`` are of the confirmed ones, in the order in which they were due.

    ``first_gap_s`` is the longest time without a confirmation between the first and the last one.
    """

    offered_tx_s: float
    sent: int
    confirmed: int
    refused: int
    lost: int
    duplicated: int
    achieved_tx_s: float
    latencies_ms: list[float]
    longest_gap_s: float
    late_ms: float
    client_cpu_us_per_tx: float
    refusals: dict[str, int]


class Outcome(NamedTuple):
    """What a system answered at once: refused units with the reason; the others are confirmed by ``watch``."""

    refused: dict[bytes, str]


class Adapter(Protocol):
    """One way to hand units to a system and to hear what became of them."""

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Hand over what is due now."""
        ...

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Tell each unit's name when its result is believed; runs until cancelled."""
        ...


@dataclass
class _Book:
    """Who was due when, and what was heard; ``news`` is set by each word, ``all_heard`` when nothing is open."""

    expected: int
    due_s: dict[bytes, float] = field(default_factory=dict)
    confirmed_s: dict[bytes, float] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    all_heard: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    duplicated: int = 0

    def confirm(self, name: bytes) -> None:
        if name not in self.due_s:
            return
        if name in self.confirmed_s:
            self.duplicated += 1
            return
        self.refused.pop(name, None)  # refused at one door, and applied through another
        self.confirmed_s[name] = monotonic()
        self._look()

    def refuse(self, refused: dict[bytes, str]) -> None:
        self.refused.update((name, why) for name, why in refused.items() if name not in self.confirmed_s)
        self._look()

    def is_heard(self, name: bytes) -> bool:
        return name in self.confirmed_s or name in self.refused

    def _look(self) -> None:
        self.news.set()
        if len(self.confirmed_s) + len(self.refused) >= self.expected:
            self.all_heard.set()


async def run_load(adapter: Adapter, units: Sequence[Unit], order: LoadOrder) -> LoadResult:
    """Send the units at the order's rate and wait for their confirmations."""
    book = _Book(len(units))
    cpu_s = _read_cpu_s()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(adapter.watch(book.confirm))
        if order.is_one_by_one:
            late_s = await _send_one_by_one(adapter, units, order, book)
        else:
            late_s = await _send(adapter, units, order, book, tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(order.drain_s):
                await book.all_heard.wait()
        watching.cancel()
    return _summarise(book, order, late_s, (_read_cpu_s() - cpu_s) / max(1, len(units)))


async def _send(
    adapter: Adapter, units: Sequence[Unit], order: LoadOrder, book: _Book, tasks: asyncio.TaskGroup
) -> float:
    """Let everything leave when it is due; return by how much the generator itself was late, at most, in seconds."""

    async def hand_over(part: Sequence[Unit]) -> None:
        outcome = await adapter.submit(part)
        book.refuse(outcome.refused)

    begin_s, sent, tick, late_s = monotonic() + 2 * order.tick_s, 0, 0, 0.0
    while sent < len(units):
        due_s = begin_s + tick * order.tick_s
        wait_s = due_s - monotonic()
        late_s = max(late_s, -wait_s)
        await asyncio.sleep(max(0.0, wait_s))
        tick += 1
        upto = min(len(units), int(tick * order.tick_s * order.rate))
        if upto > sent:
            part = units[sent:upto]
            book.due_s.update((unit.name, due_s) for unit in part)
            tasks.create_task(hand_over(part))
            sent = upto
    return late_s


async def _send_one_by_one(adapter: Adapter, units: Sequence[Unit], order: LoadOrder, book: _Book) -> float:
    """Let each leave when the one before it is believed, or was waited for in vain; nothing is ever late."""
    for unit in units:
        book.due_s[unit.name] = monotonic()
        outcome = await adapter.submit([unit])
        book.refuse(outcome.refused)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(order.drain_s):
                while not book.is_heard(unit.name):
                    book.news.clear()
                    await book.news.wait()
    return 0.0


def _summarise(book: _Book, order: LoadOrder, late_s: float, cpu_s: float) -> LoadResult:
    moments = sorted(book.confirmed_s.values())
    first_due_s = min(book.due_s.values(), default=0.0)
    took_s = moments[-1] - first_due_s if moments else 0.0
    achieved_tx_s = round(len(moments) / took_s, 1) if took_s else 0.0
    reasons: dict[str, int] = {}
    for reason in book.refused.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return LoadResult(
        offered_tx_s=achieved_tx_s if order.is_one_by_one else order.rate,
        sent=len(book.due_s),
        confirmed=len(book.confirmed_s),
        refused=len(book.refused),
        lost=len(book.due_s) - len(book.confirmed_s) - len(book.refused),
        duplicated=book.duplicated,
        achieved_tx_s=achieved_tx_s,
        latencies_ms=[
            round(1000 * (book.confirmed_s[name] - due_s), 2)
            for name, due_s in book.due_s.items()
            if name in book.confirmed_s
        ],
        longest_gap_s=round(max((b - a for a, b in pairwise(moments)), default=0.0), 3),
        late_ms=round(1000 * late_s, 1),
        client_cpu_us_per_tx=round(1e6 * cpu_s, 1),
        refusals=reasons,
    )


def write_units(path: Path, units: Sequence[Unit]) -> None:
    """Write units for the generator's process."""
    path.write_bytes(encode(tuple(units)))


def main(arguments: Sequence[str]) -> None:
    """Be the generator's process."""
    import gc

    import uvloop

    from benchmarks.adapters import open_adapter

    order = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=LoadOrder)
    units = decode_trusted(Path(arguments[1]).read_bytes(), tuple[Unit, ...])
    gc.freeze()

    async def run() -> LoadResult:
        async with open_adapter(order) as adapter:
            return await run_load(adapter, units, order)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run())
    Path(arguments[2]).write_bytes(msgspec.json.encode(result))


def _read_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
