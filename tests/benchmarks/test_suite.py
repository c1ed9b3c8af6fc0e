"""The suite runs on a real network, says what it saw, and two runs are compared by ratios."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.comparison import compare, find_regressions
from benchmarks.harness.results import RESULT_BYTES_MAX
from benchmarks.throughput import PROFILES
from cli.bench import PROFILES as NAMES
from cli.failure import ExitCode
from tests.cli.processes import execute

RUN: dict[str, Any] = {
    "validators": 4,
    "t_verify_us": 50.0,
    "fraction_of_limit": 0.4,
    "single_post_fraction": 0.2,
    "cpu_per_verify": 2.0,
    "wire_amplification": 4.5,
    "latency_ms": {load: {"p50": 10.0, "p99": 40.0} for load in ("idle", "load10", "load50", "load90")},
}


def spoil(field: str, value: object) -> dict[str, Any]:
    return {**deepcopy(RUN), field: value}


def test_the_profiles_of_the_command_are_those_of_the_suite() -> None:
    assert sorted(NAMES) == sorted(PROFILES)


@pytest.mark.parametrize(
    ("field", "value", "is_worse"),
    [
        ("fraction_of_limit", 0.35, True),
        ("fraction_of_limit", 0.37, False),
        ("cpu_per_verify", 2.3, True),
        ("cpu_per_verify", 1.0, False),
        ("wire_amplification", 6.0, True),
        ("t_verify_us", 25.0, True),  # a machine twice as fast that is no sooner done
    ],
)
def test_a_ratio_that_became_worse_by_a_tenth_is_a_regression(
    field: str, value: float, is_worse: bool
) -> None:
    assert bool(find_regressions(compare(RUN, spoil(field, value)))) is is_worse


def test_the_same_figures_on_a_machine_half_as_fast_are_no_regression() -> None:
    slower = spoil("t_verify_us", 100.0)
    slower["latency_ms"] = {load: {"p50": 20.0, "p99": 80.0} for load in RUN["latency_ms"]}
    assert find_regressions(compare(RUN, slower)) == []


@pytest.mark.parametrize("field", ["validators", "fraction_of_limit", "latency_ms"])
def test_what_is_no_run_of_the_suite_is_refused_by_name(field: str) -> None:
    other = {name: value for name, value in RUN.items() if name != field}
    with pytest.raises(ValueError, match=f"it has no {field}"):
        compare(RUN, other)


def test_networks_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="4 and 7 validators"):
        compare(RUN, spoil("validators", 7))


@pytest.mark.parametrize("content", [None, b"no json", b"[1]", b"{}", b" " * (RESULT_BYTES_MAX + 1)])
def test_a_file_that_cannot_be_read_ends_in_one_line(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    for arguments in (
        ["compare", str(path), str(path)],
        ["report", str(path), "-o", str(tmp_path / "page.html")],
    ):
        assert main(arguments) == ExitCode.ERROR
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_run_on_real_validators_tells_every_figure_and_draws_its_page(tmp_path: Path) -> None:
    path, page = tmp_path / "run.json", tmp_path / "page.html"
    ended = execute("bench", "run", "smoke", "-o", str(path), timeout=280)
    assert ended.returncode == ExitCode.OK, ended.stderr
    run = json.loads(path.read_bytes())
    assert run["lost"] == run["duplicated"] == 0
    assert 0 < run["fraction_of_limit"] < 1
    assert run["failover_s"] > 0
    assert set(run["latency_ms"]) == {"idle", "one_client", "load10", "load50", "load90"}
    assert all(each["result"]["confirmed"] for each in run["runs"])
    assert run["machine"]["cpus"] > 0
    assert execute("bench", "report", str(path), "-o", str(page)).returncode == ExitCode.OK
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 6, "four plots of the run, the kept grid and the kept growth"
    assert not any(mark in text for mark in ("<script src", "<link", "<img"))
    assert execute("bench", "compare", str(path), str(path)).returncode == ExitCode.OK


def test_an_unknown_profile_is_a_usage_error() -> None:
    ended = execute("bench", "run", "forever")
    assert ended.returncode == ExitCode.USAGE
    assert "there are short, standard, smoke" in ended.stderr
