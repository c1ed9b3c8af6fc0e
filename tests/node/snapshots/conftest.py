"""Small pages, so that a small state has several."""

import pytest

from node.snapshots import parts


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAGE_BYTES", 1000)
