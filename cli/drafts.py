"""A directory that appears under its name whole or not at all: an interrupted run leaves no half of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.failure import CliError
from meter.keystore import KeystoreError


@contextmanager
def open_draft(directory: Path) -> Iterator[Path]:
    """Give a new directory beside ``directory``; it takes that name when the context ends well.

    Raises:
        CliError: the disk refuses, or a key could not be made; nothing was written to ``directory``.

    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".new", dir=directory.parent))
    except OSError as error:
        raise CliError(
            f"{error.filename or directory.parent}: {error.strerror}; nothing was written"
        ) from None
    try:
        yield draft
        draft.rename(directory)
    except KeystoreError as error:
        raise CliError(f"{error}; nothing was written to {directory}") from None
    except OSError as error:
        raise CliError(f"{directory}: {error.strerror}; nothing was written to it") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet, durably; raises OSError."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
