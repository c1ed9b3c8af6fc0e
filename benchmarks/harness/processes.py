"""What the kernel says about processes: CPU time, anonymous memory, bytes written (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far, anonymous resident memory in MB, bytes written to disk so far."""

    cpu_s: float
    rss_mb: float
    written: int


def read_usage(pid: int) -> Usage:
    """Return what a process has used.

    Raises:
        FileNotFoundError: it is gone.

    """
    folder = Path("/proc") / str(pid)
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    anonymous = _read_kb(folder / "smaps_rollup", "Anonymous:")
    written = int(_read_field(folder / "io", "write_bytes:"))
    return Usage((int(fields[11]) + int(fields[12])) / TICKS, anonymous / 1024, written)


def _read_kb(path: Path, name: str) -> int:
    return int(_read_field(path, name))


def _read_field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return line.split()[1]
    raise ValueError(f"{path} has no {name}")
