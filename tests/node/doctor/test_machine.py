"""Python, packages, descriptors and memory suffice, or what is missing is named."""

from pathlib import Path

import pytest

from node.config import NodeConfig
from node.doctor.findings import Level
from node.doctor.machine import (
    check_descriptors,
    check_memory,
    check_packages,
    check_python,
    read_versions,
)


@pytest.mark.parametrize(
    ("version", "bits", "level"),
    [
        ((3, 11), 64, Level.OK),
        ((3, 12), 64, Level.OK),
        ((3, 10), 64, Level.PROBLEM),
        ((3, 11), 32, Level.PROBLEM),
    ],
)
def test_only_pythons_with_wheels_are_well(version: tuple[int, int], bits: int, level: Level) -> None:
    assert check_python(version, bits).level is level


def test_every_package_that_the_program_needs_is_looked_for() -> None:
    versions = read_versions()
    assert {"gridbft", "aiohttp", "msgspec", "pynacl", "structlog"} <= set(versions)
    assert "pytest" not in versions
    assert check_packages(versions).level is Level.OK
    missing = check_packages(versions | {"pynacl": None})
    assert missing.level is Level.PROBLEM
    assert missing.said == "not installed: pynacl"
    assert check_packages(read_versions("no-such-distribution")).level is Level.PROBLEM


@pytest.mark.parametrize(("limit", "level"), [(4096, Level.OK), (256, Level.WARNING), (-1, Level.OK)])
def test_descriptors_suffice_for_what_the_settings_allow(limit: int, level: Level) -> None:
    assert check_descriptors(NodeConfig(name="node0"), limit).level is level


@pytest.mark.parametrize(
    ("available", "free", "level"),
    [(900_000, 90_000, Level.OK), (90_000, 90_000, Level.PROBLEM), (900_000, 10_000, Level.WARNING)],
)
def test_memory_and_swap_are_told(tmp_path: Path, available: int, free: int, level: Level) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(
        f"MemTotal: 1000000 kB\nMemAvailable: {available} kB\nSwapTotal: 100000 kB\nSwapFree: {free} kB\n"
    )
    assert check_memory(tmp_path).level is level
    assert check_memory(tmp_path / "nowhere").level is Level.OK
