"""Disks that fill, fail and turn read-only under running validators, by what this machine allows.

As root each validator's data is on a small file system in memory, which is really full and really read-only; without
that its files may not grow (RLIMIT_FSIZE), which a writer meets as a full disk. A failing disk is every sync refused
with EIO by strace; where that is not allowed nothing fails but what is full.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.validator import Validator, until

DISK_BYTES = 64 * 1024 * 1024
"""A campaign of ten minutes writes less than half of it."""
FILLER = "filler"
MOUNTED_BY = "gridbft-test-"
"""What the file systems are called, before the number of the process that made them."""
GROWTH_BYTES = 8192
"""Room that a limited file keeps: for the last words in the log, not for a second of journal."""


@dataclass(frozen=True)
class Disks:
    """What this machine allows to be done to disks; ``mounted`` are the data directories that are file systems."""

    mounted: tuple[Path, ...]
    can_inject: bool

    @property
    def kind(self) -> str:
        return "tmpfs" if self.mounted else "rlimit"

    def fill(self, validator: Validator) -> None:
        """From now on the validator's disk is full."""
        data = validator.home / "data"
        if data not in self.mounted:
            sizes = [path.stat().st_size for path in [*data.rglob("*"), validator.log_path] if path.is_file()]
            limit = max(sizes) + GROWTH_BYTES
            _, hard = resource.prlimit(validator.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(validator.pid, resource.RLIMIT_FSIZE, (limit, hard))
            return
        with (data / FILLER).open("wb", buffering=0) as file, suppress(OSError):
            for size in (1024 * 1024, 4096, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self, validator: Validator) -> None:
        """Make room again; a limit ended with its process."""
        (validator.home / "data" / FILLER).unlink(missing_ok=True)

    def protect(self, validator: Validator, *, is_protected: bool) -> None:
        """Make the disk of a validator that does not run read-only, or writable again."""
        mode = "ro" if is_protected else "rw"
        subprocess.run(
            ["mount", "-o", f"remount,{mode}", str(validator.home / "data")], check=True, capture_output=True
        )

    @contextmanager
    def fail(self, validator: Validator) -> Iterator[None]:
        """Refuse every sync of a running validator with EIO while the block lasts."""
        calls = "fsync,fdatasync,msync,sync_file_range"
        tracer = subprocess.Popen(
            [
                *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"),
                *("-e", f"inject={calls}:error=EIO", "-p", str(validator.pid)),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait()


@contextmanager
def open_disks(validators: tuple[Validator, ...]) -> Iterator[Disks]:
    """Give what is possible here; nothing stays mounted. The validators must not have been started yet."""
    with ExitStack() as stack:
        remove_orphans()
        mounted = []
        if can_mount():
            for validator in validators:
                data = validator.home / "data"
                data.mkdir(mode=0o700, exist_ok=True)
                mount(data)
                stack.callback(unmount, data)
                mounted.append(data)
        yield Disks(tuple(mounted), can_trace())


def can_mount() -> bool:
    """Tell whether this process may mount a file system."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as directory:
        try:
            mount(Path(directory))
        except subprocess.CalledProcessError:
            return False
        unmount(Path(directory))
    return True


def can_trace() -> bool:
    """Tell whether strace can change the answers of system calls here."""
    if os.geteuid() != 0 or shutil.which("strace") is None:  # others may trace their own children only
        return False
    failing = (sys.executable, "-c", "import os; os.fsync(1)")
    with tempfile.TemporaryFile() as file:
        tried = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", *failing],
            check=False,
            stdout=file,
            stderr=subprocess.PIPE,
        )
    return b"Errno 5" in tried.stderr


def mount(directory: Path) -> None:
    """Put a small, empty file system into a directory."""
    options = f"size={DISK_BYTES},mode=0700"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, f"{MOUNTED_BY}{os.getpid()}", str(directory)],
        check=True,
        capture_output=True,
    )


def unmount(directory: Path) -> None:
    """Take it away, with all that is in it; who still has a file open there keeps that file."""
    subprocess.run(["umount", "-l", str(directory)], check=True, capture_output=True)


def remove_orphans() -> None:
    """Take away what a process left mounted that was killed."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        source, directory = line.split()[:2]
        owner = source.removeprefix(MOUNTED_BY)
        if owner != source and not Path(f"/proc/{owner}").exists():
            subprocess.run(["umount", "-l", directory], check=False, capture_output=True)


async def wait_refusal(validator: Validator) -> int:
    """Return with which code a validator ended that could not write."""
    process = validator.process
    assert process is not None
    await until(lambda: process.poll() is not None, f"{validator.name} stops, because it cannot write")
    return await validator.wait_exit()
