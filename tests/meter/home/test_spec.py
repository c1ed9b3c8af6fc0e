"""A home is described in TOML; what is impossible about it is named, with the file and the home."""

from pathlib import Path

import pytest

from meter.home.spec import Battery, HomeBook, HomeError, HomeProblem, HomeSpec, check_home, read_homes

EVERYTHING = """
grid_w = 11000
demand_price = 0.5
[shift]
share = 0.2
[battery]
capacity_wh = 5000
[car]
energy_wh = 8000
from_hour = 20
to_hour = 24
[heating]
gain = 0.7
reference_c = 21
[[appliances]]
name = "dishwasher"
energy_wh = 1200
power_w = 2000
from_hour = 18
to_hour = 22
[[offers]]
reward = 0.3
baseline_wh = 2000
from_hour = 17
to_hour = 19
"""


def read(tmp_path: Path, text: str, name: str = "homes.toml") -> HomeBook:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_homes(path)


def test_a_file_describes_several_homes_and_any_other(tmp_path: Path) -> None:
    book = read(tmp_path, "[default]\ngrid_w = 9000\n[home.CL01.battery]\ncapacity_wh = 5000\n")
    battery = book.get("CL01").battery
    assert battery is not None
    assert battery.capacity_wh == 5000
    assert book.get("CL02").grid_w == 9000


def test_a_folder_has_a_file_for_each_home(tmp_path: Path) -> None:
    (tmp_path / "CL01.toml").write_text(EVERYTHING, encoding="utf-8")
    (tmp_path / "CL02.toml").write_text("", encoding="utf-8")
    book = read_homes(tmp_path)
    assert book.get("CL01").appliances[0].name == "dishwasher"
    assert book.get("CL02") == HomeSpec()


def test_a_home_that_nobody_describes_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="NAME_INVALID: home CL09 is not described"):
        read(tmp_path, "[home.CL01]\n").get("CL09")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[home.a.battery]\nefficiency = 1.2\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\nefficiency = 0.0\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\ncapacity_wh = -1\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\npower_w = 0\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\ncharge_min = 0.9\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\ncharge_start = 0.95\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\ncharge_end = 0.05\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\nwear = -0.1\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a.battery]\nwear = nan\n", HomeProblem.BATTERY_IMPOSSIBLE),
        ("[home.a]\ngrid_w = 0\n", HomeProblem.GRID_IMPOSSIBLE),
        ("[home.a]\ndemand_price = -1.0\n", HomeProblem.GRID_IMPOSSIBLE),
        ("[home.a.shift]\nshare = 1.1\n", HomeProblem.SHIFT_IMPOSSIBLE),
        ("[home.a.car]\nenergy_wh = 0\n", HomeProblem.CAR_IMPOSSIBLE),
        ("[home.a.car]\nenergy_wh = 9000\npower_w = 1000\n[home.a.car2]\n", HomeProblem.FILE_MALFORMED),
        (f"[home.a.car]\nenergy_wh = {10**400}\n", HomeProblem.CAR_IMPOSSIBLE),
        (f"[home.a.car]\nenergy_wh = {'9' * 5000}\n", HomeProblem.FILE_MALFORMED),
        ("[home.a.car]\nenergy_wh = 30000\npower_w = 1000\n", HomeProblem.CAR_IMPOSSIBLE),
        ("[home.a.car]\nenergy_wh = 1\nfrom_hour = 5\nto_hour = 5\n", HomeProblem.CAR_IMPOSSIBLE),
        ("[home.a.heating]\ngain = 0.0\n", HomeProblem.HEATING_IMPOSSIBLE),
        ("[home.a.heating]\nreference_c = 200.0\n", HomeProblem.HEATING_IMPOSSIBLE),
        ("[home.'a b']\n", HomeProblem.NAME_INVALID),
        ("[home.a\n", HomeProblem.FILE_MALFORMED),
        ("[home.a]\nbatery = 1\n", HomeProblem.FILE_MALFORMED),
        ("[home.a]\ngrid_w = 'much'\n", HomeProblem.FILE_MALFORMED),
    ],
)
def test_an_impossible_home_is_named(tmp_path: Path, text: str, problem: HomeProblem) -> None:
    with pytest.raises(HomeError) as caught:
        read(tmp_path, text)
    assert caught.value.problem is problem
    assert str(caught.value).startswith(f"{problem.value}: {tmp_path}")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(HomeError) as caught:
            read_homes(path)
        assert caught.value.problem is HomeProblem.FILE_UNREADABLE


def test_an_appliance_that_does_not_fit_its_window_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(EVERYTHING.replace("1200", "9000"), encoding="utf-8")
    with pytest.raises(HomeError, match="'dishwasher': 9000 Wh do not fit its window, which holds 8000 Wh"):
        read_homes(tmp_path)


def test_what_the_reference_has_is_possible() -> None:
    check_home(HomeSpec(battery=Battery()))
