"""A whole community on real processes: it settles to the last unit, survives its primary, and leaves nothing behind."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cli.demo.options import PACKAGED_CONTEXT, PACKAGED_READINGS, find_packaged
from cli.failure import ExitCode
from tests.cli.oracle import recompute_bills
from tests.cli.processes import END_TIMEOUT_S, execute, find_processes, launch, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SIMBENCH = find_packaged("data/simbench/simbench_10homes_7d_15min.csv")
AUTUMN = find_packaged("data/simbench/simbench_10homes_dst_autumn_15min.csv")

GOOD_CHECKS = {
    "state_roots_equal": True,
    "conservation": True,
    "receipts_failed": 0,
    "caught_up": True,
}


def play(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """Run a demonstration whose temporary files are under ``tmp_path``; return the last line as an object."""
    ended = execute("demo", "--json", *arguments, timeout=200, TMPDIR=str(tmp_path))
    assert ended.returncode == ExitCode.OK, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert find_processes(tmp_path) == []
    assert list(tmp_path.glob("gridbft-demo-*")) == []
    return result


def check_result(result: dict[str, Any], *, homes: int, slots: int) -> None:
    """What holds of every good run."""
    counts = result["transactions"]
    assert counts["submitted"] == counts["committed"] + counts["refused"]
    assert counts["refused"] == 0
    assert counts["committed"] >= homes * slots + homes
    assert (result["homes"], result["slots"], len(result["bills"])) == (homes, slots, homes)
    checks = dict(result["checks"])
    assert checks.pop("receipts_verified") == counts["submitted"]
    assert checks == GOOD_CHECKS
    community = result["community"]
    assert community["rounding_nano"] == 0
    assert community["net_nano"] == sum(bill["net_nano"] for bill in result["bills"].values())
    assert community["saved_nano"] == community["alone_nano"] - community["net_nano"]
    assert all(bill["net_nano"] <= bill["alone_nano"] for bill in result["bills"].values())


def test_a_day_of_ten_real_homes_is_settled_to_the_last_unit_although_the_primary_dies(
    tmp_path: Path,
) -> None:
    result = play(tmp_path)
    check_result(result, homes=10, slots=24)
    assert result["view_changes"] >= 1
    assert result["validators"] == 4
    expected = recompute_bills(
        find_packaged(PACKAGED_READINGS),
        find_packaged(PACKAGED_CONTEXT),
        day=0,
        homes=10,
        feed_in=80_000,
        retail=220_000,
    )
    assert result["bills"] == expected


def test_quarter_hours_of_a_few_homes_work_alike(tmp_path: Path) -> None:
    flags = ("--data", SIMBENCH, "--day", 1, "--homes", 4, "--feed-in", 70_001, "--retail", 310_007)
    result = play(tmp_path, *flags, "--no-kill-primary")
    check_result(result, homes=4, slots=96)
    expected = recompute_bills(SIMBENCH, None, day=1, homes=4, feed_in=70_001, retail=310_007)
    assert result["bills"] == expected


def test_a_short_day_at_the_end_of_a_file_is_played_as_it_is(tmp_path: Path) -> None:
    result = play(tmp_path, "--data", AUTUMN, "--day", 1)
    check_result(result, homes=10, slots=4)
    assert result["bills"] == recompute_bills(AUTUMN, None, day=1, homes=10, feed_in=80_000, retail=220_000)


def test_another_file_of_the_same_columns_and_five_validators(tmp_path: Path) -> None:
    data = tmp_path / "homes.csv"
    write_homes(data)
    result = play(tmp_path, "--data", data, "--validators", 5, "--feed-in", 3, "--retail", 7)
    check_result(result, homes=3, slots=5)
    assert result["validators"] == 5
    assert result["bills"] == recompute_bills(data, None, day=0, homes=3, feed_in=3, retail=7)


def write_homes(path: Path) -> None:
    """Three homes whose shares do not divide: remainders and ties decide. One is called as the utility would be."""
    energies = {"b": [(1, 0), (7, 0), (0, 5), (0, 0), (0, 9)], "a": [(1, 0), (7, 3), (0, 5), (0, 0), (2, 0)]}
    energies["utility"] = [(0, 1), (0, 5), (7, 0), (0, 0), (1, 1)]
    lines = ["slot_start_utc,home,import_wh,export_wh,reg_import_wh,reg_export_wh"]
    for home, slots in energies.items():
        imported, exported = 1000, 0
        for hour, (drawn, fed) in enumerate(slots):
            imported, exported = imported + drawn, exported + fed
            lines.append(f"2020-02-29T{19 + hour}:00:00Z,{home},{drawn},{fed},{imported},{exported}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_stops_in_order_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    process = launch("demo", log=log, TMPDIR=str(tmp_path))
    wait_until(lambda: len(find_processes(tmp_path)) == 4, "four validators run")
    process.send_signal(number)
    assert process.wait(timeout=END_TIMEOUT_S) == 130
    assert "stopped; no process is left" in log.read_text(encoding="utf-8")
    assert find_processes(tmp_path) == []
    assert list(tmp_path.glob("gridbft-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_impatient_user_does_not_keep_the_demonstration_from_removing_its_directory(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    process = launch("demo", log=log, TMPDIR=str(tmp_path))
    wait_until(lambda: len(find_processes(tmp_path)) == 4, "four validators run")
    while list(tmp_path.glob("gridbft-demo-*")) and process.poll() is None:
        process.send_signal(number)
        time.sleep(0.005)
    process.wait(timeout=END_TIMEOUT_S)
    assert find_processes(tmp_path) == []
    assert list(tmp_path.glob("gridbft-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_stopped_before_its_first_validator_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    process = launch("demo", log=log, TMPDIR=str(tmp_path))
    wait_until(lambda: list(tmp_path.glob("gridbft-demo-*")) != [], "its directory is there")
    process.send_signal(number)
    assert process.wait(timeout=END_TIMEOUT_S) == 130
    assert "stopped; no process is left" in log.read_text(encoding="utf-8")
    assert find_processes(tmp_path) == []
    assert list(tmp_path.glob("gridbft-demo-*")) == []


def test_no_validator_outlives_a_demonstration_that_is_killed(tmp_path: Path) -> None:
    process = launch("demo", log=tmp_path / "log", TMPDIR=str(tmp_path))
    wait_until(lambda: len(find_processes(tmp_path)) == 4, "four validators run")
    process.kill()
    process.wait(timeout=END_TIMEOUT_S)
    wait_until(lambda: find_processes(tmp_path) == [], "the validators end by themselves")
