"""What `gridbft start` becomes: the node alone in a fresh interpreter, without what the command line loaded.

Parsing a command line takes 11 MB (typer, and what it validates options with) that a node would keep for years. So
the process replaces itself: same process id, same standard streams, and the passphrase through a pipe, so that it
stands neither among the arguments nor in the environment of the node.
"""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cli.console import talk
from cli.failure import CliError, ExitCode, build_usage_error, find_expected
from cli.passphrase import PASSPHRASE_BYTES_MAX, PASSPHRASE_VARIABLE

if TYPE_CHECKING:
    import asyncio

    from node.config import NodeConfig
    from node.errors import NodeError
    from node.identity import Identity
    from node.supervisor import Supervisor

STDIN_CHUNK = 4096
STOP_WITH_STDIN = "stop-with-stdin"


def become_node(home: Path, passphrase: bytes, *, stop_with_stdin: bool) -> NoReturn:
    """Replace this process by the node of ``home``; what was printed before is flushed.

    Raises:
        OSError: the interpreter could not be started again.

    """
    reading, writing = os.pipe()
    os.write(writing, passphrase)  # at most PASSPHRASE_BYTES_MAX, which a pipe holds
    os.close(writing)
    os.set_inheritable(reading, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # The same packages must be found: those of the working directory only if this process took them from there.
    safe = [] if sys.path[0] in {"", str(Path.cwd())} and not sys.flags.safe_path else ["-P"]
    command = [sys.executable, *safe, "-m", "cli.serve", str(home), str(reading)]
    environment = {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}
    os.execve(  # noqa: S606  # this program, with arguments written here
        sys.executable, [*command, *([STOP_WITH_STDIN] if stop_with_stdin else [])], environment
    )


def main(arguments: list[str]) -> int:
    """Run the node named by what ``become_node`` passed on; return the exit code, after one line about a failure."""
    home, reading = Path(arguments[0]), int(arguments[1])
    with os.fdopen(reading, "rb") as pipe:
        passphrase = pipe.read(PASSPHRASE_BYTES_MAX)
    try:
        serve(home, passphrase, stop_with_stdin=STOP_WITH_STDIN in arguments)
    except CliError as error:
        talk(f"gridbft: {error}")
        return int(error.code)
    return int(ExitCode.OK)


def serve(home: Path, passphrase: bytes, *, stop_with_stdin: bool) -> None:
    """Run the validator or observer of ``home`` until it is asked to stop.

    Raises:
        CliError: it cannot start, or cannot go on.

    """
    from cli.keys import build_key_error
    from cli.node_keys import open_identities
    from meter.keystore import KeystoreError
    from node.config import ConfigError, load_config
    from node.errors import NodeError
    from node.supervisor import find_supervisor

    try:
        config = load_config(home, os.environ)
        identities = open_identities(home, passphrase)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    except KeystoreError as error:
        raise build_key_error(error) from None
    try:
        node = _choose_work(config, home, identities, find_supervisor(os.environ))
        run_until_stopped(node, stop_with_stdin=stop_with_stdin)
    except NodeError as error:
        raise _build_node_failure(config.name, error) from None
    except BaseExceptionGroup as group:
        first = find_expected(group, (NodeError,))
        if not isinstance(first, NodeError):
            raise
        raise _build_node_failure(config.name, first) from None
    talk(f"{config.name}: stopped")


def _choose_work(
    config: "NodeConfig", home: Path, identities: "Sequence[Identity]", supervisor: "Supervisor"
) -> Coroutine[object, object, None]:
    """Return what the role of a node is to run."""
    if config.role == "observer":
        from node.observer.observer import run_observer

        return run_observer(config, home, identities, supervisor)
    from node.node import run_node

    return run_node(config, home, identities, supervisor)


def run_until_stopped(work: Coroutine[object, object, None], *, stop_with_stdin: bool = False) -> None:
    """Run ``work`` on uvloop; SIGTERM, SIGINT or the end of standard input cancel it, which is a normal end."""
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(work, stop_with_stdin=stop_with_stdin))


async def _run(work: Coroutine[object, object, None], *, stop_with_stdin: bool) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        if not is_stopping:  # a second signal must not interrupt the closing of the store
            is_stopping = True
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if stop_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _read_until_end, loop, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not is_stopping:
            raise


def _read_until_end(loop: "asyncio.AbstractEventLoop", stop: Callable[[], None]) -> None:
    try:
        chunk = os.read(sys.stdin.fileno(), STDIN_CHUNK)
    except BlockingIOError:
        return
    except OSError:
        chunk = b""
    if not chunk:
        loop.remove_reader(sys.stdin.fileno())
        stop()


def _build_node_failure(name: str, error: "NodeError") -> CliError:
    """Return the one line of the failure; the log has the rest."""
    return CliError(f"{name}: {error}", ExitCode(error.exit_code))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
