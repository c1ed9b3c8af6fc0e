"""Every bad file, home and flag ends in one line that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.demo.options import PACKAGED_CONTEXT, PACKAGED_READINGS, find_packaged
from cli.failure import ExitCode
from tests.cli.conftest import Command

HOMES = find_packaged(PACKAGED_READINGS)
CONTEXT = find_packaged(PACKAGED_CONTEXT)
SPRING = find_packaged("data/simbench/simbench_10homes_dst_spring_15min.csv")
AUTUMN = find_packaged("data/simbench/simbench_10homes_dst_autumn_15min.csv")


def refuse(gridbft: Command, *flags: object) -> str:
    ended = gridbft("simulate", "tem", *flags)
    assert ended.code == ExitCode.USAGE, ended
    assert ended.out == ""
    return ended.line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--form", "barter"), "--form barter: bilateral or exchange"),
        (("--day", "7"), "--day 7"),
        (("--day", "-1"), "--day -1: between"),
        (("--days", "8"), "--day 7"),
        (("--rho", "0"), "--rho 0"),
        (("--rho", "nan"), "--rho nan"),
        (("--rho", "5000"), "--rho 5000"),
        (("--tolerance", "-1"), "--tolerance -1"),
        (("--iterations", "0"), "--iterations 0"),
        (("--balancing", "1"), "--balancing 1"),
        (("--workers", "0"), "--workers 0"),
        (("--fee", "-1"), "--fee -1"),
        (("--preference", "9", "--form", "exchange"), "--preference: an exchange has no partners"),
        (("--feed-in", "900000"), "--feed-in 900000: above the retail price"),
        (("--only", "CL01,CL99"), "has no home CL99"),
        (("--only", "CL01,CL01"), "a home is named twice"),
        (("--only", "CL01"), "at least two homes"),
        (("--count", "1"), "--count 1"),
        (("--count", "5", "--only", "CL01"), "--only and --count"),
        (("--count", "60"), "use --form exchange"),
        (("--forecast", "oracle"), "--forecast oracle: one of file, persistence, weekday"),
        (("--homes", "/absent.csv"), "--homes /absent.csv: cannot be read"),
        (("--spec", "/absent.toml"), "--spec: FILE_UNREADABLE: /absent.toml"),
        (("-o", "/absent/report.html"), "the directory /absent does not exist"),
    ],
)
def test_a_bad_flag_is_named(gridbft: Command, flags: tuple[object, ...], words: str) -> None:
    assert words in refuse(gridbft, *flags)


def spoil(tmp_path: Path, source: Path, change: Callable[[list[str]], list[str]]) -> Path:
    path = tmp_path / source.name
    path.write_text("\n".join(change(source.read_text("utf-8").splitlines())) + "\n", encoding="utf-8")
    return path


def test_a_context_with_a_missing_hour_is_named(tmp_path: Path, gridbft: Command) -> None:
    path = spoil(tmp_path, CONTEXT, lambda lines: lines[:6] + lines[7:])
    line = refuse(gridbft, "--context", path)
    assert f"--context {path}: there is no price for the slot 2017-06-12T13:00:00Z" in line


def test_homes_with_a_missing_hour_are_named(tmp_path: Path, gridbft: Command) -> None:
    path = spoil(tmp_path, HOMES, lambda lines: lines[:6] + lines[7:])
    line = refuse(gridbft, "--homes", path, "--context", CONTEXT)
    assert f"{path}, line 7: home CL01: the slot 2017-06-12T13:00:00Z is expected here" in line


def test_a_home_without_the_others_slots_is_named(tmp_path: Path, gridbft: Command) -> None:
    path = spoil(tmp_path, HOMES, lambda lines: lines[:-1])
    assert "home CL15 has other slots than home CL01" in refuse(gridbft, "--homes", path)


def test_an_impossible_battery_is_named_with_its_file_and_home(tmp_path: Path, gridbft: Command) -> None:
    path = tmp_path / "homes.toml"
    path.write_text("[default]\n[home.CL03.battery]\nefficiency = 1.5\n", encoding="utf-8")
    line = refuse(gridbft, "--spec", path)
    assert f"BATTERY_IMPOSSIBLE: {path}, home CL03: efficiency 1.5" in line


@pytest.mark.parametrize("workers", [1, 2])
def test_a_home_whose_day_does_not_fit_its_connection_is_named(
    tmp_path: Path, gridbft: Command, workers: int
) -> None:
    path = tmp_path / "homes.toml"
    path.write_text("[default]\n[home.CL10]\ngrid_w = 500\n", encoding="utf-8")
    line = refuse(gridbft, "--spec", path, "--workers", workers)
    assert "DAY_INFEASIBLE" in line
    assert "CL10" in line


@pytest.mark.parametrize(("path", "slots"), [(SPRING, 92), (AUTUMN, 100)])
def test_a_day_on_which_the_clocks_change_is_one_round(gridbft: Command, path: Path, slots: int) -> None:
    ended = gridbft("simulate", "tem", "--homes", path, "--form", "exchange", "--json")
    assert ended.code == ExitCode.OK
    assert '"converged":true' in ended.out
    assert f"the day has {slots} slots: the clocks change" in ended.err


def test_everything_a_home_can_have_takes_part(tmp_path: Path, gridbft: Command) -> None:
    path = tmp_path / "homes.toml"
    path.write_text(
        """
[default.shift]
[home.CL01]
demand_price = 0.02
[home.CL01.battery]
[home.CL02.car]
energy_wh = 8000
from_hour = 10
to_hour = 20
[home.CL03.heating]
[home.CL04]
appliances = [{ name = "washer", energy_wh = 1500, power_w = 2000, from_hour = 6, to_hour = 18 }]
offers = [{ reward = 0.3, baseline_wh = 1500, from_hour = 17, to_hour = 20 }]
""",
        encoding="utf-8",
    )
    ended = gridbft("simulate", "tem", "--spec", path, "--json")
    assert ended.code == ExitCode.OK, ended.err
    assert '"converged":true' in ended.out
