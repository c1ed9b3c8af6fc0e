"""Small computers are what they say where the machine can make them; else the refusal names what is missing."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.confined import quotas, streets
from benchmarks.confined.card import build_card
from benchmarks.confined.commands import need, run
from benchmarks.confined.computers import Confinement, open_computers
from benchmarks.confined.quotas import build_entry, open_quotas
from benchmarks.confined.streets import open_street
from benchmarks.harness.network import LOOPBACK
from benchmarks.harness.session import BenchError


def test_a_missing_tool_is_named_with_what_it_is_for() -> None:
    with pytest.raises(
        BenchError, match="a line for each validator needs no-such-tool, which is not on this"
    ):
        need(("sh", "no-such-tool"), "a line for each validator")


def test_a_command_that_fails_ends_in_its_last_line() -> None:
    assert run("sh", "-c", "echo well") == "well\n"
    assert run("sh", "-c", "exit 3", may_fail=True) == ""
    with pytest.raises(BenchError, match=r"worse$"):
        run("sh", "-c", "echo bad >&2; echo worse >&2; exit 1")


def test_groups_that_cannot_be_written_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "ROOT", tmp_path / "nowhere")
    with pytest.raises(BenchError, match="nowhere/cpu/gridbft-bench-0"), open_quotas(1, 0.25, 2**28):
        pass


@pytest.mark.parametrize("version", [1, 2])
def test_each_group_gets_its_share_and_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setattr(quotas, "ROOT", tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory").mkdir()
    if version == 2:
        (tmp_path / "cgroup.controllers").write_text("cpu memory")
    with open_quotas(2, 0.25, 2**28) as groups:
        written = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
        assert len(groups) == 2
    share = written["cpu.max"] if version == 2 else written["cpu.cfs_quota_us"]
    assert share.split()[0] == str(quotas.PERIOD_US // 4)
    memory = written["memory.max"] if version == 2 else written["memory.limit_in_bytes"]
    assert memory == str(2**28)


def test_who_enters_a_group_says_so_to_each_of_its_files_and_becomes_the_command(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "other"]
    said = run(*build_entry(files), "sh", "-c", "echo $$")
    assert {path.read_text() for path in files} == {said}
    with pytest.raises(BenchError):
        run(*build_entry([tmp_path / "nowhere" / "tasks"]), "true")


SYNCS = """
import os, tempfile, time
with tempfile.TemporaryFile() as file:
    began_s = time.monotonic()
    for sync in (os.fsync, os.fdatasync):
        file.write(b"x")
        file.flush()
        sync(file.fileno())
    print(time.monotonic() - began_s)
"""


def test_on_a_card_every_sync_takes_so_much_longer() -> None:
    if shutil.which("cc") is None:
        with pytest.raises(BenchError, match="a card with slow syncs needs cc"), build_card(30):
            pass
        return
    with build_card(30) as environment:
        words = [f"{name}={value}" for name, value in environment.items()]
        assert float(run("env", *words, sys.executable, "-c", SYNCS)) >= 0.06


def test_without_a_confinement_every_validator_is_on_the_loopback_interface_as_it_is() -> None:
    with open_computers(3, Confinement()) as places:
        assert [(place.host, place.prefix, dict(place.environment)) for place in places] == [
            (LOOPBACK, (), {})
        ] * 3


def test_a_street_has_so_many_houses_and_no_more() -> None:
    if os.geteuid() == 0:
        with pytest.raises(BenchError, match="200 houses at most"), open_street(streets.PLACES_MAX + 1, 1e6):
            pass
    else:
        with pytest.raises(BenchError, match="needs"), open_street(1, 1e6):
            pass
