"""Question 6, the processor: the same code, run by an interpreter for another one, comes to the same bytes.

`python -m benchmarks.emulated /path/to/aarch64/python -o benchmarks/results/aarch64.json`

The interpreter is one that starts as any program does, such as a few words of shell that call qemu's user mode. The
tests of what every machine must compute alike run by it (with --tests), then whole communities have a day of readings,
trade and settlement, with a crash, in which some of four validators run by it and the others by this one.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks.harness.machine import Machine, describe_machine
from benchmarks.harness.results import publish
from benchmarks.harness.session import BenchError
from cli.demo.processes import COMMAND_SEPARATOR, COMMAND_VARIABLE

ROOT = Path(__file__).parents[1]
VALIDATORS = 4
PATIENCE_S = 1800.0
"""Emulation takes some ten times as long."""
ASK = "import json, platform; print(json.dumps({'arch': platform.machine(), 'python': platform.python_version()}))"
ALIKE = (
    "tests/primitives",
    "tests/consensus",
    "tests/scenarios",
    "tests/vm",
    "tests/meter/test_verification.py",
)
"""The tests of the three cores, the golden stories, and those with published vectors."""


class Interpreter(msgspec.Struct, frozen=True):
    """The other interpreter, as it describes itself."""

    arch: str
    python: str


class VectorRun(msgspec.Struct, frozen=True):
    """VectorRun that the other interpreter ran."""

    of: list[str]
    passed: int
    failed: int
    seconds: float


class Day(msgspec.Struct, frozen=True):
    """A community's day: ``others`` of its validators ran by the other interpreter."""

    others: int
    validators: int
    homes: int
    slots: int
    committed: int
    height: int
    view_changes: int
    same_state_root: bool
    conserved: bool
    receipts_verified: int
    receipts_failed: int
    killed_caught_up: bool
    latency_p50_ms: float
    seconds: float


class Report(msgspec.Struct, frozen=True):
    """What was seen."""

    question: str
    machine: Machine
    other: Interpreter
    tests: VectorRun | None
    days: list[Day]


def measure(python: str, others: Sequence[int], *, is_testing: bool) -> Report:
    """Run the tests and the days.

    Raises:
        BenchError: the interpreter does not run, or a day did not come to its end.

    """
    try:
        other = msgspec.json.decode(_run([python, "-c", ASK], {}), type=Interpreter)
    except msgspec.DecodeError as error:
        raise BenchError(f"{python} does not describe itself as a Python does: {error}") from None
    tests = run_tests(python) if is_testing else None
    return Report(
        question="the same code by an interpreter for another processor: the same bytes, and one state root",
        machine=describe_machine(),
        other=other,
        tests=tests,
        days=[play_day(python, count) for count in others],
    )


def is_alike(report: Report) -> bool:
    """Tell whether everything held."""
    days = all(
        each.same_state_root and each.conserved and each.killed_caught_up and not each.receipts_failed
        for each in report.days
    )
    return days and (report.tests is None or (report.tests.passed > 0 and not report.tests.failed))


def run_tests(python: str) -> VectorRun:
    """Let the other interpreter run the tests of what every machine must compute alike."""
    began_s = monotonic()
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *ALIKE]
    last = _run(command, {"PYTHONDONTWRITEBYTECODE": "1"}, is_failing_well=True).strip().splitlines()[-1]
    passed, failed = (
        sum(map(int, re.findall(rf"(\d+) {word}", last))) for word in ("passed", "(?:failed|errors?)")
    )
    return VectorRun(list(ALIKE), passed, failed, round(monotonic() - began_s, 1))


def play_day(python: str, others: int) -> Day:
    """Let a community have a day in which so many of its validators run by the other interpreter."""
    began_s = monotonic()
    own = [""] * (VALIDATORS - others)
    said = COMMAND_SEPARATOR.join([f"{shlex.quote(python)} -P -m cli"] * others + own)
    command = [sys.executable, "-m", "cli", "demo", "--json", "--validators", str(VALIDATORS)]
    found = json.loads(_run(command, {COMMAND_VARIABLE: said}, is_failing_well=True).strip().splitlines()[-1])
    checks = found["checks"]
    return Day(
        others=others,
        validators=found["validators"],
        homes=found["homes"],
        slots=found["slots"],
        committed=found["transactions"]["committed"],
        height=found["height"],
        view_changes=found["view_changes"],
        same_state_root=checks["state_roots_equal"],
        conserved=checks["conservation"],
        receipts_verified=checks["receipts_verified"],
        receipts_failed=checks["receipts_failed"],
        killed_caught_up=checks["caught_up"],
        latency_p50_ms=found["latency_ms"]["p50"],
        seconds=round(monotonic() - began_s, 1),
    )


def _run(command: list[str], more: dict[str, str], *, is_failing_well: bool = False) -> str:
    """Return what a command printed; with ``is_failing_well`` its output counts also when something did not hold."""
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | more,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} did not end within {PATIENCE_S:.0f} s") from None
    if not ended.stdout.strip() or (ended.returncode and not is_failing_well):
        raise BenchError(f"{command[0]} ended with {ended.returncode}")
    return ended.stdout


def main() -> None:
    """Run what was asked for and write what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "python", help="an interpreter for another processor, with the dependencies of this one"
    )
    parser.add_argument(
        "--others", type=int, nargs="*", default=[1, 2], help="validators that it runs, of each day"
    )
    parser.add_argument("--tests", action="store_true", help="run the tests by it as well")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        found = measure(given.python, given.others, is_testing=given.tests)
    except BenchError as error:
        sys.exit(f"emulated: {error}")
    publish(found, given.output)
    if not is_alike(found):
        sys.exit("emulated: something does not hold on that processor, as the figures say")


if __name__ == "__main__":
    main()
