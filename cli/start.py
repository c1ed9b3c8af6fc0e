"""`gridbft start`: one validator in this process, until it is asked to stop."""

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import talk
from cli.failure import CliError, ExitCode, build_usage_error, find_expected
from cli.options import HomeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    import asyncio

    from node.errors import NodeError

STDIN_CHUNK = 4096


def start(
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    stop_with_stdin: Annotated[
        bool, typer.Option("--stop-with-stdin", hidden=True, help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Run the validator of HOME until SIGTERM or Ctrl-C; restarting it after a crash needs nothing else."""
    from cli.keys import build_key_error
    from cli.node_keys import open_node_keys
    from cli.passphrase import read_passphrase
    from meter.keystore import KeystoreError
    from node.config import ConfigError, load_config

    directory = find_home(home)
    try:
        config = load_config(directory, os.environ)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    passphrase = read_passphrase(passphrase_file, of_what=f"the keys of {config.name}")
    try:
        keys = open_node_keys(directory, passphrase)
    except KeystoreError as error:
        raise build_key_error(error) from None
    from node.errors import NodeError
    from node.node import run_node

    talk(f"{config.name}: starting; Ctrl-C or SIGTERM stops it")
    try:
        run_until_stopped(
            run_node(config, directory, keys.signing_key, keys.tls_key_pem), stop_with_stdin=stop_with_stdin
        )
    except NodeError as error:
        raise _build_node_failure(config.name, error) from None
    except BaseExceptionGroup as group:
        first = find_expected(group, (NodeError,))
        if not isinstance(first, NodeError):
            raise
        raise _build_node_failure(config.name, first) from None
    talk(f"{config.name}: stopped")


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
