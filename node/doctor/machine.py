"""The machine and the program: Python, installed packages, descriptors, memory and swap."""

import platform
import re
import resource
import struct
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from node.config import NodeConfig
from node.doctor.findings import Finding, Level
from node.storage.leveldb import MAX_OPEN_FILES

PYTHONS = ((3, 11), (3, 12))
POINTER_BITS = 64
DESCRIPTORS_BESIDE = 128
"""Links of 80 validators, the journal, the log, the admin socket, and the interpreter's own."""

MEMORY_MIN_KB = 100 * 1024
"""A node takes 60 to 120 MB; with less left the kernel ends something."""

SWAP_USED_SHARE = 0.5
DISTRIBUTION = "gridbft"
KIB = 1024


def check_python(
    version: tuple[int, int] = (sys.version_info[0], sys.version_info[1]),
    bits: int = struct.calcsize("P") * 8,
) -> Finding:
    """Check the interpreter."""
    said = f"Python {version[0]}.{version[1]}, {bits} bit, on {platform.machine()}"
    measures = {"version": f"{version[0]}.{version[1]}", "bits": bits, "machine": platform.machine()}
    if version not in PYTHONS or bits != POINTER_BITS:
        return Finding(
            "python", Level.PROBLEM, said, "gridbft needs a 64-bit Python 3.11 or 3.12: install it", measures
        )
    return Finding("python", Level.OK, said, "", measures)


def read_versions(distribution: str = DISTRIBUTION) -> dict[str, str | None]:
    """Return the installed version of the program and of each package that it needs; None for one that is missing."""
    try:
        requirements = metadata.requires(distribution) or []
        versions: dict[str, str | None] = {distribution: metadata.version(distribution)}
    except metadata.PackageNotFoundError:
        return {distribution: None}
    for requirement in requirements:
        name, _, marker = requirement.partition(";")
        found = re.match(r"[A-Za-z0-9._-]+", name)
        if found is None or "extra ==" in marker or not _is_for_this_machine(marker):
            continue
        try:
            versions[found[0]] = metadata.version(found[0])
        except metadata.PackageNotFoundError:
            versions[found[0]] = None
    return versions


def check_packages(versions: Mapping[str, str | None]) -> Finding:
    """Check that what the program needs is installed."""
    missing = [name for name, version in versions.items() if version is None]
    measures = {"versions": dict(versions)}
    if missing:
        return Finding(
            "packages",
            Level.PROBLEM,
            f"not installed: {', '.join(missing)}",
            "install the pinned wheels again: `make .venv/.installed`",
            measures,
        )
    shown = versions.get(DISTRIBUTION)
    return Finding(
        "packages", Level.OK, f"gridbft {shown} with its {len(versions) - 1} packages", "", measures
    )


def check_descriptors(config: NodeConfig | None, limit: int | None = None) -> Finding:
    """Check that a node started from this shell may open as many files and connections as its settings allow."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    connections = 0 if config is None else config.api.connections_max
    needed = connections + MAX_OPEN_FILES + DESCRIPTORS_BESIDE
    measures = {"limit": soft, "needed": needed}
    if 0 <= soft < needed:
        return Finding(
            "descriptors",
            Level.WARNING,
            f"a process may open {soft} files, and the node may want {needed}",
            "raise it (`LimitNOFILE=` of the unit, `ulimit -n`), or lower api.connections_max",
            measures,
        )
    return Finding(
        "descriptors", Level.OK, f"{needed} open files are wanted at most, {soft} are allowed", "", measures
    )


def check_memory(root: Path) -> Finding:
    """Check the memory that is left, and how much of it is on the disk."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return Finding("memory", Level.OK, "the memory cannot be told here")
    found = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    available, total = found.get("MemAvailable", 0), found.get("SwapTotal", 0)
    used = total - found.get("SwapFree", 0)
    measures = {"available_kb": available, "swap_total_kb": total, "swap_used_kb": used}
    said = f"{available // KIB:,} MiB of memory are available; {used // KIB:,} of {total // KIB:,} MiB of swap are used"
    if available < MEMORY_MIN_KB:
        return Finding(
            "memory",
            Level.PROBLEM,
            f"{said}: the kernel may end the node",
            "end what else runs here, or give the machine more memory",
            measures,
        )
    if total and used > SWAP_USED_SHARE * total:
        return Finding(
            "memory",
            Level.WARNING,
            said,
            "swap on a card makes it slow and wears it: end what else runs here, or use zram",
            measures,
        )
    return Finding("memory", Level.OK, said, "", measures)


def _is_for_this_machine(marker: str) -> bool:
    found = re.search(r"platform_machine (==|!=) ['\"](\w+)['\"]", marker)
    return found is None or (found[1] == "==") == (platform.machine() == found[2])
