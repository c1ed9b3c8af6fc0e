"""Real commands as a shell runs them, and what of them is still alive."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.architecture.source_tree import ROOT
from tests.cli.conftest import PASSPHRASE

COMMAND = [sys.executable, "-m", "cli"]
END_TIMEOUT_S = 30


def build_environment(**extra: str) -> dict[str, str]:
    """The environment of a shell without settings of ours but the passphrase; code of this checkout first."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GRIDBFT_")}
    return {**kept, "PYTHONPATH": str(ROOT), "GRIDBFT_PASSPHRASE": PASSPHRASE, **extra}


def execute(*arguments: object, timeout: float = 100, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=build_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def launch(*arguments: object, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=build_environment(**environment),
            stdin=subprocess.PIPE,  # closed with this process: what is started with --stop-with-stdin ends too
            stdout=output,
            stderr=output,
        )


def find_processes(mark: Path) -> list[int]:
    """The processes, this one aside, that name a path in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(mark).encode() in line:
            found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = END_TIMEOUT_S) -> None:
    """Ask again and again, until a deadline."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
