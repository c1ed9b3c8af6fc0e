"""A file of registers that somebody appends to, as a source: `time_utc,import_wh,export_wh[,meter][,status]`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from meter.collect.observation import (
    DropError,
    Dropped,
    DropReason,
    LinkState,
    Observation,
    Observed,
)
from meter.reading import parse_status
from meter.sources.csv import READING_COLUMNS, READING_COLUMNS_OPTIONAL
from meter.sources.follow import Begun, Line, follow_lines
from meter.sources.table import (
    LINE_BYTES_MAX,
    Row,
    SourceError,
    SourceProblem,
    find_columns,
    split_line,
)
from primitives.ids import UnixMs, WattHours
from vm.contracts.energy.metering import REGISTER_WH_MAX

REASONS = {
    SourceProblem.NUMBER_INVALID: DropReason.NUMBER_INVALID,
    SourceProblem.NUMBER_NEGATIVE: DropReason.NUMBER_INVALID,
    SourceProblem.NUMBER_TOO_LARGE: DropReason.NUMBER_INVALID,
    SourceProblem.TIME_INVALID: DropReason.TIME_INVALID,
}
"""Problems of a row that have a name of their own here; any other makes the line malformed."""


class RowReader:
    """Reads rows under the heading that stands at the beginning of each file; rows of other meters are passed over."""

    def __init__(self, path: Path, meter: str) -> None:
        """Take the file's name for complaints, and whose rows are wanted."""
        self._path = path
        self._meter = meter
        self._columns: list[int | None] | None = None
        self._is_heading = True
        self._width = 0

    def begin(self) -> None:
        """Expect a heading."""
        self._is_heading = True
        self._columns = None

    def take(self, line: bytes) -> Observation | None:
        """Return what a line says; None for a heading, a blank line or another meter's.

        Raises:
            DropError: HEADING_MISSING, LINE_MALFORMED, NUMBER_INVALID, TIME_INVALID.

        """
        try:
            text = line.decode("utf-8-sig" if self._is_heading else "utf-8")
        except UnicodeDecodeError:
            raise DropError(DropReason.LINE_MALFORMED) from None
        if not text.strip():
            return None
        try:
            fields = split_line(self._path, 0, text)
            if self._is_heading:
                self._is_heading = False
                self._width = len(fields)
                self._columns = find_columns(self._path, 0, fields, READING_COLUMNS, READING_COLUMNS_OPTIONAL)
                return None
            return self._read(fields)
        except SourceError as error:
            reason = DropReason.HEADING_MISSING if self._columns is None else DropReason.LINE_MALFORMED
            raise DropError(REASONS.get(error.problem, reason)) from None

    def _read(self, fields: list[str]) -> Observation | None:
        if self._columns is None:
            raise DropError(DropReason.HEADING_MISSING)
        if len(fields) != self._width:
            raise DropError(DropReason.LINE_MALFORMED)
        row = Row(
            self._path, 0, tuple(None if place is None else fields[place].strip() for place in self._columns)
        )
        if row.fields[3] is not None and row.fields[3] != self._meter:
            return None
        status = parse_status(row.get_text(4))
        if status is None:
            raise DropError(DropReason.LINE_MALFORMED)
        time_ms = UnixMs(row.get_time(0, READING_COLUMNS[0]) * 1000)
        imported, exported = (
            WattHours(row.get_number(place, READING_COLUMNS[place], REGISTER_WH_MAX)) for place in (1, 2)
        )
        return Observation(time_ms, imported, exported, status)


async def read_csv(path: Path, meter: str, *, is_followed: bool) -> AsyncGenerator[Observed, None]:
    """Yield the registers of a file's rows, each once, at the times that the rows say."""
    reader = RowReader(path, meter)
    async with aclosing(follow_lines(path, LINE_BYTES_MAX, is_followed=is_followed)) as steps:
        async for step in steps:
            match step:
                case Begun():
                    reader.begin()
                case Line(text=text):
                    try:
                        found = reader.take(text)
                    except DropError as error:
                        yield Dropped(error.reason)
                        continue
                    if found is not None:
                        yield found
                case LinkState() | Dropped():
                    yield step
