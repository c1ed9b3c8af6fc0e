"""Whose the files of a home are: its owner's, as whom the node runs, also those that root made there.

Root may type any command about a home that belongs to a service user. A file that stays root's would be one that the
node cannot read or write at its next start.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

ROOT = 0

ENTRIES_MAX = 100_000
"""Entries looked at: twice the tables of a store of 100 GB. A home that holds more is somebody's whole disk."""

CLOCK_S = 1.0
"""Files take their time from a clock that lags by some milliseconds, and that may be set back meanwhile."""


def is_root() -> bool:
    """Tell whether this process can give files away, and makes files that others cannot use."""
    return os.geteuid() == ROOT


def give_to_owner(made: int | Path, home: Path) -> None:
    """Give what was just made for a home, a path or an open file, to the home's owner; only root has to."""
    if is_root():
        owner = home.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def give_all_to_owner(home: Path, since_s: float) -> None:
    """Give the home's owner every file and directory in it that is root's and was made or changed since a moment.

    What others put there meanwhile is not followed out of the home: no link is, and no file that has another name.
    """
    owner = home.stat()
    if owner.st_uid == ROOT:
        return
    looked_at = 0
    for _, directories, files, folder in os.fwalk(home):
        for name in (*directories, *files):
            looked_at += 1
            if looked_at > ENTRIES_MAX:
                return
            with suppress(FileNotFoundError):  # gone meanwhile
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if _is_new(found, since_s):
                    _give(name, folder, owner)


def _is_new(found: os.stat_result, since_s: float) -> bool:
    is_plain = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
    return is_plain and found.st_uid == ROOT and found.st_ctime >= since_s - CLOCK_S


def _give(name: str, folder: int, owner: os.stat_result) -> None:
    """Give away what was opened and looked at once more: the name may stand for something else by now."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if _is_new(os.fstat(descriptor), 0.0):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)
