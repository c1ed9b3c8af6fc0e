"""The plots show what the results say, and a file that is no result is named."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots
from benchmarks.__main__ import main as bench
from benchmarks.plots import RESULTS
from cli.failure import ExitCode


def build_cell(validators: int, mbit_s: float, rate: float, verdict: str) -> dict[str, Any]:
    return {
        "genesis": "default",
        "validators": validators,
        "mbit_s": mbit_s,
        "offered_tx_s": rate,
        "verdict": verdict,
    }


GRID = {
    "machine": {"processor": "a processor"},
    "cells": [
        build_cell(4, 1, 5, "keeps up"),
        build_cell(4, 1, 13, "keeps up"),
        build_cell(40, 1, 5, "halted"),
        build_cell(40, 1, 13, "keeps up"),
        build_cell(40, 16, 5, "keeps up"),
        build_cell(40, 16, 13, "behind"),
    ],
}


def read_words(path: Path) -> list[str]:
    return re.findall(r">([^<>]+)</text>", path.read_text(encoding="utf-8"))


def test_a_square_shows_the_rate_up_to_which_everything_was_kept_up_with(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    assert plots.main(["--results", str(tmp_path)]) == 0
    words = read_words(tmp_path / "grid.svg")
    assert [words.count(word) for word in ("13", "0", "5")] == [1, 1, 1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["grid.json", "grid.svg"]


def test_the_same_result_gives_the_same_file(tmp_path: Path) -> None:
    seen = set()
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    for _ in range(2):
        assert plots.main(["--results", str(tmp_path)]) == 0
        seen.add((tmp_path / "grid.svg").read_bytes())
    assert len(seen) == 1


@pytest.mark.parametrize("content", ["no json", "[1]", "{}", '{"cells": [{}]}'])
def test_what_is_no_result_is_named_in_one_line(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid.json").write_text(content)
    assert plots.main(["--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "grid.json" in said


def test_every_kept_result_is_drawn_into_the_page_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    (tmp_path / "growth.json").write_bytes((RESULTS / "growth.json").read_bytes())
    page = tmp_path / "page.html"
    arguments = ["report", str(RESULTS / "throughput.json"), "--results", str(tmp_path), "-o", str(page)]
    assert bench(arguments) == ExitCode.OK
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 6
    assert "grid.json: processor a processor" in text
    assert not any(mark in text for mark in ("<script src", "<link", "<img"))


def test_a_directory_of_results_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", str(RESULTS / "throughput.json"), "-o", str(tmp_path / "page.html")]
    assert bench([*arguments, "--results", str(tmp_path / "nowhere")]) == ExitCode.ERROR
    assert "this is no directory" in capsys.readouterr().err


def test_the_drawings_beside_the_results_are_what_the_results_say(tmp_path: Path) -> None:
    for drawing in plots.DRAWINGS:
        kept = RESULTS / f"{drawing.result}.json"
        if kept.exists():
            shutil.copy(kept, tmp_path)
    assert plots.main(["--results", str(tmp_path)]) == 0
    drawn = sorted(tmp_path.glob("*.svg"))
    assert drawn
    for each in drawn:
        assert (RESULTS / each.name).read_bytes() == each.read_bytes(), "run `python -m benchmarks.plots`"
