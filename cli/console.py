"""Where words go: data to standard output (one JSON line with --json), talk to standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

JSON_SEPARATORS = (",", ":")
PIPED_COLUMNS = 160
"""The width where the output is no terminal: no cell of ours is cut, no line broken."""


def build_console() -> "Console":
    """Return the console of the data a person reads: standard output, plain when it is no terminal."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def build_talk() -> "Console":
    """Return the console of progress and remarks: standard error."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else PIPED_COLUMNS)


def talk(text: str) -> None:
    """Say something beside the data, plainly."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """Print one JSON document on one line."""
    print(json.dumps(value, separators=JSON_SEPARATORS, ensure_ascii=False), flush=True)


def print_line(text: str) -> None:
    """Print one line of data, plainly."""
    print(text, flush=True)
