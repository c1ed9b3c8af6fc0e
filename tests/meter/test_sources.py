"""Files of homes, prices and readings: read whole and exactly, or refused with file, line and reason."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.reading import MeterStatus
from meter.sources.csv import HomeDay, read_context, read_homes, read_readings
from meter.sources.table import LINE_BYTES_MAX, SourceError, SourceProblem, format_time
from primitives.ids import UnixSeconds

DATA = Path(__file__).resolve().parents[2] / "cli" / "demo" / "data"
CITYLEARN = DATA / "citylearn" / "citylearn_10homes_7d_60min.csv"
CONTEXT = DATA / "citylearn" / "citylearn_context_7d_60min.csv"
SIMBENCH = DATA / "simbench"

HOMES_HEADING = "slot_start_utc,home,import_wh,export_wh,reg_import_wh,reg_export_wh"
HOMES = [
    HOMES_HEADING,
    "2017-06-12T08:00:00Z,A,10,0,1010,500",
    "2017-06-12T09:00:00Z,A,20,1,1030,501",
    "2017-06-12T08:00:00Z,B,5,7,2005,607",
    "2017-06-12T09:00:00Z,B,0,0,2005,607",
]
READINGS = [
    "time_utc,import_wh,export_wh,meter,status",
    "2017-06-12T09:00:00Z,1010,500,A,G",
    "2017-06-12T10:00:00Z,1030,501,A,substitute",
    "2017-06-12T09:00:00Z,2005,607,B,",
]
PRICES = [
    "slot_start_utc,retail_price_uusd_per_kwh,carbon_g_per_kwh",
    "2017-06-12T08:00:00Z,220000,172",
    "2017-06-12T09:00:00Z,540000,163",
]


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "file.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def spoil(lines: list[str], number: int, line: str) -> list[str]:
    """The lines with the one of this number (from 1) replaced."""
    return [*lines[: number - 1], line, *lines[number:]]


def refusal(read: Callable[[Path], object], path: Path) -> tuple[SourceProblem, int | None]:
    with pytest.raises(SourceError) as raised:
        read(path)
    message = str(raised.value)
    assert "\n" not in message
    assert str(path) in message
    assert raised.value.line is None or f"line {raised.value.line}:" in message
    return raised.value.problem, raised.value.line


def sum_by_home(path: Path, first_s: int, last_s: int) -> dict[str, tuple[int, int]]:
    """An independent reading of the file: energy of each home between two instants."""
    sums: dict[str, tuple[int, int]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if format_time(first_s) <= row["slot_start_utc"] < format_time(last_s):
                before = sums.get(row["home"], (0, 0))
                sums[row["home"]] = (
                    before[0] + int(row["import_wh"]),
                    before[1] + int(row["export_wh"]),
                )
    return sums


def sum_day(home: HomeDay) -> tuple[int, int]:
    return sum(slot.import_wh for slot in home.slots), sum(slot.export_wh for slot in home.slots)


@pytest.mark.parametrize(
    ("path", "slot_s", "slots_of_days"),
    [
        (CITYLEARN, 3600, [24] * 7),
        (SIMBENCH / "simbench_10homes_7d_15min.csv", 900, [96] * 7),
        (SIMBENCH / "simbench_10homes_dst_autumn_15min.csv", 900, [96, 4]),
        (SIMBENCH / "simbench_10homes_dst_spring_15min.csv", 900, [92]),
    ],
    ids=["hours", "quarters", "autumn", "spring"],
)
def test_every_day_of_the_real_files_is_read_to_the_last_unit(
    path: Path, slot_s: int, slots_of_days: list[int]
) -> None:
    file = read_homes(path)
    assert file.slot_s == slot_s
    assert file.day_count == len(slots_of_days)
    assert len(file.homes) == 10
    assert list(file.homes) == sorted(file.homes)
    for number, slots in enumerate(slots_of_days):
        day = file.get_day(number)
        assert len(day.starts_s) == slots
        assert day.starts_s[0] == file.first_s + number * 86400
        expected = sum_by_home(path, day.starts_s[0], day.starts_s[-1] + slot_s)
        assert {home.home: sum_day(home) for home in day.homes} == expected
        for home in day.homes:
            assert tuple(slot.start_s for slot in home.slots) == day.starts_s
            last = home.slots[-1]
            assert last.import_register_wh - home.opening_import_wh == expected[home.home][0]
            assert last.export_register_wh - home.opening_export_wh == expected[home.home][1]


def test_the_opening_register_is_the_first_register_less_the_energy_of_its_slot() -> None:
    home = read_homes(CITYLEARN).get_day(0).homes[0]
    assert (home.home, home.opening_import_wh, home.opening_export_wh) == ("CL01", 1_001_000, 1000)
    assert (home.slots[0].import_wh, home.slots[0].import_register_wh) == (1521, 1_002_521)


def test_a_later_day_opens_where_the_day_before_closed() -> None:
    file = read_homes(CITYLEARN)
    for before, after in zip(file.get_day(2).homes, file.get_day(3).homes, strict=True):
        assert after.opening_import_wh == before.slots[-1].import_register_wh
        assert after.opening_export_wh == before.slots[-1].export_register_wh


def test_the_first_homes_by_name_are_chosen() -> None:
    file = read_homes(CITYLEARN)
    assert [home.home for home in file.get_day(0, homes=3).homes] == ["CL01", "CL02", "CL03"]


@pytest.mark.parametrize("day", [-1, 7, 10**9])
def test_a_day_beyond_the_file_is_refused(day: int) -> None:
    with pytest.raises(SourceError, match="days 0 to 6") as raised:
        read_homes(CITYLEARN).get_day(day)
    assert raised.value.problem is SourceProblem.DAY_BEYOND_FILE


@pytest.mark.parametrize("homes", [0, -1, 11])
def test_more_homes_than_the_file_has_are_refused(homes: int) -> None:
    with pytest.raises(SourceError, match="ask for 1 to 10") as raised:
        read_homes(CITYLEARN).get_day(0, homes)
    assert raised.value.problem is SourceProblem.HOMES_TOO_FEW


def test_homes_may_be_interleaved_columns_in_any_order_lines_blank_and_fields_quoted(tmp_path: Path) -> None:
    plain = read_homes(write(tmp_path, HOMES)).get_day(0)
    fields = [line.split(",") for line in [HOMES[0], HOMES[3], HOMES[1], HOMES[4], HOMES[2]]]
    turned = [",".join(f'"{name}"' for name in [*reversed(row), "more"]) + "\r" for row in fields]
    path = write(tmp_path, ["\ufeff" + turned[0], "", *turned[1:], ""])
    assert read_homes(path).get_day(0) == plain


def test_a_home_is_sorted_by_name_and_not_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, [HOMES[0], *HOMES[3:], *HOMES[1:3]])
    assert read_homes(path).homes == ("A", "B")


@pytest.mark.parametrize(
    ("lines", "problem", "line"),
    [
        ([], SourceProblem.FILE_EMPTY, None),
        (HOMES[:1], SourceProblem.FILE_EMPTY, None),
        (HOMES[:2], SourceProblem.SLOT_LENGTH_UNKNOWN, None),
        (spoil(HOMES, 1, "slot_start_utc,home,import_wh"), SourceProblem.COLUMN_MISSING, 1),
        (spoil(HOMES, 1, HOMES_HEADING + ",home"), SourceProblem.COLUMN_REPEATED, 1),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,20,1,1030"), SourceProblem.ROW_MALFORMED, 3),
        (spoil(HOMES, 3, '2017-06-12T09:00:00Z,"A,20,1,1030,501'), SourceProblem.ROW_MALFORMED, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,20.0,1,1030,501"), SourceProblem.NUMBER_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,,1,1030,501"), SourceProblem.NUMBER_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,2_0,1,1030,501"), SourceProblem.NUMBER_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,٢٠,1,1030,501"), SourceProblem.NUMBER_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,-20,1,1030,501"), SourceProblem.NUMBER_NEGATIVE, 3),
        (
            spoil(HOMES, 3, f"2017-06-12T09:00:00Z,A,20,1,{'9' * 30},501"),
            SourceProblem.NUMBER_TOO_LARGE,
            3,
        ),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A/B,20,1,1030,501"), SourceProblem.NAME_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00,A,20,1,1030,501"), SourceProblem.TIME_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00+02:00,A,20,1,1030,501"), SourceProblem.TIME_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-31T09:00:00Z,A,20,1,1030,501"), SourceProblem.TIME_INVALID, 3),
        (spoil(HOMES, 3, "1969-06-12T09:00:00Z,A,20,1,1030,501"), SourceProblem.TIME_INVALID, 3),
        (spoil(HOMES, 3, "2017-06-12T08:00:00Z,A,20,1,1030,501"), SourceProblem.SLOT_REPEATED, 3),
        (spoil(HOMES, 3, "2017-06-12T07:00:00Z,A,20,1,1030,501"), SourceProblem.SLOT_OUT_OF_ORDER, 3),
        (spoil(HOMES, 3, "2017-06-12T10:00:00Z,A,20,1,1030,501"), SourceProblem.SLOT_LENGTH_UNKNOWN, 3),
        (spoil(HOMES, 5, "2017-06-12T10:00:00Z,B,0,0,2005,607"), SourceProblem.SLOT_MISSING, 5),
        (spoil(HOMES, 5, "2017-06-12T09:30:00Z,B,0,0,2005,607"), SourceProblem.TIME_MISALIGNED, 5),
        ([*HOMES, "2017-06-12T08:00:00Z,A,0,0,1030,501"], SourceProblem.SLOT_REPEATED, 6),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,20,1,1009,501"), SourceProblem.REGISTER_DECREASING, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,20,1,1031,501"), SourceProblem.REGISTER_INCONSISTENT, 3),
        (spoil(HOMES, 3, "2017-06-12T09:00:00Z,A,20,1,1030,500"), SourceProblem.REGISTER_INCONSISTENT, 3),
        (spoil(HOMES, 2, "2017-06-12T08:00:00Z,A,1011,0,1010,500"), SourceProblem.REGISTER_INCONSISTENT, 2),
        (HOMES[:4], SourceProblem.HOME_MISSING, 4),
        ([*HOMES[:3], HOMES[4]], SourceProblem.HOME_MISSING, 4),
        ([*HOMES, "x" * (LINE_BYTES_MAX + 1)], SourceProblem.LINE_TOO_LONG, 6),
    ],
)
def test_a_malformed_file_of_homes_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], problem: SourceProblem, line: int | None
) -> None:
    path = write(tmp_path, lines) if lines else tmp_path / "file.csv"
    path.touch()
    assert refusal(read_homes, path) == (problem, line)


def test_slots_that_begin_off_the_clock_are_refused(tmp_path: Path) -> None:
    lines = [line.replace(":00:00Z", ":10:00Z") for line in HOMES]
    assert refusal(read_homes, write(tmp_path, lines)) == (SourceProblem.TIME_MISALIGNED, 2)


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes("\n".join(HOMES[:2]).encode() + b"\n\xff\xfe\n")
    assert refusal(read_homes, path) == (SourceProblem.NOT_UTF8, 3)


def test_a_missing_file_and_a_directory_are_refused_by_name(tmp_path: Path) -> None:
    assert refusal(read_homes, tmp_path / "none.csv") == (SourceProblem.FILE_UNREADABLE, None)
    assert refusal(read_homes, tmp_path) == (SourceProblem.FILE_UNREADABLE, None)


def test_endless_input_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "zero.csv"
    link.symlink_to("/dev/zero")
    assert refusal(read_homes, link) == (SourceProblem.LINE_TOO_LONG, 1)


def test_a_file_of_too_many_rows_or_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter.sources.table.ROWS_MAX", 3)
    assert refusal(read_homes, write(tmp_path, HOMES)) == (SourceProblem.ROWS_TOO_MANY, 5)
    monkeypatch.setattr("meter.sources.table.FILE_BYTES_MAX", 100)
    assert refusal(read_homes, write(tmp_path, HOMES)) == (SourceProblem.FILE_TOO_LARGE, 2)


def test_a_quoted_message_stays_on_one_printable_line(tmp_path: Path) -> None:
    path = write(tmp_path, spoil(HOMES, 3, "2017-06-12T09:00:00Z,A\x1b[31m\u2028,20,1,1030,501"))
    with pytest.raises(SourceError) as raised:
        read_homes(path)
    assert str(raised.value).isprintable()


def test_the_prices_of_the_real_context_file_are_found_by_slot() -> None:
    context = read_context(CONTEXT)
    with CONTEXT.open(newline="") as file:
        rows = list(csv.DictReader(file))
    starts = read_homes(CITYLEARN).get_day(0).starts_s
    for start_s, row in zip(starts, rows[:24], strict=True):
        assert context.get_retail_price(start_s) == int(row["retail_price_uusd_per_kwh"])


def test_a_price_holds_for_its_slot_and_for_the_quarters_in_it_only(tmp_path: Path) -> None:
    context = read_context(write(tmp_path, [PRICES[0], PRICES[2], PRICES[1]]))
    start_s = read_readings(write(tmp_path, READINGS))[0].reading.time_s - 3600
    found = [context.get_retail_price(UnixSeconds(start_s + quarter * 900)) for quarter in range(-1, 9)]
    assert found == [None, *[220000] * 4, *[540000] * 4, None]


def test_a_gap_between_prices_has_none(tmp_path: Path) -> None:
    lines = [*PRICES[:2], "2017-06-12T12:15:00Z,300000,1"]
    context = read_context(write(tmp_path, lines))
    assert context.slot_s == 900
    start_s = read_readings(write(tmp_path, READINGS))[0].reading.time_s
    assert context.get_retail_price(start_s) is None


@pytest.mark.parametrize(
    ("lines", "problem", "line"),
    [
        (spoil(PRICES, 1, "slot_start_utc,price"), SourceProblem.COLUMN_MISSING, 1),
        (spoil(PRICES, 3, "2017-06-12T09:00:00Z,1000000001,163"), SourceProblem.NUMBER_TOO_LARGE, 3),
        (spoil(PRICES, 3, "2017-06-12T09:00:00Z,-1,163"), SourceProblem.NUMBER_NEGATIVE, 3),
        (spoil(PRICES, 3, "2017-06-12T09:01:00Z,1,163"), SourceProblem.TIME_MISALIGNED, 3),
        (spoil(PRICES, 3, PRICES[1]), SourceProblem.SLOT_REPEATED, 3),
    ],
)
def test_a_malformed_file_of_prices_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], problem: SourceProblem, line: int
) -> None:
    assert refusal(read_context, write(tmp_path, lines)) == (problem, line)


def test_readings_are_read_with_meter_and_status(tmp_path: Path) -> None:
    rows = read_readings(write(tmp_path, READINGS), 3600)
    assert [(row.line, row.meter, row.reading.status) for row in rows] == [
        (2, "A", MeterStatus.GOOD),
        (3, "A", MeterStatus.SUBSTITUTE),
        (4, "B", MeterStatus.GOOD),
    ]
    assert (rows[1].reading.import_wh, rows[1].reading.export_wh) == (1030, 501)
    assert format_time(rows[1].reading.time_s) == "2017-06-12T10:00:00Z"


def test_readings_need_neither_meter_nor_status(tmp_path: Path) -> None:
    lines = ["time_utc,import_wh,export_wh", "2017-06-12T09:00:00Z,1010,500"]
    (row,) = read_readings(write(tmp_path, lines))
    assert (row.meter, row.reading.status) == (None, MeterStatus.GOOD)


@pytest.mark.parametrize(
    ("lines", "problem", "line"),
    [
        (READINGS[:1], SourceProblem.FILE_EMPTY, None),
        (spoil(READINGS, 1, "time_utc,import_wh,meter,status"), SourceProblem.COLUMN_MISSING, 1),
        (spoil(READINGS, 3, "2017-06-12T10:00:00Z,1009,501,A,G"), SourceProblem.REGISTER_DECREASING, 3),
        (spoil(READINGS, 3, "2017-06-12T10:00:00Z,1030,499,A,G"), SourceProblem.REGISTER_DECREASING, 3),
        (spoil(READINGS, 3, "2017-06-12T09:00:00Z,1030,501,A,G"), SourceProblem.SLOT_REPEATED, 3),
        (spoil(READINGS, 3, "2017-06-12T08:00:00Z,1030,501,A,G"), SourceProblem.SLOT_OUT_OF_ORDER, 3),
        (spoil(READINGS, 3, "2017-06-12T09:15:00Z,1030,501,A,G"), SourceProblem.TIME_MISALIGNED, 3),
        (spoil(READINGS, 3, "2017-06-12T10:00:00Z,1030,501,A,Q"), SourceProblem.STATUS_UNKNOWN, 3),
        (spoil(READINGS, 3, "2017-06-12T10:00:00Z,1030,501,,G"), SourceProblem.NAME_INVALID, 3),
        (spoil(READINGS, 3, "2017-06-12T10:00:00Z,1 030,501,A,G"), SourceProblem.NUMBER_INVALID, 3),
    ],
)
def test_a_malformed_file_of_readings_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], problem: SourceProblem, line: int | None
) -> None:
    assert refusal(lambda path: read_readings(path, 3600), write(tmp_path, lines)) == (problem, line)


def test_too_many_readings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter.sources.csv.READINGS_MAX", 2)
    assert refusal(read_readings, write(tmp_path, READINGS)) == (SourceProblem.ROWS_TOO_MANY, 4)


FIELDS = st.sampled_from(
    [
        "2017-06-12T08:00:00Z",
        "2017-06-12T09:00:00Z",
        "A",
        "B",
        "0",
        "1",
        "10",
        "-1",
        "1e3",
        "",
        '"',
        "\0",
        "é",
    ]
) | st.text(max_size=5)
LINES = st.lists(st.lists(FIELDS, min_size=5, max_size=7).map(",".join), max_size=6)


@pytest.mark.parametrize("read", [read_homes, read_context, read_readings])
@given(content=st.binary(max_size=400) | LINES.map("\n".join).map(str.encode), with_heading=st.booleans())
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_read_or_refused_by_the_named_error_only(
    tmp_path_factory: pytest.TempPathFactory,
    read: Callable[[Path], object],
    content: bytes,
    with_heading: bool,
) -> None:
    heading = "slot_start_utc,home,import_wh,export_wh,reg_import_wh,reg_export_wh,time_utc\n"
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(heading.encode() + content if with_heading else content)
    message = ""
    try:
        read(path)
    except SourceError as error:
        message = str(error)
    assert "\n" not in message


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=120),
    st.sampled_from([900, 3600]),
)
@settings(deadline=None)
def test_whatever_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, energies: list[tuple[int, int]], slot_s: int
) -> None:
    imports, exports, lines = 1000, 2000, [HOMES_HEADING]
    for index, (import_wh, export_wh) in enumerate(energies):
        imports, exports = imports + import_wh, exports + export_wh
        lines.append(f"{format_time(index * slot_s)},A,{import_wh},{export_wh},{imports},{exports}")
    file = read_homes(write(tmp_path_factory.getbasetemp(), lines))
    days = [file.get_day(day).homes[0] for day in range(file.day_count)]
    assert [(slot.import_wh, slot.export_wh) for day in days for slot in day.slots] == energies
    assert days[0].opening_import_wh == 1000
    assert days[-1].slots[-1].export_register_wh == exports
