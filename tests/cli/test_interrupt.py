"""Ctrl-C ends a command at any moment without a traceback, also while its code is being loaded."""

import signal
import subprocess
import sys

import pytest

from cli.main import INTERRUPTED
from tests.integration.validator import REPOSITORY

INTERRUPTED_WHILE_LOADING = """
import builtins, os, signal
plain = builtins.__import__
def load(name, *arguments):
    if name == "typer":
        builtins.__import__ = plain
        os.kill(os.getpid(), signal.SIGINT)
    return plain(name, *arguments)
from cli.entry import main
builtins.__import__ = load
import sys
sys.argv = ["gridbft", "config", "show", "--help"]
main()
"""
INTERRUPTED_WHILE_IT_RUNS = """
import os, signal, sys
import cli.console
from cli import settings
settings.find_home = lambda home: os.kill(os.getpid(), signal.SIGINT) or home
from cli.entry import main
sys.argv = ["gridbft", "config", "show"]
main()
"""


def run(code: str, *, is_ignored: bool = False) -> subprocess.CompletedProcess[str]:
    handler = signal.SIG_IGN if is_ignored else signal.SIG_DFL
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


def test_while_it_is_loaded_the_signal_ends_it_in_silence() -> None:
    ended = run(INTERRUPTED_WHILE_LOADING)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_from_then_on_it_ends_with_the_code_that_shells_expect() -> None:
    ended = run(INTERRUPTED_WHILE_IT_RUNS)
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")


@pytest.mark.parametrize("code", [INTERRUPTED_WHILE_LOADING, INTERRUPTED_WHILE_IT_RUNS])
def test_whoever_started_it_to_ignore_the_signal_is_obeyed(code: str) -> None:
    ended = run(code, is_ignored=True)
    assert ended.returncode not in {-signal.SIGINT, INTERRUPTED}
