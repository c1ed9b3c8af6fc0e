"""`gridbft logs level`: refuses what is no level before it asks, and says when no node runs."""

from pathlib import Path

import pytest

from cli.failure import ExitCode
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("loud", "'loud' is no level; there are debug, info, warning, error"),
        ("p2p=", "'' is no level"),
        ("kitchen=info", "'kitchen' is no component; there are api, consensus"),
        ("=info", "'' is no component"),
    ],
)
def test_what_is_no_level_or_component_is_refused_by_name(
    gridbft: Command, tmp_path: Path, change: str, reason: str
) -> None:
    ended = gridbft("logs", "level", change, "--home", tmp_path)
    assert ended.code == ExitCode.USAGE
    assert reason in ended.line


def test_where_no_node_runs_it_says_so(gridbft: Command, tmp_path: Path) -> None:
    ended = gridbft("logs", "level", "--home", tmp_path)
    assert ended.code == ExitCode.ERROR
    assert "is it running?" in ended.line
