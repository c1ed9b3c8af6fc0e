"""`gridbft inspect integrity`: says that all is whole, or names what is not."""

import json
from pathlib import Path

from cli.failure import ExitCode
from tests.cli.conftest import Command
from tests.node.storage.homes import BLOCKS, build_home


def test_a_whole_home_is_told_in_two_lines(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    told = gridbft("inspect", "integrity", "--home", home)
    assert told.code == ExitCode.OK
    assert told.out.splitlines() == [
        f"blocks 0 to {BLOCKS}, certified up to {BLOCKS}: whole",
        f"journal of {BLOCKS} records: whole, and of this chain",
    ]
    assert json.loads(gridbft("inspect", "integrity", "--home", home, "--json").out)["height"] == BLOCKS


def test_lost_blocks_are_told_and_damage_is_refused_in_one_line(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0", reopened_after=(2,)).path
    (log,) = (home / "data/leveldb").glob("*.log")
    log.write_bytes(b"")
    assert (
        f"blocks up to {BLOCKS} were signed and lost" in gridbft("inspect", "integrity", "--home", home).out
    )
    (home / "data/leveldb/CURRENT").unlink()
    told = gridbft("inspect", "integrity", "--home", home)
    assert told.code == ExitCode.ERROR
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "CURRENT is missing" in told.err
