"""What is installed is what the checkout says: generic names clash with nothing, every pin has its hash."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, PYPROJECT, ROOT

DIRECT_DEPENDENCIES_AT_MOST = 12

REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")

PIN = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+))?", re.MULTILINE
)


def clashes(distributions: Mapping[str, list[str]], names: tuple[str, ...]) -> dict[str, list[str]]:
    """Name the other distributions that ship a top-level package of ours."""
    others = {name: sorted(set(distributions.get(name, [])) - {"gridbft"}) for name in names}
    return {name: found for name, found in others.items() if found}


def entries(requirements: str) -> list[str]:
    """Split a requirements file into its entries, continuation lines joined, comments dropped."""
    lines = requirements.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def unpinned(requirements: str) -> list[str]:
    """List the entries that are not one exact version with the hashes of its files."""
    return [
        entry
        for entry in entries(requirements)
        if PIN.match(entry) is None or re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry) is None
    ]


def addresses(requirements: str) -> list[str]:
    """List the lines that name a place: a registry, a file, a folder, an option of the installer."""
    return [
        line
        for line in requirements.splitlines()
        if re.search(r"://|^\s*-(?!-hash)|^\s*[./]|@ |file:", line) is not None
    ]


def direct_names(dependencies: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", dependency, maxsplit=1)[0].lower() for dependency in dependencies}


def test_every_listed_package_exists() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "__init__.py").is_file()] == []


def test_no_other_distribution_ships_a_package_of_ours() -> None:
    assert clashes(packages_distributions(), (*PACKAGES, "tests")) == {}


def test_a_clash_of_names_is_found() -> None:
    assert clashes({"node": ["gridbft", "node-tools"]}, ("node", "vm")) == {"node": ["node-tools"]}


def test_every_requirement_is_one_version_with_its_hashes() -> None:
    assert entries(REQUIREMENTS)
    assert unpinned(REQUIREMENTS) == []


def test_a_requirement_without_hash_or_version_is_found() -> None:
    assert unpinned("rich==14.0.0\n") == ["rich==14.0.0"]
    assert unpinned(f"rich>=14 \\\n    --hash=sha256:{'0' * 64}\n") != []
    assert unpinned(f"rich==14.0.0 \\\n    --hash=sha256:{'0' * 64}\n") == []


def test_the_requirements_name_no_place() -> None:
    assert addresses(REQUIREMENTS) == []


@pytest.mark.parametrize(
    "line",
    [
        "--extra-" + "index-" + "url https://example.org/simple",
        "rich @ https://example.org/rich",
        "-e .",
        "./wheels/rich.whl",
    ],
)
def test_a_place_in_the_requirements_is_found(line: str) -> None:
    assert addresses(f"{line}\n") == [line]


def test_every_direct_dependency_is_pinned() -> None:
    pinned = {match["name"] for match in PIN.finditer(REQUIREMENTS)}
    project = PYPROJECT["project"]
    wanted = direct_names(project["dependencies"]) | direct_names(project["optional-dependencies"]["dev"])
    assert wanted - pinned == set()


def test_the_core_has_at_most_twelve_direct_dependencies() -> None:
    assert len(PYPROJECT["project"]["dependencies"]) <= DIRECT_DEPENDENCIES_AT_MOST


def test_each_machine_gets_one_build_of_the_store() -> None:
    markers = {match["name"]: (match["marker"] or "").strip() for match in PIN.finditer(REQUIREMENTS)}
    assert markers["plyvel"] == "platform_machine == 'x86_64'"
    assert markers["plyvel-ci"] == "platform_machine != 'x86_64'"


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from the checkout."""
    folder: Path = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel_names: list[str]) -> None:
    version = PYPROJECT["project"]["version"]
    tops = {name.partition("/")[0] for name in wheel_names}
    assert tops == {*PACKAGES, f"gridbft-{version}.dist-info"}


def test_the_wheel_holds_the_sample_data_with_its_licences(wheel_names: list[str]) -> None:
    data = ROOT / "cli" / "demo" / "data"
    files = {path.relative_to(ROOT).as_posix() for path in data.rglob("*") if path.is_file()}
    assert files
    assert files - set(wheel_names) == set()
