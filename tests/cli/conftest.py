"""Commands run in this process through the same door as in a shell, with a passphrase in the environment."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.failure import ExitCode
from cli.main import run
from cli.passphrase import PASSPHRASE_VARIABLE

PASSPHRASE = "correct horse battery staple"


class Ended(NamedTuple):
    """How a command ended: its exit code, its data and its talk."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a refusal."""
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.rstrip("\n")


Command = Callable[..., Ended]


@pytest.fixture
def gridbft(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    monkeypatch.delenv("GRIDBFT_HOME", raising=False)

    def execute(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(int(code), captured.out, captured.err)

    return execute


@pytest.fixture
def spec(tmp_path: Path, gridbft: Command) -> Path:
    """The specification that the program itself proposes."""
    path = tmp_path / "spec.toml"
    ended = gridbft("network", "example")
    assert ended.code == ExitCode.OK
    path.write_text(ended.out, encoding="utf-8")
    return path
