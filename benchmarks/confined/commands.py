"""Running the tools of the system that make small computers, each to its end."""

import shutil
import subprocess
from collections.abc import Sequence

from benchmarks.harness.session import BenchError

COMMAND_S = 30.0


def need(tools: Sequence[str], purpose: str) -> None:
    """Refuse when a tool is missing.

    Raises:
        BenchError: it names all that are, and what for.

    """
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise BenchError(f"{purpose} needs {', '.join(missing)}, which is not on this machine")


def run(*command: str, may_fail: bool = False) -> str:
    """Run a command and return what it printed.

    Raises:
        BenchError: it failed; its last line says why.

    """
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]}: {error}") from None
    if ended.returncode != 0 and not may_fail:
        lines = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"{' '.join(command)}: {lines[-1]}")
    return ended.stdout
