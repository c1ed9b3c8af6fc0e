"""The command line answers at once: what a command does not need is not loaded."""

import json
import subprocess
import sys

from tests.architecture.source_tree import ROOT

HEAVY = ("aiohttp", "aiomqtt", "matplotlib", "numpy", "pymodbus", "serial")
REACHING = ("aiohttp", "asyncio", "http.client", "select", "socket", "ssl", "subprocess", "urllib.request")
"""What could reach somebody else."""
FURTHER = ("cryptography", "plyvel", "prometheus_client", "rich", "structlog", "typer", "uvloop")
"""What gridbft depends on besides msgspec and PyNaCl."""


def loaded_by(statement: str, names: tuple[str, ...] = HEAVY) -> list[str]:
    """Name those of these modules that a fresh interpreter has loaded after a statement."""
    report = f"print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    program = f"import json, sys\n{statement}\n{report}"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found: list[str] = json.loads(result.stdout)
    return found


def test_the_command_line_starts_without_heavy_modules() -> None:
    assert loaded_by("import cli.main") == []


def test_what_verifies_a_file_can_reach_nobody() -> None:
    assert loaded_by("from meter.verification import verify", REACHING) == []
    assert loaded_by("import meter.client", REACHING) == list(REACHING)


def test_what_verifies_a_file_needs_two_libraries_only() -> None:
    assert loaded_by("from meter.verification import verify", FURTHER) == []


def test_a_heavy_module_is_found() -> None:
    assert loaded_by("import aiohttp") == ["aiohttp"]
