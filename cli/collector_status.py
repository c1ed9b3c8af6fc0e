"""How the collectors of a home stand, from the files that they keep; nobody is asked, so it works without a network."""

import time
from pathlib import Path

from cli.console import print_line
from cli.failure import CliError
from cli.moments import format_moment
from cli.money import count, format_kwh
from meter.collect.state import CollectorState, Seen, read_state
from primitives.text import to_line
from vm.genesis import is_name_sound

COLLECT_DIRECTORY = "collect"
SHOWN_MAX = 1000
"""Files of one home that are shown; a home has one meter, or a few."""


def read_states(home: Path) -> list[CollectorState]:
    """Return the states of all collectors of a home, by name.

    Raises:
        CliError: the directory cannot be read.

    """
    try:
        paths = sorted(path for path in (home / COLLECT_DIRECTORY).iterdir() if path.suffix == ".json")[
            :SHOWN_MAX
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CliError(f"{home / COLLECT_DIRECTORY}: {error.strerror}") from None
    return [read_state(path, path.stem) for path in paths if is_name_sound(path.stem)]


def show_state(state: CollectorState) -> None:
    """Print what a person asks about a collector, a line for each question."""
    age_s = int(time.time()) - state.written_s
    print_line(f"{state.meter}  from {to_line(state.source)}  told {age_s} s ago")
    print_line(
        f"  source     {to_line(state.link_problem) or 'open'}; broke {count(state.reconnects, 'time')}"
    )
    print_line(f"  seen       {_show(state.last_seen)}; {count(state.observations, 'observation')}")
    print_line(f"  reading    {_show(state.last_reading)}; {state.readings} signed")
    if state.last_gap is not None:
        begin, end = format_moment(state.last_gap.from_s), format_moment(state.last_gap.to_s)
        print_line(
            f"  gaps       {state.gaps}; the last from {begin} to {end}, booked in the slot that ends there"
        )
    if state.dropped:
        counts = ", ".join(f"{to_line(name)} {number}" for name, number in sorted(state.dropped.items()))
        when = format_moment(state.last_dropped_s)
        print_line(f"  dropped    {counts}; the last {to_line(state.last_dropped)} at {when}")
    oldest = (
        "" if state.oldest_waiting_s is None else f"; the oldest of {format_moment(state.oldest_waiting_s)}"
    )
    print_line(f"  spool      {state.waiting} wait{oldest}")
    if state.early:
        print_line(f"  early      {state.early} times: the validators' clocks, or this machine's, are wrong")
    if state.refused:
        counts = ", ".join(f"{to_line(name)} {number}" for name, number in sorted(state.refused.items()))
        print_line(f"  refused    {counts}")
    reached = (
        "none yet"
        if state.reached is None
        else f"{to_line(state.reached.name)}, {format_moment(state.reached.time_s)}"
    )
    problem = f"; {to_line(state.network_problem)}" if state.network_problem else ""
    print_line(f"  validator  {reached}{problem}")
    proof = state.last_proof
    told = (
        "none yet"
        if proof is None
        else f"block {proof.height}, the reading of {format_moment(proof.reading_s)}"
    )
    print_line(f"  proof      {told}; {state.committed} committed with proof")


def _show(seen: Seen | None) -> str:
    if seen is None:
        return "nothing yet"
    registers = f"{format_kwh(seen.import_wh)} kWh import, {format_kwh(seen.export_wh)} kWh export"
    return f"{format_moment(seen.time_s)} UTC: {registers}"
