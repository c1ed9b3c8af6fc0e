"""What cannot be played is refused before anything starts, with the flag, the line and what to do."""

from pathlib import Path

import pytest

from cli.demo.day import DayPlan, plan_day
from cli.demo.options import build_options, find_packaged
from cli.failure import CliError, ExitCode
from tests.cli.conftest import Command

SIMBENCH = find_packaged("data/simbench/simbench_10homes_7d_15min.csv")
SPRING = find_packaged("data/simbench/simbench_10homes_dst_spring_15min.csv")
AUTUMN = find_packaged("data/simbench/simbench_10homes_dst_autumn_15min.csv")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--day", "-1"], "--day -1: days count from 0"),
        (["--day", "7"], "--day 7: "),
        (["--homes", "0"], "--homes 0: between 1 and"),
        (["--homes", "11"], "--homes 11: "),
        (["--homes", "100000"], "--homes 100000: between 1 and"),
        (["--validators", "3"], "--validators 3: between 4"),
        (["--validators", "1000"], "--validators 1000: between 4"),
        (["--feed-in", "-1"], "--feed-in -1: between 0"),
        (["--retail", "1000000001"], "--retail 1000000001: between 0"),
        (["--feed-in", "220001"], "--feed-in 220001: above the retail price 220000"),
        (["--data", "nonsuch.csv"], "--data nonsuch.csv: "),
        (["--context", "nonsuch.csv"], "--context nonsuch.csv: "),
        (["--day", "x"], "--day"),
        (["--colour"], "No such option: --colour"),
    ],
)
def test_a_wrong_flag_is_a_usage_error_of_one_line(
    gridbft: Command, arguments: list[str], answer: str
) -> None:
    ended = gridbft("demo", *arguments)
    assert ended.code == ExitCode.USAGE
    assert answer in ended.line
    assert ended.out == ""


def test_a_feed_in_above_the_constant_retail_price_is_refused(gridbft: Command) -> None:
    ended = gridbft("demo", "--data", SIMBENCH, "--feed-in", "5", "--retail", "4")
    assert ended.code == ExitCode.USAGE
    assert "--feed-in 5: above the retail price 4" in ended.line


def test_a_directory_in_use_is_never_played_in(tmp_path: Path, gridbft: Command) -> None:
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    ended = gridbft("demo", "--home", tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "not empty" in ended.line
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "precious"


def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, gridbft: Command) -> None:
    path = tmp_path / "homes.csv"
    lines = SIMBENCH.read_text(encoding="utf-8").splitlines()
    spoilt = lines[3].rsplit(",", 1)[0] + ",x"
    path.write_text("\n".join([*lines[:3], spoilt, *lines[4:]]), encoding="utf-8")
    ended = gridbft("demo", "--data", path)
    assert ended.code == ExitCode.USAGE
    assert f"{path}, line 4: " in ended.line


def plan(
    data: Path | None = None, *, day: int = 0, homes: int | None = None, retail: int = 220_000
) -> DayPlan:
    options = build_options(
        data=data,
        context=None,
        day=day,
        homes=homes,
        validators=4,
        feed_in=80_000,
        retail=retail,
        kill_primary=True,
        tem=False,
        as_json=True,
        home=None,
        keep=False,
    )
    return plan_day(options)


def test_a_file_that_begins_with_time_itself_is_refused(tmp_path: Path, gridbft: Command) -> None:
    path = tmp_path / "homes.csv"
    heading = "slot_start_utc,home,import_wh,export_wh,reg_import_wh,reg_export_wh"
    path.write_text(f"{heading}\n1970-01-01T00:00:00Z,A,1,0,1,0\n1970-01-01T01:00:00Z,A,1,0,2,0\n")
    ended = gridbft("demo", "--data", path)
    assert ended.code == ExitCode.USAGE
    assert "begins before" in ended.line


@pytest.mark.parametrize(
    ("data", "day", "slots"),
    [(None, 0, 24), (None, 6, 24), (SIMBENCH, 0, 96), (SPRING, 0, 92), (AUTUMN, 0, 96), (AUTUMN, 1, 4)],
)
def test_a_day_is_24_hours_from_the_first_slot_and_a_short_last_one_is_played_as_it_is(
    data: Path | None, day: int, slots: int
) -> None:
    assert len(plan(data, day=day).slots) == slots


def test_prices_come_from_the_context_and_else_from_the_flag() -> None:
    packaged = plan(retail=1)
    assert {slot.retail_price for slot in packaged.slots} == {220_000, 540_000}


def test_without_a_context_the_retail_price_is_constant() -> None:
    constant = plan(SIMBENCH, retail=300_000)
    assert {slot.retail_price for slot in constant.slots} == {300_000}


def test_a_feed_in_above_a_slots_price_is_refused_although_the_flag_is_above_it() -> None:
    with pytest.raises(CliError) as caught:
        plan(SIMBENCH, retail=79_999)
    assert caught.value.code == ExitCode.USAGE
