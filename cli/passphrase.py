"""Where a passphrase comes from: a file, the environment, or a question on a terminal; never a flag."""

import getpass
import os
import sys
from pathlib import Path

from cli.failure import build_usage_error

PASSPHRASE_VARIABLE = "GRIDBFT_PASSPHRASE"  # noqa: S105  # the name of a variable is no secret
PASSPHRASE_BYTES_MAX = 1024
"""A person types less; a file that is longer was named by mistake."""


def read_passphrase(passphrase_file: Path | None, *, of_what: str, is_new: bool = False) -> bytes:
    """Return the passphrase of a key; ``is_new`` asks twice on a terminal.

    Raises:
        CliError: there is none, it is empty, or the file cannot be read.

    """
    if passphrase_file is not None:
        return _read_file(passphrase_file)
    from_environment = os.environ.get(PASSPHRASE_VARIABLE)
    if from_environment is not None:
        return _check(from_environment.encode(), PASSPHRASE_VARIABLE)
    if sys.stdin is None or not sys.stdin.isatty():
        raise build_usage_error(
            f"no passphrase for {of_what}: set {PASSPHRASE_VARIABLE}, pass --passphrase-file, or use a terminal"
        )
    return _ask(of_what, is_new=is_new)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PASSPHRASE_BYTES_MAX + 2)
    except OSError as error:
        raise build_usage_error(f"passphrase file {path}: {error.strerror}") from None
    return _check(content.rstrip(b"\r\n"), f"passphrase file {path}")


def _ask(of_what: str, *, is_new: bool) -> bytes:
    try:
        answer = getpass.getpass(f"Passphrase of {of_what}: ", stream=sys.stderr)
        if is_new and getpass.getpass("Once more: ", stream=sys.stderr) != answer:
            raise build_usage_error("the two passphrases differ: nothing was done")
    except EOFError:
        raise build_usage_error(f"no passphrase for {of_what} was typed: nothing was done") from None
    return _check(answer.encode(), "the passphrase")


def _check(passphrase: bytes, source: str) -> bytes:
    if not passphrase:
        raise build_usage_error(f"{source} is empty: a key needs a passphrase")
    if len(passphrase) > PASSPHRASE_BYTES_MAX:
        raise build_usage_error(f"{source} is longer than {PASSPHRASE_BYTES_MAX} bytes")
    return passphrase
