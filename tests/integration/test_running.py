"""What an operator watches a running network with, on real processes: metrics, and who signed which blocks."""

import asyncio
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.failure import ExitCode
from cli.monitoring.alerts import ALERTS
from tests.cli.monitoring.test_monitoring import OF_PROMETHEUS, find_selectors
from tests.integration.community import Community, found_community
from tests.integration.validator import DEADLINE_S, Validator

pytestmark = pytest.mark.slow

BLOCKS = 5


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Community]:
    """Four validators that run and have made some blocks."""
    community = found_community(tmp_path_factory.mktemp("running") / "net")

    async def begin() -> None:
        community.start()
        await community.wait_linked()
        for _ in range(BLOCKS):
            await community.deliver([community.sign_grant()])
        await deliver_until(
            community,
            lambda records: {each["marks"][-1:] for each in records.values()} == {"1"},
            "all have signed one",
        )

    try:
        asyncio.run(begin())
        yield community
    finally:
        for validator in community.running:
            validator.kill()


Records = Mapping[str, Mapping[str, Any]]


async def list_validators(community: Community, validator: Validator) -> tuple[int, Records]:
    """Return the certified height of one validator, and who signed what as it saw it."""
    told = json.loads(await community.run_cli("validators", "list", "--node", validator.url, "--json"))
    return told["height"], {each["name"]: each for each in told["validators"]}


async def deliver_until(
    community: Community, condition: Callable[[Records], bool], what: str
) -> tuple[int, Records]:
    """Make blocks until what the first validator saw fits: on a busy machine one may fetch blocks, and not sign."""
    end_s = monotonic() + DEADLINE_S
    while True:
        await community.deliver([community.sign_grant()])
        height, records = await list_validators(community, community.validators[0])
        if condition(records):
            return height, records
        assert monotonic() < end_s, f"not within {DEADLINE_S:.0f} s: {what}; {records}"


async def scrape(validator: Validator) -> dict[str, float]:
    """Return every sample by its name and labels."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{validator.url}/metrics") as response,
    ):
        text = await response.text()
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_of_a_running_node_measure_what_they_name(street: Community) -> None:
    first = street.validators[0]
    found = asyncio.run(scrape(first))
    assert found["gridbft_certified_height"] >= BLOCKS
    assert found["gridbft_validators"] == 4
    assert found["gridbft_peers_connected"] == 3
    assert found["gridbft_phase normal"] == 1
    assert found["gridbft_phase halted"] == 0
    assert found["gridbft_heartbeat_seconds"] == 2
    assert found["gridbft_journal_sync_seconds_count"] == found["gridbft_journal_syncs_total"] > 0
    assert found["gridbft_block_execution_seconds_count"] == found["gridbft_blocks_executed_total"]
    assert found["gridbft_block_interval_seconds_count"] == found["gridbft_blocks_executed_total"] - 1
    assert found["gridbft_journal_bytes"] == (first.home / "data" / "journal").stat().st_size
    assert found["gridbft_store_bytes"] > 0
    assert found["gridbft_disk_free_bytes"] > 0
    written = found["gridbft_disk_written_bytes_total"]
    counted = first.read_written_bytes()
    assert written <= counted
    assert (written > 0) == (counted > 0)  # in memory, as where /tmp is a tmpfs, nothing is written to a disk
    assert found["gridbft_mempool_transactions_max"] == 20_000
    for name in ("node1", "node2", "node3"):
        assert found[f"gridbft_peer_connected {name}"] == 1
        assert found[f"gridbft_peer_received_bytes_total {name}"] > 0
        assert found[f"gridbft_validator_silence_seconds {name}"] < 60
    for name in ("node0", "node1", "node2", "node3"):
        assert 1 <= found[f"gridbft_validator_last_signed_height {name}"] <= found["gridbft_certified_height"]
        counts = [found[f"gridbft_validator_{what}_blocks {name}"] for what in ("signed", "missed")]
        assert counts[0] >= 1
        assert sum(counts) <= found["gridbft_certified_height"]


def test_every_alert_finds_its_metrics_at_a_running_node(street: Community) -> None:
    asyncio.run(scrape(street.validators[1]))  # an answer is counted after it was given
    found = {name.partition(" ")[0] for name in asyncio.run(scrape(street.validators[1]))}
    named = {selector.name for alert in ALERTS for selector in find_selectors(alert.expression)}
    assert named - found - OF_PROMETHEUS == set()


def test_the_list_of_validators_shows_who_signed_which_block_and_who_missed_some(street: Community) -> None:
    async def act() -> None:
        fourth = street.get("node3")
        fourth.kill()
        _, records = await deliver_until(
            street, lambda told: told["node3"]["marks"].endswith("000"), "three blocks without node3"
        )
        url = street.validators[0].url
        for name in ("node0", "node1", "node2"):
            assert records[name]["marks"].endswith("111")  # with three of four, a block needs all of them
        assert records["node3"]["missed_blocks"] == records["node3"]["marks"].count("0") >= 3
        shown = await street.run_cli("validators", "list", "--node", url)
        process = await street.start_cli("consensus", "show")
        assert f"node3 at {fourth.url} does not answer: " in (await process.communicate())[1].decode()
        assert re.search(r"^node0  \d+ signed, \d+ missed +[■·? ]*■[■·? ]*$", shown, re.MULTILINE)
        assert re.search(r"^node3  \d+ signed, [1-9]\d* missed +[■·? ]*·[■·? ]*$", shown, re.MULTILINE)
        fourth.start()
        await street.wait_linked()

    asyncio.run(act())


def test_after_a_restart_nobody_is_accused_of_blocks_that_this_node_did_not_watch(street: Community) -> None:
    async def act() -> None:
        second = street.get("node1")
        before = (second.read_status() or {})["height"]
        second.kill()
        second.start()
        await street.wait_linked()
        await street.wait_agreed()
        height, records = await list_validators(street, second)
        for each in records.values():
            marks = each["marks"]
            assert len(marks) == min(height, 100)
            assert "0" not in marks[: len(marks) - (height - before)]

    asyncio.run(act())


def test_systemd_hears_that_a_node_listens_how_it_stands_that_it_lives_and_stops(street: Community) -> None:
    async def act() -> None:
        third = street.get("node2")
        await third.stop()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.bind(f"\0gridbft-running-{os.getpid()}")
            link.setblocking(False)

            async def hear(what: str) -> str:
                """Return the first datagram that says this."""
                async with asyncio.timeout(DEADLINE_S):
                    while what not in (heard := (await loop.sock_recv(link, 4096)).decode()):
                        pass
                return heard

            third.start(NOTIFY_SOCKET=f"@gridbft-running-{os.getpid()}", WATCHDOG_USEC="300000")
            assert await hear("READY=1") == "READY=1"
            assert await hear("linked to 3 of 3\nWATCHDOG=1")
            assert await hear("WATCHDOG=1")
            await third.stop()
            assert await hear("STOPPING=1") == "STOPPING=1"
        third.start()
        await street.wait_linked()

    asyncio.run(act())


def test_a_watched_status_is_told_again_and_again_each_time_with_its_moment(street: Community) -> None:
    async def act() -> None:
        process = await street.start_cli("status", "--watch")
        assert process.stdout is not None
        told: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while sum(line.endswith(" UTC") for line in told) < 3:
                told.append((await process.stdout.readline()).decode().strip())
        process.terminate()
        await process.wait()
        begins = [place for place, line in enumerate(told) if line.endswith(" UTC")]
        assert begins[0] == 0
        assert {told[place + 1] for place in begins[:2]} == {"street: 4 of 4 validators answer"}

    asyncio.run(act())


def test_a_health_check_asks_the_process_alone(street: Community, tmp_path: Path) -> None:
    async def act() -> None:
        home = street.get("node0").home
        assert json.loads(await street.run_cli("status", "--live", "--json", "--home", home)) == {
            "live": True
        }
        await street.run_cli("status", "--live", "--home", tmp_path, code=ExitCode.UNHEALTHY)
        for flag in ("--check", "--watch"):
            await street.run_cli("status", "--live", flag, "--home", home, code=ExitCode.USAGE)

    asyncio.run(act())


def test_the_logs_tell_of_no_bug(street: Community, tmp_path: Path) -> None:
    calm = frozenset({"view_change_started"})
    for validator in street.validators:
        validator.check_log(allowed=calm)
