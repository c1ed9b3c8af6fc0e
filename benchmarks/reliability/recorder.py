"""Running a campaign and keeping what it said: its last line, stamped with commit, date and machine."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.reliability.records import ROOT, Machine, Record, RecordError

STAMPED = ("commit", "date", "machine")
"""What the recorder says itself; a tool that says it too is not asked twice."""
VIOLATIONS_KEPT_MAX = 100
"""A campaign that fails by the thousand is told by its first hundred; the count stays in the line before."""


def record(method: str, command: Sequence[str], root: Path = ROOT) -> Record:
    """Run a command of this project and return its record, whatever it found; its talk goes to standard error.

    Raises:
        RecordError: it names a path of this machine, cannot be run, or ends without a line of JSON.

    """
    if not command or any(Path(word).is_absolute() for word in command):
        raise RecordError("give a command without absolute paths: the record is published")
    began_s, commit, date = time.monotonic(), read_commit(root), datetime.now(UTC).strftime("%Y-%m-%d")
    try:
        ended = subprocess.run(resolve(command), cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise RecordError(f"{command[0]}: {error.strerror}") from None
    lines = ended.stdout.strip().splitlines()
    figures = read_figures(lines[-1] if lines else "")
    return Record(
        method=method,
        commit=commit,  # as it was when the campaign began: somebody may work on meanwhile
        date=date,
        machine=read_machine(),
        command=" ".join(command),
        seconds=round(time.monotonic() - began_s, 1),
        exit_code=ended.returncode,
        figures=figures,
    )


def resolve(command: Sequence[str]) -> list[str]:
    """Return the command with this very Python in the place of ``python``."""
    return [sys.executable, *command[1:]] if command[0] == "python" else list(command)


def read_figures(line: str) -> dict[str, Any]:
    """Return the figures of a tool's last line.

    Raises:
        RecordError: it is no JSON object.

    """
    try:
        figures = json.loads(line)
    except ValueError:
        figures = None
    if not isinstance(figures, dict):
        raise RecordError(
            f"the command did not end with a line of JSON but with {line[:80]!r}; does it take --json?"
        )
    kept = {name: value for name, value in figures.items() if name not in STAMPED}
    if isinstance(kept.get("violations"), list):
        kept["violations"] = kept["violations"][:VIOLATIONS_KEPT_MAX]
    return kept


def read_commit(root: Path) -> str:
    """Return the short commit; a plus says that something in the tree was not committed."""
    named = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude", "*"],  # noqa: S607  # git of whoever records
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return named.stdout.strip() or "unknown"


def read_machine() -> Machine:
    """Return what decides how fast it was; nothing that names the machine."""
    return Machine(
        cpu=_read_cpu(),
        cores=os.cpu_count() or 1,
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
    )


def save(made: Record, path: Path) -> None:
    """Write a record as a file that is read well in a comparison of commits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(msgspec.to_builtins(made), indent=1, ensure_ascii=False, sort_keys=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "") or platform.processor() or "unknown"
