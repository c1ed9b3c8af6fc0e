"""A folder that another user owns, whoever runs the tests: root may look everywhere."""

import os
from collections.abc import Callable
from errno import EACCES
from pathlib import Path

import pytest


def lock_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system refuse to list a folder, and to look at what is in it."""

    def refuse(work: Callable[..., object], is_locked: Callable[[Path], bool]) -> Callable[..., object]:
        def act(path: object, *arguments: object, **named: object) -> object:
            if isinstance(path, str | os.PathLike) and is_locked(Path(path)):
                raise PermissionError(EACCES, os.strerror(EACCES), str(path))
            return work(path, *arguments, **named)

        return act

    monkeypatch.setattr(os, "listdir", refuse(os.listdir, lambda path: path == folder))
    monkeypatch.setattr(os, "stat", refuse(os.stat, lambda path: folder in path.parents))
