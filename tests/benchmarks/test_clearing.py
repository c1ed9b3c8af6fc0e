"""The benchmark of clearing on a small scale: slots really settle, and all that is offered and wanted is booked."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import clearing
from vm.contracts.energy.records import Slot, get_slot_key
from vm.state import Overlay

HOMES = 7


def test_a_slot_settles_in_the_block_that_is_measured_with_every_order_in_its_sums() -> None:
    community = clearing.Community(HOMES)
    community.report(0)
    key = get_slot_key(clearing.START_S)
    before = Overlay(community.store).read(key, Slot)
    assert before is not None
    assert not before.settled
    community.clear(0)
    slot = Overlay(community.store).read(key, Slot)
    assert slot is not None
    assert slot.missing == 1
    orders = [clearing.get_order_wh(index) for index in range(HOMES)]
    assert (slot.demand_wh, slot.supply_wh) == tuple(map(sum, zip(*orders, strict=True)))
    assert slot.pool_wh == min(slot.demand_wh, slot.supply_wh) > 0


def test_a_slot_that_did_not_settle_is_no_figure() -> None:
    community = clearing.Community(HOMES)
    with pytest.raises(AssertionError, match="slot 0 of 7 homes did not settle"):
        community.clear(0)


def test_the_command_writes_each_layer_of_each_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["clearing", "2", "5", "-o", str(output)])
    clearing.main()
    runs = json.loads(output.read_text())["runs"]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == runs
    assert [run["orders"] for run in runs] == [2, 5]
    for run in runs:
        assert (
            run["orders_per_s"]["market"] > run["orders_per_s"]["settle"] > run["orders_per_s"]["block"] > 0
        )
        assert len(run["slot_ms"]["block"]) == clearing.SLOTS


@pytest.mark.parametrize("homes", ["1", "10000"])
def test_communities_that_cannot_be_are_refused(
    homes: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clearing", homes])
    with pytest.raises(SystemExit):
        clearing.main()
    assert "2 to 9999 homes" in capsys.readouterr().err
