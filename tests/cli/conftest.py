"""Commands run in this process through the same door as in a shell, with a passphrase in the environment."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.failure import ExitCode
from cli.main import run
from cli.network_spec import EXAMPLE, parse_spec
from cli.node_settings import render_node_config
from cli.passphrase import PASSPHRASE_VARIABLE
from cli.provision import create_network

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


@pytest.fixture(scope="session")
def new_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as it was just made; tests copy it."""
    directory = tmp_path_factory.mktemp("made") / "net"
    create_network(
        directory,
        parse_spec(EXAMPLE.encode()),
        int(time.time() * 1000),
        PASSPHRASE.encode(),
        render_node_config,
    )
    return directory


@pytest.fixture
def network(tmp_path: Path, new_network: Path) -> Path:
    """A network whose validators were never started."""
    return Path(shutil.copytree(new_network, tmp_path / "net"))
