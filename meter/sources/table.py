"""Rows of a CSV file, one at a time: bounded, strict, and with file and line in every complaint."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from primitives.ids import UnixSeconds
from vm.genesis import is_name_sound

LINE_BYTES_MAX = 4096
"""Ten columns take 120 bytes; a longer line is not a table of ours."""
FILE_BYTES_MAX = 256 * 1024 * 1024
"""Fifty homes with quarter hours for a year take 150 MB."""
ROWS_MAX = 2_000_000
"""Fifty homes with quarter hours for a year are 1.75 million rows, 32 MB in memory."""
COLUMNS_MAX = 64
"""The widest of the known files has 17."""
SHOWN_CHARACTERS_MAX = 40
"""What a message quotes of a bad field."""


class SourceProblem(StrEnum):
    """What can be wrong with a file of readings or prices: the whole list."""

    FILE_UNREADABLE = "FILE_UNREADABLE"
    FILE_EMPTY = "FILE_EMPTY"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    NOT_UTF8 = "NOT_UTF8"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    ROWS_TOO_MANY = "ROWS_TOO_MANY"
    ROW_MALFORMED = "ROW_MALFORMED"
    COLUMN_MISSING = "COLUMN_MISSING"
    COLUMN_REPEATED = "COLUMN_REPEATED"
    NUMBER_INVALID = "NUMBER_INVALID"
    NUMBER_NEGATIVE = "NUMBER_NEGATIVE"
    NUMBER_TOO_LARGE = "NUMBER_TOO_LARGE"
    NAME_INVALID = "NAME_INVALID"
    STATUS_UNKNOWN = "STATUS_UNKNOWN"
    TIME_INVALID = "TIME_INVALID"
    TIME_MISALIGNED = "TIME_MISALIGNED"
    SLOT_LENGTH_UNKNOWN = "SLOT_LENGTH_UNKNOWN"
    SLOT_REPEATED = "SLOT_REPEATED"
    SLOT_OUT_OF_ORDER = "SLOT_OUT_OF_ORDER"
    SLOT_MISSING = "SLOT_MISSING"
    HOME_MISSING = "HOME_MISSING"
    HOMES_TOO_FEW = "HOMES_TOO_FEW"
    HOMES_TOO_MANY = "HOMES_TOO_MANY"
    REGISTER_DECREASING = "REGISTER_DECREASING"
    REGISTER_INCONSISTENT = "REGISTER_INCONSISTENT"
    DAY_BEYOND_FILE = "DAY_BEYOND_FILE"


class SourceError(Exception):
    """A file was refused: ``problem`` names why; the message is one line with file, line number and what to do."""

    def __init__(self, path: Path, line: int | None, problem: SourceProblem, detail: str) -> None:
        """Take the place, the name of the problem and the sentence about it; ``line`` counts from 1."""
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {detail}")
        self.path = path
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Row:
    """A data line: the wanted fields in the order they were asked for, None for an absent optional column."""

    path: Path
    line: int
    fields: tuple[str | None, ...]

    def refuse(self, problem: SourceProblem, detail: str) -> SourceError:
        """Return the error to raise about this line."""
        return SourceError(self.path, self.line, problem, detail)

    def get_text(self, index: int) -> str:
        """Return a field of a required column, or of an optional one that is known to be there."""
        text = self.fields[index]
        return "" if text is None else text

    def get_number(self, index: int, column: str, most: int) -> int:
        """Return a field as a whole number from 0 to ``most``.

        Raises:
            SourceError: NUMBER_INVALID, NUMBER_NEGATIVE, NUMBER_TOO_LARGE.

        """
        text = self.get_text(index)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise self.refuse(
                SourceProblem.NUMBER_INVALID, f"{column} must be a whole number, not {_show(text)}"
            )
        if text.startswith("-"):
            raise self.refuse(SourceProblem.NUMBER_NEGATIVE, f"{column} must not be negative: {_show(text)}")
        if len(digits.lstrip("0")) > len(str(most)) or int(digits) > most:
            raise self.refuse(SourceProblem.NUMBER_TOO_LARGE, f"{column} must be at most {most}")
        return int(digits)

    def get_time(self, index: int, column: str) -> UnixSeconds:
        """Return a field as UTC seconds.

        Raises:
            SourceError: TIME_INVALID; no offset, another offset than UTC, a fraction of a second, before 1970.

        """
        text = self.get_text(index)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._refuse_time(column, text) from None
        if moment.utcoffset() != timedelta(0) or moment.microsecond:
            raise self._refuse_time(column, text)
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
        if seconds < 0:
            raise self._refuse_time(column, text)
        return UnixSeconds(seconds)

    def get_name(self, index: int, column: str) -> str:
        """Return a field as a name.

        Raises:
            SourceError: NAME_INVALID.

        """
        text = self.get_text(index)
        if not is_name_sound(text):
            what = f"{column} must be 1 to 32 letters, digits, dots, dashes, underscores, not {_show(text)}"
            raise self.refuse(SourceProblem.NAME_INVALID, what)
        return text

    def _refuse_time(self, column: str, text: str) -> SourceError:
        what = f"{column} must be UTC from 1970 on, as 2017-06-12T08:00:00Z, not {_show(text)}"
        return self.refuse(SourceProblem.TIME_INVALID, what)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(seconds: int) -> str:
    """Return UTC seconds as people and files write them."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the data lines of a file; columns may stand in any order and others beside them.

    The fields of a row are those of ``required``, then those of ``optional``. Blank lines are passed over.

    Raises:
        SourceError: while iterating, at the first line that is not such a table.

    """
    try:
        with path.open("rb") as file:
            yield from _read_rows(path, file, required, optional)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise SourceError(path, None, SourceProblem.FILE_UNREADABLE, what) from None


def _read_rows(path: Path, file: BinaryIO, required: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    positions: list[int | None] | None = None
    width = rows = 0
    for number, line in _read_lines(path, file):
        fields = split_line(path, number, line)
        if positions is None:
            positions = find_columns(path, number, fields, required, optional)
            width = len(fields)
            continue
        if len(fields) != width:
            what = f"{len(fields)} fields under a heading of {width}"
            raise SourceError(path, number, SourceProblem.ROW_MALFORMED, what)
        rows += 1
        if rows > ROWS_MAX:
            what = f"more than {ROWS_MAX} rows; split the file"
            raise SourceError(path, number, SourceProblem.ROWS_TOO_MANY, what)
        yield Row(
            path, number, tuple(None if place is None else fields[place].strip() for place in positions)
        )
    if rows == 0:
        what = f"no rows; a heading with {', '.join(required)} and lines under it are needed"
        raise SourceError(path, None, SourceProblem.FILE_EMPTY, what)


def _read_lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield the number and text of the lines that are not blank."""
    number = size = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        size += len(line)
        if len(line) > LINE_BYTES_MAX:
            what = f"longer than {LINE_BYTES_MAX} bytes"
            raise SourceError(path, number, SourceProblem.LINE_TOO_LONG, what)
        if size > FILE_BYTES_MAX:
            what = f"the file is longer than {FILE_BYTES_MAX} bytes; split it"
            raise SourceError(path, number, SourceProblem.FILE_TOO_LARGE, what)
        try:
            # Spreadsheets put a byte order mark before the first line.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise SourceError(path, number, SourceProblem.NOT_UTF8, "not UTF-8 text") from None
        if text.strip():
            yield number, text.rstrip("\r\n")


def split_line(path: Path, number: int, line: str) -> list[str]:
    """Return the fields of a line.

    Raises:
        SourceError: ROW_MALFORMED.

    """
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        what = f"not a line of a table: {error}"
        raise SourceError(path, number, SourceProblem.ROW_MALFORMED, what) from None


def find_columns(
    path: Path, number: int, heading: list[str], required: Sequence[str], optional: Sequence[str]
) -> list[int | None]:
    """Return where the wanted columns stand in a heading, None for an optional one that is absent.

    Raises:
        SourceError: COLUMN_MISSING, COLUMN_REPEATED, ROW_MALFORMED.

    """
    names = [name.strip() for name in heading]
    if len(names) > COLUMNS_MAX:
        what = f"more than {COLUMNS_MAX} columns"
        raise SourceError(path, number, SourceProblem.ROW_MALFORMED, what)
    positions: list[int | None] = []
    for name in (*required, *optional):
        count = names.count(name)
        if count > 1:
            raise SourceError(
                path, number, SourceProblem.COLUMN_REPEATED, f"the column {name} is there twice"
            )
        if count == 0 and name in required:
            what = f"the column {name} is missing; needed are {', '.join(required)}"
            raise SourceError(path, number, SourceProblem.COLUMN_MISSING, what)
        positions.append(names.index(name) if count else None)
    return positions


def _show(text: str) -> str:
    """Quote a field on one line, shortened."""
    shown = text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"
