"""The log is the process's: each test runs a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.config import ConfigError, LogConfig
from node.logs import configure_logging
from node.redaction import REDACTED

PROGRAM = """
import logging, sys
from pathlib import Path
import structlog
from node.config import LogConfig
from node.logs import configure_logging
early = structlog.get_logger("gridbft.node")
configure_logging(LogConfig(level="info", format=sys.argv[1], file=sys.argv[2]), Path(sys.argv[3]))
early.debug("not_shown")
early.info("block_executed", height=7, root=bytes.fromhex("abcd"), passphrase="hunter2", tls_key_pem=b"pem")
logging.getLogger("aiohttp.server").warning("of a library: %s", 5)
early.info("two\\nlines", text="a b\\nc", long="x" * 5000)
early.info("asked", url="/v1/bills?token=canary1", peer={"deep": {"password": "canary2"}}, of=[{"seed": "canary3"}])
try:
    raise ZeroDivisionError("secret=canary4")
except ZeroDivisionError:
    early.exception("failed")
"""


LEVELS = """
import logging, sys
from pathlib import Path
import structlog
from node.config import LogConfig
from node.logs import LevelError, configure_logging, read_levels, set_level
network, node = structlog.get_logger("gridbft.p2p"), structlog.get_logger("gridbft.node")
configure_logging(LogConfig(level="warning"), Path(sys.argv[1]))
def say(when):
    for log in (network, node):
        log.debug(when + "_debug")
        log.info(when + "_info")
say("first")
set_level("p2p", "debug")
assert read_levels()["p2p"] == "debug" and read_levels()["node"] == read_levels()["others"] == "warning"
say("one")
set_level(None, "info")
assert set(read_levels().values()) == {"info"}
say("all")
for component, level in (("p2p", "loud"), ("kitchen", "info"), ("others", "info")):
    try:
        set_level(component, level)
        raise AssertionError
    except LevelError:
        pass
assert set(read_levels().values()) == {"info"}
"""


def test_a_level_changes_while_the_process_runs_for_one_component_or_for_all(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEVELS, str(tmp_path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    told = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(each["logger"], each["event"]) for each in told] == [
        ("gridbft.p2p", "one_debug"),
        ("gridbft.p2p", "one_info"),
        ("gridbft.p2p", "all_info"),
        ("gridbft.node", "all_info"),
    ]


def run_program(kind: str, file: str, home: Path) -> str:
    command = [sys.executable, "-c", PROGRAM, kind, file, str(home)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == ""
    return result.stderr


def test_json_has_one_object_a_line_with_level_logger_and_fields(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in run_program("json", "", tmp_path).splitlines()]
    assert [line["event"] for line in lines] == [
        "block_executed",
        "of a library: 5",
        "two\nlines",
        "asked",
        "failed",
    ]
    assert lines[0]["logger"] == "gridbft.node"
    assert (lines[0]["level"], lines[0]["height"], lines[0]["root"]) == ("info", 7, "abcd")
    assert lines[0]["timestamp"].endswith("Z")
    assert (lines[1]["logger"], lines[1]["level"]) == ("aiohttp.server", "warning")
    assert len(lines[2]["long"]) < 3_000
    assert "ZeroDivisionError" in lines[4]["exception"]


@pytest.mark.parametrize("kind", ["json", "console"])
def test_secrets_are_never_written(kind: str, tmp_path: Path) -> None:
    text = run_program(kind, "", tmp_path)
    assert "hunter2" not in text
    assert "70656d" not in text
    assert "canary" not in text
    assert text.count(REDACTED) >= 6


def test_a_line_for_a_person_is_one_line(tmp_path: Path) -> None:
    lines = run_program("console", "", tmp_path).splitlines()
    assert "block_executed height=7" in lines[0]
    assert '"two\\nlines"' in lines[2]
    assert lines[4].endswith("failed")
    assert "Traceback" in lines[5]


def test_a_file_is_written_below_the_home(tmp_path: Path) -> None:
    assert run_program("json", "node.log", tmp_path) == ""
    assert '"block_executed"' in (tmp_path / "node.log").read_text()


def test_a_file_that_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.file: .*nowhere.*: No such file"):
        configure_logging(LogConfig(file="nowhere/node.log"), tmp_path)
