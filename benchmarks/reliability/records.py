"""What is known of reliability, as data: a record for each campaign that ran, the bugs found, the cases and goals."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from benchmarks.reliability.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "benchmarks" / "results" / "reliability"
CASES = ROOT / "tests" / "scenarios" / "cases.toml"
FILE_BYTES_MAX = 1_048_576
"""A record with thousands of violations is cut where it is written; nothing here is longer."""

T = TypeVar("T")


class RecordError(Exception):
    """A file of records is not one; the message names it and what is wrong."""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a campaign ran."""

    cpu: str
    cores: int
    memory_mb: int
    python: str
    system: str


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One campaign: what ran, on which commit and machine, when (UTC), for how long, and the line it ended with."""

    method: str
    commit: str
    date: str
    machine: Machine
    command: str
    seconds: float
    exit_code: int
    figures: dict[str, Any]

    @property
    def violations(self) -> list[str]:
        """Return what the campaign found wrong, one line each."""
        return METHODS[self.method].list_violations(self.figures)

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found wrong."""
        return self.exit_code == 0 and not self.violations


class Bug(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bug, the method that found it, and the test or seed that keeps it away."""

    method: str
    text: str
    test: str


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case of the protocol and what covers it: ``path/to/test.py::name``, a scenario's file, or a seed."""

    number: int
    title: str
    tests: list[str]


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a method shall go before a release: one of its figures, and the count to reach."""

    method: str
    figure: str
    goal: int


class _Bugs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bug: list[Bug] = []


class _Cases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    case: list[Case] = []


class _Goals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    goal: list[Goal] = []


def load_records(folder: Path = RECORDS) -> list[Record]:
    """Return all records, by method in the order of the page, then by file.

    Raises:
        RecordError: a file is no record, or of a method that nobody knows.

    """
    found = [_read_record(path) for path in sorted(folder.glob("*.json"))]
    order = list(METHODS)
    return sorted(found, key=lambda record: order.index(record.method))


def load_bugs(path: Path = RECORDS / "bugs.toml") -> list[Bug]:
    """Return the bugs found.

    Raises:
        RecordError: the file is no list of bugs.

    """
    bugs = _read_toml(path, _Bugs).bug
    for bug in bugs:
        if bug.method not in {*METHODS, "review"}:
            raise RecordError(
                f"{path.name}: no such method: {bug.method}; there are {', '.join(METHODS)}, review"
            )
    return bugs


def load_cases(path: Path = CASES) -> list[Case]:
    """Return the cases of the protocol by their numbers.

    Raises:
        RecordError: the file is no list of cases.

    """
    return sorted(_read_toml(path, _Cases).case, key=lambda case: case.number)


def load_goals(path: Path = RECORDS / "goals.toml") -> list[Goal]:
    """Return how far each method shall go.

    Raises:
        RecordError: the file is no list of goals.

    """
    return _read_toml(path, _Goals).goal


def _read_record(path: Path) -> Record:
    try:
        record = msgspec.json.decode(_read(path), type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{path.name}: no record: {error}; run the campaign again through the recorder"
        ) from None
    if record.method not in METHODS:
        raise RecordError(f"{path.name}: no such method: {record.method}; there are {', '.join(METHODS)}")
    return record


def _read_toml(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(_read(path).decode("utf-8")), kind)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RecordError(f"{path.name}: {error}; correct that place") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise RecordError(f"{path.name}: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise RecordError(f"{path.name}: longer than {FILE_BYTES_MAX} bytes")
    return content
