"""Who works the homes' local tasks: this process, several of this machine, or a Dask cluster.

Homes are dealt out once and stay where they are; an iteration sends only what they are told and brings back what they
say.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from cli.failure import CliError, build_usage_error
from meter.home.desk import Desk, Told
from meter.home.model import Array
from meter.home.participant import HomeDay, Outcome, Seat, Trades
from meter.home.spec import HomeError
from vm.contracts.energy.coordination.records import Agreement

T = TypeVar("T")

END_TIMEOUT_S = 10.0
DASK_TIMEOUT_S = 30


class Crew(Protocol):
    """Works all homes, in their order."""

    def answer(self, told: Told) -> list[Trades]:
        """Return the vectors of an iteration."""
        ...

    def finish(
        self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array, relief_permille: int
    ) -> list[Outcome]:
        """Return the homes' days with what they agreed to."""
        ...

    def compute_bound(self, prices: Array) -> float:
        """Return the Lagrangian bound at these prices."""
        ...

    def close(self) -> None:
        """Let everybody go."""
        ...


@dataclass(frozen=True)
class Failure:
    """What a desk elsewhere could not do, in one line."""

    line: str


class LocalCrew:
    """All homes in this process."""

    def __init__(self, days: Sequence[HomeDay], seats: Sequence[Seat]) -> None:
        """Take the homes.

        Raises:
            CliError: a home's day cannot be planned.

        """
        self._desk = _guard(Desk, days, seats)

    def answer(self, told: Told) -> list[Trades]:
        """Return the vectors of an iteration."""
        return _guard(self._desk.answer, told)

    def finish(
        self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array, relief_permille: int
    ) -> list[Outcome]:
        """Return the homes' days with what they agreed to."""
        return _guard(self._desk.finish, agreements, retail, feed_in, relief_permille)

    def compute_bound(self, prices: Array) -> float:
        """Return the Lagrangian bound at these prices."""
        return float(_guard(self._desk.compute_bound, prices))

    def close(self) -> None:
        """Do nothing."""


class ProcessCrew:
    """The homes in several processes of this machine."""

    def __init__(self, days: Sequence[HomeDay], seats: Sequence[Seat], workers: int) -> None:
        """Start the processes and deal the homes out.

        Raises:
            CliError: a home's day cannot be planned.

        """
        self._parts = _deal(len(days), workers)
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in self._parts:
            here, there = context.Pipe()
            process = context.Process(target=run_desk, args=(there,), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        self._ask([("open", (days[part], seats[part])) for part in self._parts])

    def answer(self, told: Told) -> list[Trades]:
        """Return the vectors of an iteration."""
        questions = [("answer", (_cut(told, part),)) for part in self._parts]
        return [vector for answer in self._ask(questions) for vector in answer]

    def finish(
        self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array, relief_permille: int
    ) -> list[Outcome]:
        """Return the homes' days with what they agreed to."""
        questions = [("finish", (agreements[part], retail, feed_in, relief_permille)) for part in self._parts]
        return [outcome for answer in self._ask(questions) for outcome in answer]

    def compute_bound(self, prices: Array) -> float:
        """Return the Lagrangian bound at these prices."""
        return float(sum(self._ask([("bound", (prices,))] * len(self._parts))))

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(END_TIMEOUT_S)
            if process.is_alive():
                process.kill()

    def _ask(self, questions: Sequence[tuple[str, tuple[object, ...]]]) -> list[Any]:
        """Send every process its question and return their answers."""
        try:
            for pipe, question in zip(self._pipes, questions, strict=True):
                pipe.send(question)
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError):
            self.close()
            raise CliError("a process that works for homes ended: is there enough memory?") from None
        failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
        if failed is not None:
            self.close()
            raise build_usage_error(failed.line)
        return answers


class DaskCrew:
    """The homes on the workers of a Dask cluster, each group an actor that stays where it is."""

    def __init__(self, days: Sequence[HomeDay], seats: Sequence[Seat], scheduler: str) -> None:
        """Connect and deal the homes out.

        Raises:
            CliError: the extra is not installed, the scheduler does not answer, or a home's day cannot be planned.

        """
        try:
            from distributed import Client
        except ImportError:
            raise CliError("--scheduler needs the extra `cluster`: install gridbft[cluster]") from None
        try:
            self._client = Client(scheduler, timeout=DASK_TIMEOUT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise CliError(f"--scheduler {scheduler}: {' '.join(str(error).split())[:200]}") from None
        workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if workers == 0:
            self.close()
            raise CliError(f"--scheduler {scheduler}: it has no workers")
        self._parts = _deal(len(days), workers)
        opened = [
            self._client.submit(Desk, days[part], seats[part], actor=True, pure=False) for part in self._parts
        ]
        self._desks = self._collect(opened)

    def answer(self, told: Told) -> list[Trades]:
        """Return the vectors of an iteration."""
        asked = [desk.answer(_cut(told, part)) for desk, part in zip(self._desks, self._parts, strict=True)]
        return [vector for answer in self._collect(asked) for vector in answer]

    def finish(
        self, agreements: Sequence[Agreement | None], retail: Array, feed_in: Array, relief_permille: int
    ) -> list[Outcome]:
        """Return the homes' days with what they agreed to."""
        asked = [
            desk.finish(agreements[part], retail, feed_in, relief_permille)
            for desk, part in zip(self._desks, self._parts, strict=True)
        ]
        return [outcome for answer in self._collect(asked) for outcome in answer]

    def compute_bound(self, prices: Array) -> float:
        """Return the Lagrangian bound at these prices."""
        return float(sum(self._collect([desk.compute_bound(prices) for desk in self._desks])))

    def close(self) -> None:
        """Let the cluster go."""
        self._client.close()

    def _collect(self, asked: Sequence[Any]) -> list[Any]:
        try:
            return [future.result() for future in asked]
        except HomeError as error:
            self.close()
            raise build_usage_error(str(error)) from None


def build_crew(days: Sequence[HomeDay], seats: Sequence[Seat], workers: int, scheduler: str | None) -> Crew:
    """Return who works the homes."""
    if scheduler is not None:
        return DaskCrew(days, seats, scheduler)
    if workers > 1:
        return ProcessCrew(days, seats, min(workers, len(days)))
    return LocalCrew(days, seats)


def run_desk(pipe: Connection) -> None:
    """Serve one group of homes until the pipe closes: the body of a process."""
    desk: Desk | None = None
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        answer: object = []
        try:
            if name == "open":
                desk = Desk(*arguments)
            elif desk is not None:
                work: Any = {"answer": desk.answer, "finish": desk.finish, "bound": desk.compute_bound}[name]
                answer = work(*arguments)
        except HomeError as error:
            answer = Failure(str(error))
        pipe.send(answer)


def _deal(count: int, workers: int) -> list[slice]:
    """Return consecutive parts of about the same size."""
    bounds = [count * number // workers for number in range(workers + 1)]
    return [slice(low, high) for low, high in pairwise(bounds) if low < high]


def _cut(told: Told, part: slice) -> Told:
    return Told(told.rho, told.active, told.rows[part], told.exchange)


def _guard(function: Callable[..., T], *arguments: object) -> T:
    """Call, and turn a home's refusal into a line for the user."""
    try:
        return function(*arguments)
    except HomeError as error:
        raise build_usage_error(str(error)) from None
