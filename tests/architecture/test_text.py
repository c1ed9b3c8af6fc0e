"""What is tracked names no place of the machine it was written on."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import shown, tracked_files

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root)/|(?<![\w.~-])/home/[a-z_][a-z0-9_-]*/")
DOWNLOAD_ADDRESS = re.compile(
    r"index[-_]url|pypi\.org/simple|files\.pythonhosted\.|https?://\S+\.(?:whl|tgz|tar\.gz|deb)\b"
)

TEXT_AT_MOST_BYTES = 2_000_000


def text_of(path: Path) -> str | None:
    """Read a file as text; None for what is not text, as an image."""
    content = path.read_bytes()
    if len(content) > TEXT_AT_MOST_BYTES or b"\0" in content:
        return None
    return content.decode(errors="replace")


def places_in(text: str) -> list[str]:
    """List what looks like a folder of a developer or like an address to download from."""
    return [match[0] for pattern in (MACHINE_PATH, DOWNLOAD_ADDRESS) for match in pattern.finditer(text)]


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    texts = {path: text for path in tracked_files() if (text := text_of(path)) is not None}
    assert texts
    assert {shown(path): found for path, text in texts.items() if (found := places_in(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see " + "/work" + "/main/x.py",
        'open("' + "/root" + '/.cache")',
        "cd " + "/home" + "/alice/src",
        "--extra-index" + "-url=x",
        "https" + "://example.org/a-1.0.tar" + ".gz",
    ],
)
def test_a_place_is_found(text: str) -> None:
    assert places_in(text) != []


@pytest.mark.parametrize(
    "text", ["https://example.org/home/a/", "docs/home/page/", "node/root/x", "GET /home"]
)
def test_an_ordinary_path_is_accepted(text: str) -> None:
    assert places_in(text) == []
