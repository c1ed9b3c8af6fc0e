"""The validator processes of a demonstration: started, killed, restarted and stopped, and never left behind.

A child holds the reading end of a pipe whose writing end is here. When this process ends in whatever way, the
pipe closes and the child stops by itself (`gridbft start --stop-with-stdin`).
"""

import asyncio
import contextlib
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.failure import CliError
from cli.passphrase import PASSPHRASE_VARIABLE

STOP_TIMEOUT_S = 8.0
"""A node writes its last block and closes its store in well under a second; then it is killed."""
LOG_NAME = "node.log"
LOG_TAIL_BYTES = 4096
OWN_COMMAND = (sys.executable, "-P", "-m", "cli")
COMMAND_VARIABLE = "GRIDBFT_NODE_COMMAND"
"""Other words for OWN_COMMAND, such as an interpreter for another processor: see ``choose_commands``."""
COMMAND_SEPARATOR = ";"


@dataclass
class ValidatorProcess:
    """One validator's home and the process that runs it now, if any.

    ``is_starting`` holds until the process was heard of: till then its silence is no failure.
    """

    name: str
    home: Path
    environment: dict[str, str] = field(repr=False)
    command: Sequence[str] = OWN_COMMAND
    process: subprocess.Popen[bytes] | None = None
    is_starting: bool = True

    def start(self) -> None:
        """Start `gridbft start` on this home, its words in HOME/node.log."""
        if self.is_running():
            return
        self.is_starting = True
        command = [*self.command, "start", "--home", str(self.home), "--stop-with-stdin"]
        with (self.home / LOG_NAME).open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - this program, with arguments written here
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops them in order
            )

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End the process at once, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._close_pipe()
            self.process = None

    def end_now(self) -> None:
        """Send SIGKILL and wait for nothing."""
        if self.is_running() and self.process is not None:
            self.process.kill()

    def ask_to_stop(self) -> None:
        """Ask the process to stop gracefully."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    async def wait_stopped(self) -> None:
        """Wait for the end of a process that was asked to stop; kill it when it takes too long."""
        if self.process is None:
            return
        try:
            await asyncio.to_thread(self.process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        finally:
            self._close_pipe()

    def check_alive(self) -> None:
        """Raise when the process ended by itself.

        Raises:
            CliError: with the last line of its log.

        """
        if self.process is not None and self.process.poll() is not None:
            raise CliError(
                f"{self.name} stopped by itself (exit {self.process.returncode}): {self.read_last_line()}"
            )

    def read_last_line(self) -> str:
        """Return the last line of the log, or where it is."""
        path = self.home / LOG_NAME
        with contextlib.suppress(OSError), path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return f"see {path}"

    def _close_pipe(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


@contextlib.asynccontextmanager
async def run_validators(validators: Sequence[ValidatorProcess]) -> AsyncIterator[None]:
    """Start all processes; stop whatever runs when the block is left, in any way."""
    try:
        for validator in validators:
            validator.start()
        yield
    finally:
        await _stop_all(validators)


async def _stop_all(validators: Sequence[ValidatorProcess]) -> None:
    """Stop all at once; whatever happens meanwhile, none is left."""
    for validator in validators:
        validator.ask_to_stop()
    try:
        for validator in validators:
            await validator.wait_stopped()
    finally:
        for validator in validators:
            if validator.is_running():
                validator.kill()


def build_environment(inherited: dict[str, str], passphrase: str) -> dict[str, str]:
    """Return the environment of the children: ours, without settings that would change a node, with its passphrase."""
    kept = {key: value for key, value in inherited.items() if not key.startswith("GRIDBFT_")}
    return {**kept, PASSPHRASE_VARIABLE: passphrase}


def choose_commands(inherited: Mapping[str, str], count: int) -> list[tuple[str, ...]]:
    """Return the command of each of so many validators, as COMMAND_VARIABLE says.

    It holds the words that stand for ``python -P -m cli``, split as a shell does. Several, separated by a semicolon,
    are taken in turn, and an empty one is this very Python: with ``other -m cli;;;`` every fourth is the other's.

    Raises:
        CliError: a quotation in it does not end.

    """
    said = inherited.get(COMMAND_VARIABLE, "").split(COMMAND_SEPARATOR)
    try:
        commands = [tuple(shlex.split(each)) or OWN_COMMAND for each in said]
    except ValueError as error:
        raise CliError(f"{COMMAND_VARIABLE}: {error}") from None
    return [commands[index % len(commands)] for index in range(count)]


def find_free_ports(count: int) -> list[int]:
    """Return so many different free TCP ports of the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]
