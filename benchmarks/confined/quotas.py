"""A share of a processor and a bound of memory for each validator, by control groups of version 1 or 2."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.harness.session import BenchError

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 20_000
"""The kernel's bandwidth period: a validator that used up its share waits for 20 ms at most, not for 100."""


@contextmanager
def open_quotas(count: int, cpu_share: float, memory_bytes: int) -> Iterator[list[tuple[Path, ...]]]:
    """Make groups for so many validators; give for each the files into which its process writes its id.

    Raises:
        BenchError: the kernel's groups cannot be written; the line says which.

    """
    made: list[Path] = []
    try:
        yield [_make(f"gridbft-bench-{index}", cpu_share, memory_bytes, made) for index in range(count)]
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # a process that is still ending keeps it; the next run takes it over
                folder.rmdir()


def _make(name: str, cpu_share: float, memory_bytes: int, made: list[Path]) -> tuple[Path, ...]:
    quota_us = int(cpu_share * PERIOD_US)
    if (ROOT / "cgroup.controllers").exists():
        _write(ROOT / "cgroup.subtree_control", "+cpu +memory")
        folder = _add(ROOT / name, made)
        _write(folder / "cpu.max", f"{quota_us} {PERIOD_US}")
        _write(folder / "memory.max", str(memory_bytes))
        return (folder / "cgroup.procs",)
    cpu, memory = (_add(ROOT / kind / name, made) for kind in ("cpu", "memory"))
    _write(cpu / "cpu.cfs_period_us", str(PERIOD_US))
    _write(cpu / "cpu.cfs_quota_us", str(quota_us))
    _write(memory / "memory.limit_in_bytes", str(memory_bytes))
    return cpu / "cgroup.procs", memory / "cgroup.procs"


def _add(folder: Path, made: list[Path]) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        reason = "needs root" if os.geteuid() != 0 else error.strerror or str(error)
        raise BenchError(f"a share of the processor for each validator: {folder}: {reason}") from None
    made.append(folder)
    return folder


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise BenchError(
            f"a share of the processor for each validator: {path}: {error.strerror or error}"
        ) from None


def build_entry(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the command that enters groups and becomes what follows it."""
    words = " ".join(f"'{path}'" for path in files)
    script = f'for group in {words}; do echo $$ > "$group" || exit 1; done; exec "$@"'
    return ("sh", "-c", script, "enter")
