"""The coverage-guided campaign: it reports what it did, keeps what breaks a promise, and refuses what it cannot do."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.fuzz.campaign import ROOT


def run_campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.campaign", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_short_campaign_reports_its_executions_or_names_why_there_is_none() -> None:
    done = run_campaign("--seconds", "2", "--targets", "question_height")
    if find_spec("atheris") is None:
        assert "atheris has no wheel for this machine" in done.stderr
        assert done.returncode == 2
        return
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout).items()
    assert result[0] == "question_height"
    assert result[1]["executions"] > 1000
    assert result[1]["crashes"] == 0


def test_a_target_that_does_not_exist_is_refused_by_name() -> None:
    done = run_campaign("--targets", "nonsense")
    assert done.returncode == 2
    assert "no such target: nonsense" in done.stderr
    assert "Traceback" not in done.stderr
