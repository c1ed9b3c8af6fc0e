"""The loop that nodes run on; what is told to run on asyncio's own loop does so all the same."""

import asyncio

import pytest
import uvloop


@pytest.fixture(autouse=True)
def run_on_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "run", uvloop.run)
