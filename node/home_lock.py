"""The lock of a home: whoever holds it is the only one who runs there, or the only one who looks."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME
from node.storage.files import SystemFiles


@contextmanager
def hold_home(data: Path) -> Iterator[None]:
    """Keep the validator of a data directory from starting meanwhile.

    Raises:
        HomeError: it runs.
        DiskError: the lock cannot be taken.

    """
    path = (data / JOURNAL_NAME).with_suffix(".lock")
    try:
        try:
            descriptor = SystemFiles().lock(path)
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES} or not path.exists():
                raise
            descriptor = _lock_read_only(path)
    except BlockingIOError:
        raise HomeError(f"{data}: the validator runs; stop it first, its files change") from None
    except OSError as error:
        raise DiskError(f"{data}: {error.strerror}") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_read_only(path: Path) -> int:
    """Take the lock without a write: on a disk that turned read-only, as cards do before they die, or as a stranger."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
