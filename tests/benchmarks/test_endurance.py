"""The benchmark of what validators hold after many transactions, with few of them."""

import asyncio

import pytest

from benchmarks import endurance


@pytest.mark.slow
def test_every_transaction_is_counted_and_every_stage_tells_what_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endurance, "LOAD_TX", 60)
    found = asyncio.run(endurance.measure(100, 200.0, meters=10))
    assert [stage.transactions for stage in found.stages] == [60, 100]
    assert all(stage.lost == stage.refused == 0 for stage in found.stages)
    assert all(stage.rss_mb > 0 and stage.cpu_us_per_tx > 0 for stage in found.stages)
