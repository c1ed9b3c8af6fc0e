"""One rule for every file that a command is given to read: where it cannot be read nothing is done, and it is usage."""

import os
from pathlib import Path

import pytest

from cli.failure import CliError, ExitCode
from cli.inputs import check_input
from tests.cli.conftest import Command
from tests.cli.locked import lock_folder

GIVEN = [
    ("verify", "{file}", "--genesis", "{network}/node0/genesis.bin"),
    ("verify", "{network}/client.toml", "--genesis", "{file}"),
    ("snapshot", "verify", "{file}", "--home", "{network}/node0"),
    ("snapshot", "restore", "{file}", "--home", "{network}/node0"),
    ("keys", "verify-backup", "{file}", "--home", "{network}/node0"),
    ("keys", "restore", "{file}", "--home", "{network}/node0"),
    ("doctor", "--bundle", "{network}/b", "--log", "{file}", "--home", "{network}/node0"),
    ("observers", "add", "{file}", "--home", "{network}/node0"),
    ("network", "new", "{file}", "-o", "{network}/new"),
    ("network", "verify-genesis", "{file}"),
    ("submit", "--file", "{file}", "--home", "{network}"),
    ("collect", "csv", "--file", "{file}", "--home", "{network}"),
    ("keys", "backup", "-o", "{network}/new", "--home", "{network}/node0", "--passphrase-file", "{file}"),
]


@pytest.mark.parametrize("command", GIVEN, ids=lambda command: " ".join(command[:2]))
def test_a_file_that_is_not_there_is_a_wrong_argument_of_whatever_command(
    gridbft: Command, network: Path, command: tuple[str, ...]
) -> None:
    before = sorted(network.rglob("*"))
    missing = network / "nonsuch"
    ended = gridbft(*(part.format(file=missing, network=network) for part in command))
    assert ended.code == ExitCode.USAGE, ended.err
    assert str(missing) in ended.line
    assert sorted(network.rglob("*")) == before


def test_a_file_that_may_not_be_read_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert check_input(file) == file
    with pytest.raises(CliError, match="it is a directory"):
        check_input(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(CliError, match=r"--log .*: Permission denied") as refused:
        check_input(file, "--log")
    assert refused.value.code == ExitCode.USAGE
    lock_folder(monkeypatch, tmp_path)
    with pytest.raises(CliError, match="Permission denied"):
        check_input(file)


def test_a_pipe_is_a_file_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    try:
        os.write(writing, b"said")
        assert check_input(pipe) == pipe
        assert os.read(reading, 4) == b"said"
    finally:
        os.close(reading)
        os.close(writing)
