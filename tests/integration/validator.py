"""One real validator process: started, killed, frozen, stopped, looked at, and never left behind."""

import asyncio
import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from cli.admin import ask_admin
from cli.demo.processes import OWN_COMMAND
from cli.failure import CliError
from cli.passphrase import PASSPHRASE_VARIABLE

PASSPHRASE = "correct horse battery staple"
REPOSITORY = Path(__file__).parents[2]
POLL_S = 0.02
DEADLINE_S = 80.0
"""On a busy machine a start with Argon2id takes 5 s, several view changes in a row 20 s, fetching 1,500 blocks 50 s."""


CALM = frozenset({"view_change_started"})
"""Warnings that a crash of others explains."""


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition of this process or machine; fail by name when it does not come."""
    end_s = monotonic() + deadline_s
    while not condition():
        assert monotonic() < end_s, f"not within {deadline_s:.0f} s: {what}"
        await asyncio.sleep(POLL_S)


@dataclass
class Validator:
    """A home directory and the process that runs it now, if any. Its words go to HOME/node.log.

    With a ``namespace`` it runs in a network of its own, where ``host`` is its address.

    The process holds the reading end of a pipe whose writing end is here (`--stop-with-stdin`): when the tests end in
    whatever way, it stops by itself.
    """

    name: str
    home: Path
    p2p_port: int
    api_port: int
    host: str = "127.0.0.1"
    namespace: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = OWN_COMMAND
    file_bytes_max: int | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.api_port}"

    @property
    def log_path(self) -> Path:
        return self.home / "node.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} does not run"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *, passphrase: str = PASSPHRASE, **environment: str) -> None:
        assert not self.is_running, f"{self.name} runs already"
        self._forget()
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("GRIDBFT_")}
        within = () if self.namespace is None else ("ip", "netns", "exec", self.namespace)
        limit = self.file_bytes_max
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*within, *self.command, "start", "--home", str(self.home), "--stop-with-stdin"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=inherited | {PASSPHRASE_VARIABLE: passphrase} | self.environment | environment,
                start_new_session=True,
                preexec_fn=None if limit is None else lambda: _limit_files(limit),  # noqa: PLW1509  # no threads here
            )

    def kill(self) -> None:
        """End it at once, as a power cut does (as far as the kernel survives)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._forget()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait_exit(self, deadline_s: float = DEADLINE_S) -> int:
        """Return the exit code of a process that ends by itself or was asked to."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, f"{self.name} ends", deadline_s)
        self._forget()
        return int(process.returncode)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to stop; return after how many seconds it ended, which must be well."""
        begin_s = monotonic()
        self.send(number)
        code = await self.wait_exit()
        assert code == 0, f"{self.name} ended with {code}: {self.log[-2000:]}"
        return monotonic() - begin_s

    def ask_admin(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Mapping[str, Any]:
        return ask_admin(self.home, method, path, body)

    def try_admin(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Mapping[str, Any] | None:
        """Ask over the admin socket; None while nobody answers there."""
        try:
            return self.ask_admin(method, path, body)
        except CliError:
            return None

    def read_status(self) -> Mapping[str, Any] | None:
        """Return how it describes itself over the admin socket, or None while nobody answers there."""
        return self.try_admin("GET", "/status")

    def read_events(self) -> list[dict[str, Any]]:
        """Return the log's events; lines that are no events are what a person reads at the start and the end."""
        lines = [line for line in self.log.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def count_events(self, name: str) -> int:
        """Return how often the log tells of an event; a line that a kill has torn may be missed."""
        return self.log.count(f'"event":"{name}"')

    def check_log(self, *, allowed: frozenset[str] = frozenset()) -> None:
        """Fail on a traceback, and on warnings and errors beyond the allowed ones."""
        assert "Traceback" not in self.log, f"{self.name}: {self.log[-4000:]}"
        loud = [
            event
            for event in self.read_events()
            if event["level"] not in {"info", "debug"} and event["event"] not in allowed
        ]
        assert not loud, f"{self.name}: {loud}"

    def read_memory_kb(self) -> int:
        """Return the resident memory (VmRSS)."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def read_written_bytes(self) -> int:
        """Return what it sent to the disk, as the kernel counts it."""
        lines = Path(f"/proc/{self.pid}/io").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))

    def read_cpu_s(self) -> float:
        """Return the processor time used since the start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def read_maps(self) -> str:
        """Return what is mapped into the process: every library that it has loaded."""
        return Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8")

    def count_descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def _forget(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        self.process = None


def _limit_files(size: int) -> None:
    """Let no file grow beyond ``size``: what a write then meets is a full disk to the one who writes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
