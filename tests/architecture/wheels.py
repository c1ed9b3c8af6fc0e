"""Which wheel of each pinned dependency a machine gets: the table `wheels.toml`, and how it is made.

The pins carry the hashes of all files of a version, and a hash does not say for which machine its file is. So
`make wheels` asks the installer once for every target, without downloading, and the table keeps what it names.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, NamedTuple

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from tests.architecture.source_tree import PYPROJECT, ROOT

TABLE = ROOT / "tests" / "architecture" / "wheels.toml"

GLIBC_MINORS = range(36, 16, -1)
"""Debian 12, which a Pi runs, has glibc 2.36; wheels are built for 2.17 and later."""

OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")

HEAD = """\
# The wheel that each machine gets of each dependency of the product, all extras but `dev` included.
# Written by `make wheels` from the pins; do not edit. tests/architecture/test_wheels.py holds it to them.
"""


class Target(NamedTuple):
    """A machine: its Python and its processor."""

    python: tuple[int, int]
    machine: str

    @property
    def name(self) -> str:
        """Return its name in the table."""
        return f"python {self.python[0]}.{self.python[1]} {self.machine}"

    @property
    def platforms(self) -> list[str]:
        """Return the platforms whose wheels it takes, the best first."""
        old = [
            f"{name}_{self.machine}"
            for name in OLD_NAMES
            if self.machine == "x86_64" or name == "manylinux2014"
        ]
        return [*(f"manylinux_2_{minor}_{self.machine}" for minor in GLIBC_MINORS), *old]

    @property
    def environment(self) -> dict[str, str]:
        """Return what markers are judged by."""
        version = ".".join(map(str, self.python))
        return {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": version,
            "python_full_version": f"{version}.9",
            "platform_machine": self.machine,
            "sys_platform": "linux",
        }

    def list_tags(self) -> set[Tag]:
        """Return the tags of the wheels that it takes."""
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        return {
            *cpython_tags(self.python, platforms=self.platforms),
            *compatible_tags(self.python, interpreter, self.platforms),
        }


TARGETS = [Target(python, machine) for python in ((3, 11), (3, 12)) for machine in ("x86_64", "aarch64")]


class Wheel(NamedTuple):
    """A file and its hash."""

    file: str
    sha256: str


@cache
def read_pins(requirements: str, target: Target) -> dict[str, Requirement]:
    """Return the pins that a target takes, by name."""
    lines = requirements.replace("\\\n", " ").splitlines()
    texts = [line.split(" --hash=")[0].strip() for line in lines if line and not line.startswith("#")]
    pins = [Requirement(text) for text in texts]
    return {
        canonicalize_name(pin.name): pin
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(target.environment)
    }


def list_product(pins: Mapping[str, Requirement], target: Target) -> list[str]:
    """Return the pinned names that the product needs there: what it asks for, and what that asks for.

    What is not installed here (the other machine's build of the store) is taken to need nothing; who makes the table
    learns it from the wheels.
    """
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(text for name in extras if name != "dev" for text in extras[name])]
    waiting = [(Requirement(text), "") for text in wanted]
    found: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        environment = {**target.environment, "extra": extra}
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        name = canonicalize_name(requirement.name)
        for each in ("", *sorted(requirement.extras)):
            if (name, each) not in found:
                found.add((name, each))
                waiting += [(needed, each) for needed in _read_needs(name)]
    return sorted({name for name, _ in found})


def find_faults(table: Mapping[str, Mapping[str, Wheel]], requirements: str) -> Iterator[str]:
    """Yield what the table lacks, has too much, or names wrongly."""
    for target in TARGETS:
        pins = read_pins(requirements, target)
        wheels = table.get(target.name, {})
        product = list_product(pins, target)
        yield from (f"{target.name}: {name} has no wheel" for name in product if name not in wheels)
        yield from (f"{target.name}: {name} is not of the product" for name in wheels if name not in product)
        tags = target.list_tags()
        for name, wheel in wheels.items():
            if name not in pins:
                continue
            own, version, _, wheel_tags = parse_wheel_filename(wheel.file)
            if own != name or str(pins[name].specifier) != f"=={version}":
                yield f"{target.name}: {wheel.file} is not {pins[name]}"
            if not tags & wheel_tags:
                yield f"{target.name}: {wheel.file} is for another machine"
            if f"--hash=sha256:{wheel.sha256}" not in requirements:
                yield f"{target.name}: the hash of {wheel.file} is not pinned"


def read_table(text: str) -> dict[str, dict[str, Wheel]]:
    """Return the table."""
    return {
        target: {name: Wheel(*wheel) for name, wheel in wheels.items()}
        for target, wheels in tomllib.loads(text).items()
    }


def render_table(table: Mapping[str, Mapping[str, Wheel]]) -> str:
    """Return the table's text."""
    lines = [HEAD]
    for target, wheels in table.items():
        lines.append(f'["{target}"]')
        lines += [f'{name} = ["{wheel.file}", "{wheel.sha256}"]' for name, wheel in sorted(wheels.items())]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def ask_for_wheels(names: Sequence[str], pins: Mapping[str, Requirement], target: Target) -> dict[str, Wheel]:
    """Return the wheels that the installer would take there; the process ends where one is missing.

    Raises:
        RuntimeError: a wheel needs another Python, or what is not among ``names``.

    """
    platforms = [argument for platform in target.platforms for argument in ("--platform", platform)]
    version = f"--python-version={target.python[0]}.{target.python[1]}"
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--quiet"]
        options.append("--ignore-requires-python")  # the installer means its own; checked below
        place = ["--target", directory, "--report", str(report)]
        texts = [f"{name}{pins[name].specifier}" for name in names]
        command = [sys.executable, "-m", "pip", "install", *options, version, *platforms, *place, *texts]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"{target.name}: the installer finds no wheel; its reason stands above")
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    for install in installs:
        _check_needs(install["metadata"], names, target)
    return {
        str(canonicalize_name(install["metadata"]["name"])): Wheel(
            install["download_info"]["url"].rsplit("/", 1)[1],
            install["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for install in installs
    }


def main() -> None:
    """Ask for every target and write the table."""
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    table = {}
    for target in TARGETS:
        pins = read_pins(requirements, target)
        table[target.name] = ask_for_wheels(list_product(pins, target), pins, target)
    faults = list(find_faults(table, requirements))
    if faults:
        sys.exit("\n".join(faults))
    TABLE.write_text(render_table(table), encoding="utf-8")


def _check_needs(metadata: Mapping[str, Any], names: Sequence[str], target: Target) -> None:
    if target.environment["python_full_version"] not in SpecifierSet(metadata.get("requires_python", "")):
        raise RuntimeError(f"{metadata['name']} is not for Python {target.environment['python_version']}")
    for text in metadata.get("requires_dist", []):
        needed = Requirement(text)
        is_needed = needed.marker is None or needed.marker.evaluate({**target.environment, "extra": ""})
        if is_needed and canonicalize_name(needed.name) not in names:
            raise RuntimeError(f"{metadata['name']} needs {needed.name}, which is not among the pins")


@cache
def _read_needs(name: str) -> tuple[Requirement, ...]:
    try:
        return tuple(Requirement(text) for text in requires(name) or ())
    except PackageNotFoundError:
        return ()


if __name__ == "__main__":
    main()
