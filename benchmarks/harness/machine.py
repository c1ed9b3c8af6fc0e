"""What was measured where: versions, processor, and what one signature check costs while nothing else runs."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from time import thread_time
from typing import TypedDict

from benchmarks.harness.workload import Meters
from vm.transaction import is_transaction_signed

CHECKS = 2000
ROUNDS = 5
LIBRARIES = ("aiohttp", "msgspec", "plyvel", "pynacl", "uvloop")


class Machine(TypedDict):
    """The set-up beside every figure."""

    cpus: int
    processor: str
    arch: str
    kernel: str
    python: str
    libraries: dict[str, str]
    load_before: float


def describe_machine() -> Machine:
    """Return where this runs, and with what."""
    return Machine(
        cpus=os.cpu_count() or 1,
        processor=_read_processor(),
        arch=platform.machine(),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES},
        load_before=round(os.getloadavg()[0], 2),
    )


def measure_verify_us() -> float:
    """Return the microseconds of CPU of one check of a reading's signature: the least of several rounds."""
    meters = Meters(1, 0, bytes(32))  # type: ignore[arg-type]  # any 32 bytes are a genesis hash here
    transactions = list(meters.sign_readings(0, 200))
    best_s = float("inf")
    for _ in range(ROUNDS):
        began_s = thread_time()
        for number in range(CHECKS):
            is_transaction_signed(transactions[number % 200], meters.genesis_hash)
        best_s = min(best_s, thread_time() - began_s)
    return round(best_s / CHECKS * 1e6, 2)


def _read_processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.processor()
