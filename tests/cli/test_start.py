"""A node's process ends normally by a signal or with its parent, and says in one line why it cannot run."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cli.failure import CliError, find_expected

PROGRAM = """
import asyncio, sys
from cli.serve import run_until_stopped

async def work():
    print("running", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print("closed", flush=True)

run_until_stopped(work(), stop_with_stdin={stop_with_stdin})
print("ended", flush=True)
"""


def launch(*, stop_with_stdin: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM.format(stop_with_stdin=stop_with_stdin))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_everything_and_is_a_normal_end(number: signal.Signals) -> None:
    process = launch(stop_with_stdin=False)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "closed\nended\n")


def test_the_end_of_the_parent_is_a_normal_end() -> None:
    process = launch(stop_with_stdin=True)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0


def test_without_the_flag_standard_input_means_nothing(tmp_path: Path) -> None:
    process = launch(stop_with_stdin=False)
    assert process.stdin is not None
    process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_expected_failures_of_a_group_are_told_and_a_bug_is_not_hidden() -> None:
    expected = CliError("a port is busy")
    group = BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", [expected]), CliError("another")])
    assert find_expected(group, (CliError,)) is expected
    assert find_expected(BaseExceptionGroup("tasks", [expected, ValueError()]), (CliError,)) is None
