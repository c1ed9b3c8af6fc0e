"""Short campaigns: whatever happens to links, processes and disks, the reckoning afterwards finds nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.campaign import RESUME_S_MAX, Findings, Settings, play_campaign_now
from tests.integration.chaos.faults import (
    fail_disk,
    fill_disk,
    kill_all,
    kill_one,
    kill_primaries,
    protect_disk,
    step_clock,
)
from tests.integration.chaos.history import find_forks, find_lost
from tests.integration.chaos.weather import CUTS


def check(findings: Findings, rounds: int) -> None:
    """Nothing was violated, and the campaign was one: every round was played, and members were served in it."""
    assert findings.violations == []
    assert findings.rounds == rounds
    assert len(findings.resumed_s) == rounds
    assert max(findings.resumed_s) <= RESUME_S_MAX
    assert findings.acknowledged > findings.readings > 0


@pytest.mark.slow
def test_primaries_killed_one_after_the_other_over_flaky_links_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    findings = play_campaign_now(
        Settings(60, seed=1, profile="flaky", faults=(kill_primaries,), rounds_max=1, is_in_turn=True),
        tmp_path,
    )
    check(findings, 1)
    assert findings.hits["primaries_killed"] >= 2
    assert findings.proxy.reset > 0
    assert findings.view_changes > 0


@pytest.mark.slow
def test_partitions_and_blackouts_lose_and_double_nothing(tmp_path: Path) -> None:
    findings = play_campaign_now(
        Settings(
            60, seed=2, profile="partitions", faults=(kill_all, kill_one), rounds_max=1, is_in_turn=True
        ),
        tmp_path,
    )
    check(findings, 1)
    assert findings.hits["kills"] == 4 + 1
    assert sum(findings.hits[name] for name in CUTS) >= 1


@pytest.mark.slow
def test_full_failing_and_read_only_disks_and_a_clock_hours_ahead_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    faults = (fill_disk, fail_disk, protect_disk, step_clock)
    findings = play_campaign_now(
        Settings(60, seed=3, profile="calm", faults=faults, rounds_max=1, is_in_turn=True), tmp_path
    )
    check(findings, 1)
    assert findings.hits["full_disks"] == findings.hits["clocks_ahead"] == 1
    assert findings.hits["failed_disks"] == ("strace" in findings.disk)
    assert findings.hits["read_only_disks"] == ("tmpfs" in findings.disk)


def build_block(height: int, **changes: object) -> dict[str, Any]:
    entries = [{"id": f"{height:064x}", "rejection": None}]
    return {
        "height": height,
        "digest": f"digest {height}",
        "parent": f"digest {height - 1}",
        "state_root": f"root {height}",
        "receipts_root": f"receipts {height}",
        "transactions": entries,
        **changes,
    }


def test_two_chains_of_which_one_is_the_beginning_of_the_other_are_no_fork() -> None:
    chain = [build_block(height) for height in range(1, 5)]
    assert list(find_forks({"node0": chain, "node1": chain[:2]})) == []


@pytest.mark.parametrize("spoiled", ["digest", "parent", "state_root", "receipts_root", "transactions"])
def test_two_chains_that_differ_in_anything_at_one_height_are_a_fork(spoiled: str) -> None:
    chain = [build_block(height) for height in range(1, 5)]
    other = [*chain[:2], build_block(3, **{spoiled: "other"}), chain[3]]
    assert list(find_forks({"node0": chain, "node1": other})) == ["node0 and node1 differ in block 3"]


def test_what_stands_once_where_its_receipt_says_is_not_lost() -> None:
    chain = [build_block(height) for height in range(1, 5)]
    assert list(find_lost({get_name(2): 2, get_name(4): 4}, {get_name(9): "EXPIRED"}, chain)) == []


def test_what_stands_elsewhere_or_nowhere_is_lost() -> None:
    chain = [build_block(height) for height in range(1, 5)]
    found = list(find_lost({get_name(2): 3, get_name(9): 4}, {}, chain))
    assert [line.rpartition(", ")[2] for line in found] == ["stands in 2", "stands in None"]


def test_what_is_applied_in_two_blocks_is_doubled_and_what_is_refused_in_the_second_is_not() -> None:
    first = build_block(1)
    again = build_block(2, transactions=first["transactions"])
    assert len(list(find_lost({}, {}, [first, again]))) == 1
    refused = build_block(2, transactions=[{"id": get_name(1).hex(), "rejection": "NONCE_USED"}])
    assert list(find_lost({}, {}, [first, refused])) == []


def test_what_was_proven_as_refused_must_not_be_applied() -> None:
    assert len(list(find_lost({}, {get_name(1): "EXPIRED"}, [build_block(1)]))) == 1


def test_a_gap_in_the_chain_is_found() -> None:
    assert "block 3 stands at 2" in list(find_lost({}, {}, [build_block(1), build_block(3)]))


def get_name(height: int) -> bytes:
    """Return the id of the transaction in the block that ``build_block`` makes."""
    return height.to_bytes(32, "big")
