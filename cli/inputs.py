"""Files that a command is given to read: one that cannot be read ends it as a wrong argument does, nothing done."""

import errno
import os
import stat
from pathlib import Path

from cli.failure import build_usage_error


def check_input(path: Path, flag: str = "") -> Path:
    """Return the path of a file that a command was given, as an argument or with a flag; pipes are files too.

    Raises:
        CliError: usage; there is none, or this user may not read it.

    """
    problem = find_problem(path)
    if problem:
        raise build_usage_error(f"{flag} {path}: {problem}".lstrip())
    return path


def find_problem(path: Path) -> str:
    """Return why a file cannot be read, or nothing; it is not opened, for what was read of a pipe is gone."""
    try:
        found = path.stat()
    except OSError as error:
        return "no such file" if error.errno == errno.ENOENT else error.strerror or str(error)
    if stat.S_ISDIR(found.st_mode):
        return "it is a directory; name a file"
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
