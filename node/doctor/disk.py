"""The disk under a home: space, names, how long a sync takes, how much is written to it, how worn it is, read-only."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from node.doctor.findings import Finding, Level

MIB = 1024 * 1024
FREE_BYTES_MIN = 256 * MIB
"""The journal, LevelDB's next compaction and the log fit into it."""

FREE_BYTES_WANTED = 1024 * MIB
FREE_SHARE_MIN = 0.03
INODES_MIN = 1000
"""LevelDB makes a few files an hour."""

SYNC_TRIES = 5
SYNC_BYTES = 4096
SYNC_WARNING_MS = 50.0
"""A good SD card takes 5 to 20 ms; each block waits for two of them."""

SYNC_PROBLEM_MS = 500.0
"""Half the default view time-out: the primary is replaced before its own disk has answered."""

WRITTEN_PER_DAY_WARNING = 10 * 1024 * MIB
"""A 32 GB card of the simplest kind endures some 10 TB: three years."""

WORN_WARNING_PERCENT = 80
WORN_PROBLEM_PERCENT = 100
SMART_TIMEOUT_S = 5.0
SECTOR_BYTES = 512

MOVE_DATA = "free space, raise `storage.keep_blocks` to let old blocks go, or move HOME to a larger disk"


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has and what a user may still take."""

    total: int
    free: int
    inodes: int
    inodes_free: int


def read_space(home: Path) -> Space:
    """Return the space of the file system of a home."""
    found = os.statvfs(home)
    return Space(
        found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail, found.f_files, found.f_favail
    )


def check_space(space: Space) -> Finding:
    """Check the bytes that are left."""
    said = f"{space.free // MIB:,} MiB of {space.total // MIB:,} MiB are free"
    measures = {"total_bytes": space.total, "free_bytes": space.free}
    if space.free < FREE_BYTES_MIN or space.free < FREE_SHARE_MIN * space.total / 2:
        return Finding(
            "disk_space", Level.PROBLEM, f"{said}: the node stops when none is", MOVE_DATA, measures
        )
    if space.free < FREE_BYTES_WANTED or space.free < FREE_SHARE_MIN * space.total:
        return Finding("disk_space", Level.WARNING, said, MOVE_DATA, measures)
    return Finding("disk_space", Level.OK, said, "", measures)


def check_inodes(space: Space) -> Finding:
    """Check the names that are left; some file systems have no such bound."""
    measures = {"inodes": space.inodes, "inodes_free": space.inodes_free}
    if space.inodes and space.inodes_free < INODES_MIN:
        return Finding(
            "disk_inodes",
            Level.PROBLEM,
            f"only {space.inodes_free:,} more files fit on the disk, however small",
            "delete small files that something piles up (mail, sessions, caches)",
            measures,
        )
    return Finding("disk_inodes", Level.OK, "there is room for more files", "", measures)


def measure_sync(directory: Path) -> list[float]:
    """Return how many milliseconds it takes to write and sync a small file, several times; it is deleted again.

    Raises:
        OSError: the disk refuses.

    """
    path = directory / f".gridbft-doctor-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        taken = []
        for _ in range(SYNC_TRIES):
            begin_s = time.perf_counter()
            os.write(descriptor, bytes(SYNC_BYTES))
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - begin_s) * 1000)
        return taken
    finally:
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()


def check_sync(directory: Path) -> Finding:
    """Check that the disk takes writes, and how long it needs until they are durable."""
    try:
        taken = measure_sync(directory)
    except OSError as error:
        owner = directory.stat().st_uid if directory.exists() else os.geteuid()
        if isinstance(error, PermissionError) and os.geteuid() != owner:
            return Finding(
                "disk_sync",
                Level.WARNING,
                f"unknown: user {os.geteuid()} may not write to {directory}, which belongs to user {owner}",
                "run the checks as the node's user, or as root",
            )
        return Finding(
            "disk_sync",
            Level.PROBLEM,
            f"nothing can be written to {directory}: {error.strerror}",
            "free space, mend the permissions, or replace the disk; the node cannot run",
        )
    typical_ms = median(taken)
    said = f"a synced write takes {typical_ms:.1f} ms (the longest of {len(taken)}: {max(taken):.1f} ms)"
    measures = {"median_ms": round(typical_ms, 3), "longest_ms": round(max(taken), 3)}
    if typical_ms > SYNC_PROBLEM_MS:
        return Finding(
            "disk_sync",
            Level.PROBLEM,
            f"{said}: too long for agreement",
            "replace the card, or move HOME to a USB disk",
            measures,
        )
    if typical_ms > SYNC_WARNING_MS:
        return Finding(
            "disk_sync",
            Level.WARNING,
            said,
            "look at what else writes to it; a worn card gets slow",
            measures,
        )
    return Finding("disk_sync", Level.OK, said, "", measures)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, of which device (major:minor), of what kind, and whether it takes writes."""

    point: str
    device: str
    kind: str
    is_read_only: bool


def list_mounts(root: Path) -> Iterator[Mount]:
    """Yield what is mounted (proc(5), mountinfo)."""
    text = (root / "proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        words, after = fields.split(), rest.split()
        if len(words) < 6 or len(after) < 3:  # noqa: PLR2004  # the fixed fields of a line
            continue
        options = {*words[5].split(","), *after[2].split(",")}
        point = words[4].encode().decode("unicode_escape", errors="replace")
        yield Mount(point, words[2], after[0], "ro" in options)


def find_mount(root: Path, path: Path) -> Mount | None:
    """Return the mount on which a path lies: the deepest one, the last if several are stacked."""
    found = None
    resolved = path.resolve()
    for mount in list_mounts(root):
        is_above = resolved.is_relative_to(mount.point)
        if is_above and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def check_mount(mount: Mount | None) -> Finding:
    """Check that the home's file system takes writes."""
    if mount is None:
        return Finding("disk_mount", Level.OK, "where the home is mounted cannot be told here")
    measures = {"mount": mount.point, "device": mount.device, "kind": mount.kind}
    if mount.is_read_only:
        return Finding(
            "disk_mount",
            Level.PROBLEM,
            f"{mount.point} is mounted read-only: the kernel does so when a disk fails",
            "read `dmesg`; save the keys, replace the disk, then `gridbft recover` on the new one",
            measures,
        )
    return Finding("disk_mount", Level.OK, f"{mount.point} ({mount.kind}) takes writes", "", measures)


def check_written(root: Path, mount: Mount | None) -> Finding:
    """Check how many bytes a day reach the device since the machine started."""
    try:
        device = "" if mount is None else mount.device
        fields = (root / "sys/dev/block" / device / "stat").read_text(encoding="ascii").split()
        uptime_s = float((root / "proc/uptime").read_text(encoding="ascii").split()[0])
        written = int(fields[6]) * SECTOR_BYTES
    except (OSError, ValueError, IndexError):
        return Finding("disk_written", Level.OK, "how much is written to the device cannot be told here")
    per_day = int(written / max(uptime_s, 1.0) * 86_400)
    said = f"{per_day // MIB:,} MiB a day are written to the device, of all programs, since {uptime_s / 3600:.1f} h"
    measures = {"bytes_per_day": per_day, "uptime_s": uptime_s}
    if per_day > WRITTEN_PER_DAY_WARNING:
        return Finding(
            "disk_written",
            Level.WARNING,
            said,
            "find what writes (`iotop -a`): a log at level debug, swap, another program; cards wear out",
            measures,
        )
    return Finding("disk_written", Level.OK, said, "", measures)


def check_wear(root: Path, mount: Mount | None) -> Finding:
    """Check what the device says of its own wear: eMMC over /sys, others over smartctl where it is installed."""
    name = None if mount is None else _find_disk(root, mount.device)
    percent = None if name is None else _read_emmc_percent(root, name)
    if percent is None and name is not None:
        percent = _read_smart_percent(name)
    if percent is None:
        return Finding("disk_wear", Level.OK, "the device does not say how worn it is (SD cards never do)")
    said = f"{name} says that {percent} % of its life is used"
    measures = {"device": name, "used_percent": percent}
    advice = "replace it while it still works: copy the home to a new disk with the node stopped"
    if percent >= WORN_PROBLEM_PERCENT:
        return Finding("disk_wear", Level.PROBLEM, said, advice, measures)
    if percent >= WORN_WARNING_PERCENT:
        return Finding("disk_wear", Level.WARNING, said, advice, measures)
    return Finding("disk_wear", Level.OK, said, "", measures)


def _find_disk(root: Path, device: str) -> str | None:
    """Return the name of the whole disk that a partition is on."""
    path = root / "sys/dev/block" / device
    if not path.exists():
        return None
    resolved = path.resolve()
    return resolved.parent.name if (resolved / "partition").exists() else resolved.name


def _read_emmc_percent(root: Path, name: str) -> int | None:
    """Return the larger of both estimates, in tenths of its life (JEDEC eMMC 5.0, EXT_CSD 268 and 269)."""
    try:
        words = (root / "sys/block" / name / "device/life_time").read_text(encoding="ascii").split()
        steps = max(int(word, 16) for word in words)
    except (OSError, ValueError):
        return None
    return None if steps == 0 else steps * 10


def _read_smart_percent(name: str) -> int | None:
    try:
        ended = subprocess.run(  # noqa: S603  # a fixed program; the name comes from /sys
            ["smartctl", "--json", "--all", f"/dev/{name}"],  # noqa: S607  # wherever the system has it
            capture_output=True,
            timeout=SMART_TIMEOUT_S,
            check=False,
        )
        told = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return find_smart_percent(told)


def find_smart_percent(told: object) -> int | None:
    """Return the used share of life in smartctl's JSON, or None where it has none."""
    if not isinstance(told, Mapping):
        return None
    for table, field in (
        ("nvme_smart_health_information_log", "percentage_used"),
        ("endurance_used", "current_percent"),
    ):
        found = told.get(table)
        value = found.get(field) if isinstance(found, Mapping) else None
        if isinstance(value, int):
            return value
    return None
