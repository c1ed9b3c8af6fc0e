"""A directory, or a file, that appears under its name whole or not at all: an interrupted run leaves no half of it."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cli.failure import CliError, build_usage_error
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


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Give a new file that has its name only when it is whole, and on the disk.

    Raises:
        CliError: there is such a file, or the file system refused.

    """
    if os.path.lexists(path):
        raise build_usage_error(f"{path}: there is a file of this name; choose another")
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(part, path)
    except FileExistsError:
        raise build_usage_error(f"{path}: there is a file of this name; choose another") from None
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def _give_name(part: Path, path: Path) -> None:
    """Name a whole file; a file system without links (of a memory stick) renames it, when the name is still free."""
    try:
        os.link(part, path)
    except PermissionError:
        if os.path.lexists(path):
            raise FileExistsError from None
        part.rename(path)
