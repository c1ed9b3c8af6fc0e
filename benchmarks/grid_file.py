"""The grid's file: cells that were played, and networks of real processes beside them."""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness.session import BenchError

FILE_BYTES_MAX = 16 * 1024 * 1024
"""A whole grid has less than half a megabyte."""
LISTS = ("cells", "processes")


def check_place(path: Path | None) -> None:
    """Refuse a file that cannot be made, before minutes of work for it.

    Raises:
        BenchError: there is no such directory.

    """
    if path is not None and not path.parent.is_dir():
        raise BenchError(f"-o {path}: there is no directory {path.parent}")


def read_grid(path: Path | None) -> dict[str, Any]:
    """Return what a file holds; nothing of one that is not there yet.

    Raises:
        BenchError: it is no grid, or cannot be read or made.

    """
    check_place(path)
    if path is None or not path.exists():
        return {}
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BenchError(f"-o {path}: longer than {FILE_BYTES_MAX} bytes, so no grid: name another file")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise BenchError(f"-o {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise BenchError(f"-o {path}: this is no grid to go on with ({error}): name another file") from None
    if not isinstance(found, dict) or not any(isinstance(found.get(name), list) for name in LISTS):
        raise BenchError(f"-o {path}: this is no grid to go on with: name another file")
    return found


def write_grid(path: Path | None, found: dict[str, Any]) -> None:
    """Write a file whole, or leave it as it was.

    Raises:
        BenchError: the disk refuses.

    """
    if path is None:
        return
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise BenchError(f"-o {path}: {error.strerror or error}") from None
