"""What a benchmark found, as a file: written whole for whoever reads it after a year, read with a bound."""

import json
from pathlib import Path
from typing import Any

import msgspec

from cli.failure import CliError

RESULT_BYTES_MAX = 16 * 1024 * 1024
"""A run of all profiles has less than a megabyte, a whole grid half of one."""


def publish(found: object, output: Path | None) -> None:
    """Print a result as one line of JSON, and write it where ``output`` says, if it says so."""
    print(msgspec.json.encode(found).decode())
    write_result(found, output)


def write_result(found: object, output: Path | None) -> None:
    """Write a result where ``output`` says, if it says so; end the program with the reason when it cannot be."""
    if output is None:
        return
    try:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    except OSError as error:
        raise SystemExit(f"-o {output}: {error.strerror or error}") from None


def read_result(path: Path) -> dict[str, Any]:
    """Return a result that was written.

    Raises:
        CliError: there is none, or it is none of the suite.

    """
    try:
        with path.open("rb") as file:
            content = file.read(RESULT_BYTES_MAX + 1)
        if len(content) > RESULT_BYTES_MAX:
            raise CliError(f"{path}: longer than {RESULT_BYTES_MAX} bytes, so no result of the suite")
        found = json.loads(content)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise CliError(f"{path}: no JSON ({error})") from None
    if not isinstance(found, dict):
        raise CliError(f"{path}: this is no result of the suite")
    return found
