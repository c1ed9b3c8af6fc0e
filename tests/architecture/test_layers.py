"""Who may import whom: the contracts of pyproject.toml hold, and each of them can break."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, PYPROJECT, ROOT, python_files

CONTRACTS = [contract["name"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"]]

# One import for each contract that breaks it.
VIOLATIONS = {
    "primitives/bad.py": "import consensus",
    "meter/bad.py": "import p2p\nimport consensus.replica",
    "consensus/ordering.py": "import consensus.view_change",
    "vm/bad.py": "import time",
    "node/bad.py": "import plyvel",
    "cli/bad.py": "import aiohttp",
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the pyproject.toml in a folder against the packages in that folder."""
    command = Path(sys.executable).with_name("lint-imports")
    wide = {**os.environ, "COLUMNS": "200"}  # one line for each contract
    return subprocess.run(
        [command, "--no-cache"], cwd=folder, env=wide, check=False, capture_output=True, text=True
    )


def test_every_import_obeys_the_layers() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says about a copy of the packages with one bad import for each contract."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for path in python_files(*PACKAGES):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name, text in VIOLATIONS.items():
        with (copy / name).open("a", encoding="utf-8") as module:
            module.write(f"\n{text}\n")
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_bad_import_breaks_its_contract(broken: str, contract: str) -> None:
    assert f"{contract} BROKEN" in broken
