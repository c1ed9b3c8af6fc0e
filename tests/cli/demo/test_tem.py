"""Homes agree on a day's trades on four real validators; the primary and a home die meanwhile; the day is settled."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.failure import ExitCode
from tests.cli.processes import execute, find_processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROUND_AT_MOST_S = 60


def play(tmp_path: Path, *flags: object) -> tuple[dict[str, Any], str]:
    ended = execute("demo", "--tem", "--json", *flags, timeout=280, TMPDIR=str(tmp_path))
    assert ended.returncode == ExitCode.OK, ended.stderr
    assert find_processes(tmp_path) == []
    return json.loads(ended.stdout.splitlines()[-1]), ended.stderr


def check(result: dict[str, Any], homes: int) -> None:
    tem = result["tem"]
    assert tem["converged"] is True
    assert tem["residual_wh"] * 100 <= tem["traded_wh"]
    assert tem["together"] < 0.75 * tem["alone"]
    assert tem["metered"] == pytest.approx(tem["together"], abs=0.02)
    assert len(tem["per_home"]) == homes
    assert all(home["together"] <= home["alone"] for home in tem["per_home"].values())
    checks = result["checks"]
    assert (checks["state_roots_equal"], checks["conservation"], checks["receipts_failed"]) == (True, True, 0)
    assert result["community"]["rounding_nano"] == 0
    bills = result["bills"].values()
    assert sum(bill["agreed_bought_wh"] for bill in bills) == tem["traded_wh"]


def test_ten_homes_agree_in_a_minute_although_the_primary_and_a_home_die(tmp_path: Path) -> None:
    result, told = play(tmp_path)
    check(result, 10)
    assert result["tem"]["seconds"] < ROUND_AT_MOST_S
    assert result["view_changes"] >= 1
    assert result["checks"]["caught_up"] is True
    assert "is killed in iteration 5" in told
    assert "begins anew, knowing nothing" in told


def test_deaths_in_the_middle_change_nothing_but_time(tmp_path: Path) -> None:
    calm, _ = play(tmp_path, "--homes", 4, "--no-kill-primary")
    rough, told = play(tmp_path, "--homes", 4)
    assert "is killed" in told
    for result in (calm, rough):
        check(result, 4)
    for field in ("iterations", "residual_wh", "traded_wh"):
        assert calm["tem"][field] == rough["tem"][field]
    assert calm["tem"]["per_home"] == rough["tem"]["per_home"]
    assert calm["bills"] == rough["bills"]
