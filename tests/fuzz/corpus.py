"""The committed inputs of each target: small files named by their hash, so that the same input is there once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

FILES_MAX = 48
"""Of one target: what a campaign found beyond that is found again in seconds."""

FILE_BYTES_MAX = 4096


def compute_name(data: bytes) -> str:
    """Return the name of an input: a hash, as libFuzzer computes it too."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def get_folder(target: str) -> Path:
    return CORPUS / target


def read_corpus(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each committed input of a target, by name."""
    folder = get_folder(target)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield path.name, path.read_bytes()


def keep(target: str, data: bytes) -> Path:
    """Put an input among the committed ones."""
    path = get_folder(target) / compute_name(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
