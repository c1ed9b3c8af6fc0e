"""The reliability page says what the records say, all of it, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.reliability.__main__ import PAGE, build_page, main
from benchmarks.reliability.methods import METHODS
from benchmarks.reliability.page import HEAD, render
from benchmarks.reliability.recorder import read_figures, read_machine, record, resolve, save
from benchmarks.reliability.records import (
    CASES,
    RECORDS,
    ROOT,
    Bug,
    Case,
    Goal,
    Machine,
    Record,
    RecordError,
    load_bugs,
    load_cases,
    load_goals,
    load_records,
)

MACHINE = Machine("A processor", 2, 7_900, "3.11.7", "Linux x86_64")
SIMULATED: dict[str, Any] = {
    "seeds": 2_000,
    "simulated_s": 41_040.0,
    "heights": 31_337,
    "faults": {"loss": 987_654, "clog": 0},
    "violations": [],
}
CASES_OF_TRUST = range(1, 35)


def made(method: str = "simulation", exit_code: int = 0, **figures: object) -> Record:
    return Record(
        method,
        "0123abc",
        "2026-11-25",
        MACHINE,
        "python -m tests.simulation.run --seeds 0:2000 --json",
        812.3,
        exit_code,
        {**SIMULATED, **figures} if method == "simulation" else dict(figures),
    )


def page_of(*records: Record, bugs: list[Bug] | None = None, cases: list[Case] | None = None) -> str:
    return render(list(records), bugs or [], cases or [], [Goal("simulation", "seeds", 1_000_000)])


def test_the_page_in_the_checkout_is_what_its_records_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == build_page(), "run `make reliability`"


def test_the_page_tells_commit_date_machine_command_figures_and_hits() -> None:
    page = page_of(made())
    assert "| `0123abc` | 2026-11-25 | 2,000 | 11.4 | 31,337 | 812.3 | clean |" in page
    assert "| `loss` | 987,654 |" in page
    assert "| `clog` | 0 |" in page
    assert "- `python -m tests.simulation.run --seeds 0:2000 --json`: A processor, 2 cores, 7,900 MB" in page
    assert "| Seeded simulation | seeds | 2,000 | 1,000,000 |" in page


def test_nothing_on_the_page_is_typed_the_words_of_the_page_have_no_number() -> None:
    words = [HEAD, *(method.title + method.promise for method in METHODS.values())]
    assert [word for word in words if re.search(r"\d", word)] == []
    assert re.findall(r"\d", render([], [], [], [])) == ["0"] * (len(METHODS) + 1)  # bugs of each method


def test_a_record_with_violations_is_shown_as_such_with_each_of_them() -> None:
    page = page_of(made(exit_code=1, violations=["seed 7: I3: two votes", "seed 9: I1"]))
    assert "**2 found wrong**" in page
    assert "- `0123abc`: seed 7: I3: two votes" in page
    assert "| clean |" not in page


def test_a_fault_that_never_hit_and_a_run_that_failed_without_a_violation_are_not_clean() -> None:
    assert "- `0123abc`: never hit: clog" in page_of(made(never_hit=["clog"]))
    assert "**failed**" in page_of(made(exit_code=1))


@pytest.mark.parametrize(
    ("method", "figures", "said"),
    [
        (
            "mutants",
            {"mutants": 31, "caught": 30, "missed": ["quorum"], "canary": "clean"},
            ["not caught: quorum"],
        ),
        (
            "mutants",
            {"mutants": 30, "caught": 30, "missed": [], "canary": "caught"},
            ["the canary, which has no bug, was reported as caught"],
        ),
        ("mutants", {"mutants": 30, "caught": 30, "missed": [], "canary": "clean"}, []),
        (
            "fuzz",
            {"frame": {"executions": 5, "seconds": 1.0, "crashes": 2}, "hello": {"crashes": 0}},
            ["frame: inputs that break a promise: 2"],
        ),
        ("chaos", {"violations": ["a transaction is lost"]}, ["a transaction is lost"]),
        ("corruption", {"cases": 9, "silent": ["journal cut at 3"]}, ["journal cut at 3"]),
        ("twins", {"equivocations": 0}, ["the twins never contradicted themselves"]),
        ("twins", {"equivocations": 5, "violations": []}, []),
    ],
)
def test_what_each_tool_calls_wrong_is_wrong_on_the_page(method: str, figures: Any, said: list[str]) -> None:  # noqa: ANN401
    assert made(method, **figures).violations == said


def test_the_outcomes_of_damage_are_counted_by_their_ending() -> None:
    outcomes = {
        "journal cut torn": 3,
        "journal flip_low unread": 5,
        "log cut refused": 7,
        "table cut refused": 2,
    }
    page = page_of(made("corruption", cases=17, outcomes=outcomes, silent=[]))
    assert (
        "17 spoiled; 9 refused; 5 made no difference; 3 cut as torn; 0 told as lost; 0 taken in silence"
        in page
    )


def test_of_a_soak_every_number_and_word_of_its_line_is_a_figure() -> None:
    page = page_of(made("soak", rss_max_mb=91.5, commits=321, attacks={"dribble": 4}, violations=[]))
    assert "| commit | date | rss max mb | commits | took s | result |" in page
    assert "| 91.5 | 321 | 812.3 | clean |" in page


def test_several_records_of_a_method_are_added_up_and_shown_each() -> None:
    page = page_of(made(), made(seeds=500, simulated_s=3_600, faults={"loss": 6}))
    assert "2,500 seeds; 12.4 simulated hours" in page
    assert "| `loss` | 987,660 |" in page
    assert page.count("| `0123abc` |") == 2


def test_the_same_targets_in_two_records_are_not_counted_twice() -> None:
    frame, both = {"executions": 5, "seconds": 1.0}, {"executions": 7, "seconds": 2.0}
    page = page_of(made("fuzz", frame=frame), made("fuzz", frame=both, hello=both))
    assert "2 targets; 19 executions; 5 seconds of fuzzing" in page


def test_bugs_stand_under_the_method_that_found_them_and_are_counted() -> None:
    bugs = [
        Bug("simulation", "A vote left twice", "tests/a.py::test_b"),
        Bug("review", "A typo", "tests/c.py"),
    ]
    page = page_of(bugs=bugs)
    assert "### Found by: seeded simulation" in page
    assert "| A vote left twice | `tests/a.py::test_b` |" in page
    assert "| Reading the code |  |  | 1 |" in page


def test_a_case_without_a_test_is_shown_as_not_covered() -> None:
    page = page_of(cases=[Case(1, "Quorums", ["tests/a.py"]), Case(2, "Another", [])])
    assert "1 of 2 cases have tests." in page
    assert "| 2 | Another | **not covered** |" in page


def test_the_34_cases_of_the_protocol_are_there_once_each_and_what_covers_them_exists() -> None:
    cases = load_cases()
    assert [case.number for case in cases] == list(CASES_OF_TRUST)
    assert [name for case in cases for name in case.tests if not exists(name)] == []


def test_what_keeps_a_bug_away_and_the_figures_of_the_goals_exist() -> None:
    assert [bug.test for bug in load_bugs() if not exists(bug.test)] == []
    goals = load_goals()
    assert goals
    assert [goal for goal in goals if goal.figure not in METHODS[goal.method].figures] == []


def exists(name: str) -> bool:
    """Tell whether a file, a test in it, or a line of seeds exists."""
    file, _, test = name.partition("::")
    path = ROOT / file
    return path.is_file() and test.partition("[")[0] in path.read_text(encoding="utf-8")


def test_a_name_of_no_test_is_found() -> None:
    assert exists("tests/benchmarks/test_reliability.py::test_a_name_of_no_test_is_found")
    assert not exists("tests/benchmarks/test_reliability.py::test_" + "absent")
    assert not exists("tests/absent.py")


def test_a_campaign_is_recorded_with_its_last_line_and_its_end_and_read_again(tmp_path: Path) -> None:
    script = (
        'print("talk"); print(\'{"seeds": 3, "violations": ["x"], "commit": "theirs"}\'); raise SystemExit(1)'
    )
    found = record("simulation", ["python", "-c", script])
    assert (found.figures, found.exit_code) == ({"seeds": 3, "violations": ["x"]}, 1)
    assert found.commit != "theirs"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)
    save(found, tmp_path / "simulation.json")
    assert load_records(tmp_path) == [found]
    assert not found.is_clean


def test_the_recorder_ends_as_the_campaign_ends(tmp_path: Path) -> None:
    arguments = ["record", "chaos", "--name", "short", "--folder", str(tmp_path), "--"]
    assert main([*arguments, "python", "-c", "print('{}'); raise SystemExit(3)"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["chaos-short.json"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/usr/bin/env"], "without absolute paths"),
        (["python", "/tmp/x.py"], "without absolute paths"),  # noqa: S108  # refused
        (["no-such-command-of-ours"], "No such file"),
        (["python", "-c", "print('all is well')"], "did not end with a line of JSON but with 'all is well'"),
        (["python", "-c", "print('[1]')"], "did not end with a line of JSON"),
        (["python", "-c", ""], "did not end with a line of JSON"),
    ],
)
def test_a_command_that_cannot_be_recorded_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], reason: str
) -> None:
    assert main(["record", "soak", "--folder", str(tmp_path), "--", *command]) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_violations_by_the_thousand_are_kept_by_their_first_hundred() -> None:
    line = json.dumps({"violations": [str(number) for number in range(5_000)]})
    assert read_figures(line)["violations"] == [str(number) for number in range(100)]


def test_the_python_of_a_recorded_command_is_the_one_that_records() -> None:
    assert resolve(["python", "-V"])[1:] == ["-V"]
    assert resolve(["python", "-V"])[0] != "python"
    assert resolve(["make", "sim"]) == ["make", "sim"]


def test_a_machine_is_told_by_what_makes_it_fast_and_not_by_its_name() -> None:
    machine = read_machine()
    assert machine.cores >= 1
    assert machine.memory_mb > 100
    assert (
        Path("/etc/hostname").read_text(encoding="utf-8").strip() not in msgspec.json.encode(machine).decode()
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "x.json: no record"),
        ("{}", "x.json: no record"),
        (json.dumps(msgspec.to_builtins(made()) | {"method": "magic"}), "no such method: magic"),
        (json.dumps(msgspec.to_builtins(made()) | {"typed": 1}), "unknown field `typed`"),
    ],
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=re.escape(reason)):
        load_records(tmp_path)


def test_a_list_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bugs.toml"
    for content, reason in (
        ("[[bug", "bugs.toml: "),
        ('[[bug]]\nmethod = "magic"\ntext = ""\ntest = ""', "no such method: magic"),
        ('[[bug]]\nmethod = "fuzz"', "missing required field"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(RecordError, match=re.escape(reason)):
            load_bugs(path)
    with pytest.raises(RecordError, match="No such file"):
        load_goals(tmp_path / "absent.toml")


def test_no_record_names_a_place_of_a_machine() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (*RECORDS.iterdir(), CASES)}
    assert [name for name, text in texts.items() if re.search(r'["\s]/(home|root|tmp|work|usr)/', text)] == []
