"""Question 2, the Quartierstrom grid: validators x access line x requests a second; where does agreement stall?

`python -m benchmarks.grid -o benchmarks/results/grid.json` (two hours of a core; `--validators`, `--mbit`, `--rates`
choose a part). With ``--for-s`` it stops after so long; run again with the same FILE, it goes on where it was. Their
network halted above 40 validators and 10 requests a second, on Tendermint (Quartierstrom, 2019).

The cells are the real core on simulated computers (`benchmarks/grid_world.py`), each with one line for all its links
and one core that is ``factor`` times slower than this machine's, as measured once for a file. Clients hand readings to
one validator after the other; a latency ends when that validator holds the block's certificate.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from time import monotonic, process_time
from typing import Any

import msgspec

from benchmarks.grid_file import read_grid, write_grid
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.session import BenchError, compute_percentiles
from benchmarks.harness.workload import Meters
from cli.network_spec import ConsensusSpec, build_consensus_parameters
from primitives.limits import VALIDATORS_MAX, VALIDATORS_MIN
from vm.genesis import ConsensusParameters

VALIDATORS = (4, 8, 16, 24, 32, 40, 56, 72)
MBIT = (0.1, 0.5, 1.0, 4.0, 16.0)
RATES = (1.0, 5.0, 10.0, 15.0)
METERS = 75
"""As many as Quartierstrom had."""
READINGS_MAX = METERS * 24
"""A simulated community begins with 24 slots that nobody has reported (``tests/simulation/community.py``)."""
LATENCY_MS = 10
SYNC_MS = 10
"""Of a card."""
FACTOR = 4.0
"""A core of a Raspberry Pi 4 takes about so many times as long as the core of a server that measures the costs."""
DURATION_S, DRAIN_S = 20, 20
SILENCE_MS = 10_000
READY_MS = 120_000
SLOW_LINES = ConsensusParameters(resend_ms=2_000, view_timeout_ms=8_000, request_deadline_ms=8_000)
"""A genesis for lines on which a round of agreement takes seconds: waiting is bounded later, nothing else differs."""
GENESES: dict[str, Callable[[int], ConsensusParameters]] = {
    "default": lambda validators: build_consensus_parameters(ConsensusSpec(), validators),
    "slow lines": lambda _: SLOW_LINES,
}


@dataclass(frozen=True, order=True)
class Place:
    """Where a cell is in the grid."""

    genesis: str
    validators: int
    mbit_s: float
    offered_tx_s: float


class Cell(msgspec.Struct, frozen=True):
    """What came of a cell. ``verdict``: keeps up (everything is confirmed soon after it was due), behind (blocks come,
    more waits), halted (no block in the last ten seconds although something waits).

    Bytes are of one validator's line, in the direction that it sends.
    """

    genesis: str
    validators: int
    mbit_s: float
    offered_tx_s: float
    verdict: str
    committed_tx_s: float
    sent: int
    confirmed: int
    refused: int
    p50_ms: float | None
    p99_ms: float | None
    blocks: int
    view: int
    line_bytes_per_s: float
    line_bytes_per_s_max: float
    link_bytes_per_s: float
    agreement_share: float
    cpu_share: float
    cpu_share_max: float
    took_cpu_s: float

    @property
    def place(self) -> Place:
        """Return where it is."""
        return Place(self.genesis, self.validators, self.mbit_s, self.offered_tx_s)


def play(place: Place, costs: Any, duration_s: int = DURATION_S, drain_s: int = DRAIN_S) -> Cell:  # noqa: ANN401  # tests' types are imported late
    """Load one simulated network and say what came of it."""
    from benchmarks.grid_lines import Line
    from benchmarks.grid_world import GridWorld, counting_signatures
    from tests.simulation.community import START_S, UTILITY, UTILITY_KEY

    began_s = process_time()
    with counting_signatures():
        line = Line(1e6 * place.mbit_s, LATENCY_MS)
        world = GridWorld(place.validators, line, costs, SYNC_MS, GENESES[place.genesis](place.validators))
        meters = Meters(METERS, START_S, world.constitution.genesis_hash)
        registrations = list(meters.sign_registrations(UTILITY_KEY, UTILITY, 1))
        for sealed in registrations:
            world.submit(sealed, to=[0])
        world.run_until(lambda: world.is_committed(registrations[-1]), READY_MS)
        readings = list(meters.sign_readings(0, int(place.offered_tx_s * duration_s)))
        world.begin_counting()
        start_ms, blocks = world.now_ms, max(world.get_heights())
        for number, sealed in enumerate(readings):
            due_ms = int(1000 * number / place.offered_tx_s)
            world.timeline.call(due_ms, world.give, sealed, number % place.validators)
        world.run(1000 * duration_s)
        usage = _summarise_usage(world.lines.computers, duration_s)
        end_ms = world.now_ms + 1000 * drain_s
        while world.is_waiting and world.now_ms < end_ms:
            world.run(250)
        world.check()
    sent = world.sent.values()
    latencies = [float(each.confirmed_ms - each.due_ms) for each in sent if each.confirmed_ms is not None]
    percentiles = compute_percentiles(latencies)
    last_ms = max((each.confirmed_ms for each in sent if each.confirmed_ms is not None), default=start_ms)
    span_s = max(duration_s, (last_ms - start_ms) / 1000)
    is_silent = world.now_ms - world.last_block_ms > SILENCE_MS
    return Cell(
        genesis=place.genesis,
        validators=place.validators,
        mbit_s=place.mbit_s,
        offered_tx_s=place.offered_tx_s,
        verdict="keeps up" if not world.is_waiting else "halted" if is_silent else "behind",
        committed_tx_s=round(len(latencies) / span_s, 2),
        sent=len(sent),
        confirmed=len(latencies),
        refused=sum(each.is_refused for each in sent),
        p50_ms=percentiles[50] if percentiles else None,
        p99_ms=percentiles[99] if percentiles else None,
        blocks=max(world.get_heights()) - blocks,
        view=max(machine.state.view for machine in world.machines),
        **usage,
        took_cpu_s=round(process_time() - began_s, 1),
    )


def _summarise_usage(computers: Sequence[Any], duration_s: int) -> dict[str, Any]:
    """Return what lines and processors carried in the time of the load."""
    from tests.simulation.network import Kind

    sent = [sum(each.sent.values()) / duration_s for each in computers]
    agreement = sum(each.sent[Kind.MESSAGE] for each in computers)
    total = sum(sum(each.sent.values()) for each in computers)
    used = [each.cpu_used_us / 1e6 / duration_s for each in computers]
    return {
        "line_bytes_per_s": round(fmean(sent)),
        "line_bytes_per_s_max": round(max(sent)),
        "link_bytes_per_s": round(fmean(sent) / (len(computers) - 1)),
        "agreement_share": round(agreement / max(1, total), 3),
        "cpu_share": round(fmean(used), 3),
        "cpu_share_max": round(max(used), 3),
    }


def list_places(
    geneses: Sequence[str], validators: Sequence[int], mbit: Sequence[float], rates: Sequence[float]
) -> Iterator[Place]:
    """Yield the cells in the order in which they say most soonest: the cheapest networks first."""
    for size, genesis, speed, rate in product(
        sorted(validators), geneses, sorted(mbit, reverse=True), sorted(rates, reverse=True)
    ):
        yield Place(genesis, size, speed, rate)


def main() -> None:
    """Play the cells that were asked for and are not in the file yet; write each as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--validators", type=int, nargs="+", default=VALIDATORS)
    parser.add_argument("--mbit", type=float, nargs="+", default=MBIT)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--genesis", nargs="+", choices=sorted(GENESES), default=list(GENESES))
    parser.add_argument(
        "--factor", type=float, default=FACTOR, help="how much slower than this machine's core"
    )
    parser.add_argument("--seconds", type=int, default=DURATION_S)
    parser.add_argument(
        "--for-s", type=float, default=float("inf"), help="begin no cell after so many seconds"
    )
    parser.add_argument("--again", action="store_true", help="play cells that are in FILE already, too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        check(arguments.validators, arguments.mbit, arguments.rates, arguments.seconds, arguments.factor)
        _play_all(arguments)
    except ImportError:
        sys.exit("grid: the simulator is part of a checkout (tests/simulation), not of an installed package")
    except BenchError as error:
        sys.exit(f"grid: {error}")


def check(
    validators: Sequence[int],
    mbit: Sequence[float],
    rates: Sequence[float],
    seconds: float,
    factor: float = 1.0,
) -> None:
    """Refuse networks and loads that cannot be.

    Raises:
        BenchError: it names the first.

    """
    if not all(VALIDATORS_MIN <= size <= VALIDATORS_MAX for size in validators):
        raise BenchError(f"a network has {VALIDATORS_MIN} to {VALIDATORS_MAX} validators")
    if not all(0 < value < float("inf") for value in (*mbit, *rates, seconds, factor)):
        raise BenchError("lines, rates, seconds and the factor are above 0")
    if max(rates) * seconds > READINGS_MAX:
        raise BenchError(
            f"{METERS} meters have {READINGS_MAX} readings to send: fewer seconds, or a lower rate"
        )


def _play_all(arguments: argparse.Namespace) -> None:
    from benchmarks.grid_costs import measure_costs
    from benchmarks.grid_world import Costs

    began_s = monotonic()
    file = read_grid(arguments.output)
    cells = _read_cells(arguments.output, file)
    kept = file.get("set_up", {}).get("costs_us", {})
    is_kept = kept.get("factor") == arguments.factor and set(kept) == set(Costs._fields)
    costs = Costs(**kept) if is_kept else measure_costs(arguments.factor)
    set_up = {
        "line": f"one of each validator, so many Mbit/s each way for all its links, {LATENCY_MS} ms to the next",
        "sync_ms": SYNC_MS,
        "costs_us": costs._asdict(),
        "seconds": arguments.seconds,
        "drain_seconds": DRAIN_S,
        "meters": METERS,
        "geneses": {
            f"{name}, {validators} validators": msgspec.structs.asdict(make(validators))
            for name, make in GENESES.items()
            for validators in VALIDATORS
        },
    }
    if cells and file["set_up"] != set_up:
        raise BenchError(f"-o {arguments.output}: its cells have another set-up: name another file")
    left = 0
    for place in list_places(arguments.genesis, arguments.validators, arguments.mbit, arguments.rates):
        if place in cells and not arguments.again:
            continue
        if monotonic() - began_s > arguments.for_s:
            left += 1
            continue
        cells[place] = play(place, costs, arguments.seconds)
        print(json.dumps(msgspec.to_builtins(cells[place])), flush=True)
        file |= {
            "question": "validators x access line x requests a second: where does agreement stall?",
            "machine": describe_machine(),
            "set_up": set_up,
            "cells": [msgspec.to_builtins(cells[each]) for each in sorted(cells)],
        }
        write_grid(arguments.output, file)
    if left:
        print(f"grid: {left} cells are left for another run with the same file", file=sys.stderr)


def _read_cells(path: Path | None, file: dict[str, Any]) -> dict[Place, Cell]:
    try:
        cells = msgspec.convert(file.get("cells", []), list[Cell])
    except msgspec.ValidationError as error:
        raise BenchError(f"-o {path}: this is no grid to go on with ({error}): name another file") from None
    if cells and not isinstance(file.get("set_up"), dict):
        raise BenchError(f"-o {path}: this is no grid to go on with: its cells have no set-up")
    return {cell.place: cell for cell in cells}


if __name__ == "__main__":
    main()
