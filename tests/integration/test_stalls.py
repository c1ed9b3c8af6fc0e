"""A network that cannot commit says why, on real processes: who is missing, what comes next, what to do."""

import asyncio
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from cli.failure import ExitCode
from cli.network_spec import ConsensusSpec
from tests.integration.community import GENESIS_S, Community, found_community, play, running
from tests.integration.links import Links
from tests.integration.validator import DEADLINE_S, Validator

Status = dict[str, Any]
ADVICE = "what to do: bring 1 of them back: "


async def read_network(community: Community, code: ExitCode = ExitCode.OK) -> Status:
    """Return what `gridbft status --json` says, with `--check` when another code than 0 is expected."""
    check = [] if code is ExitCode.OK else ["--check"]
    found: Status = json.loads(await community.run_cli("status", "--json", *check, code=code))
    return found


async def wait_network(
    community: Community, condition: Callable[[Status], bool], what: str, deadline_s: float = DEADLINE_S
) -> Status:
    """Ask for the network's status until it fits; each question is a command of its own, so it is no busy loop."""
    end_s = monotonic() + deadline_s
    while not condition(status := await read_network(community)):
        assert monotonic() < end_s, f"not within {deadline_s:.0f} s: {what}; {status['problems']}"
    return status


async def fetch(validator: Validator, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(validator.url + path) as response:
        return response.status, await response.text()


async def submit_alone(community: Community, validator: Validator) -> None:
    """Leave a transaction with one validator, without waiting for its certificate."""
    async with community.open_client(validator, alone=True) as client:
        await client.submit(community.sign_grant())


@pytest.mark.slow
def test_with_two_then_three_then_all_of_four_killed_the_status_says_who_and_what_to_do_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async def act(community: Community) -> None:
        first, second, third, fourth = community.validators
        await community.deliver([community.sign_grant()])
        assert (await read_network(community))["problems"] == []
        second.kill()
        third.kill()
        await submit_alone(community, first)
        stalled = await wait_network(
            community,
            lambda told: any(
                "view 1, led by node1, attempt 1 of 1.0 s; tried again in 0." in line
                for line in told["problems"]
            ),
            "view 1",
        )
        await check_two_missing(community, stalled)
        fourth.kill()
        alone = await wait_network(
            community,
            lambda told: any(line.startswith("missing: node3") for line in told["problems"]),
            "node3",
        )
        assert alone["problems"][0] == "not committing: only 1 of 4 validators are connected and 3 are needed"
        first.kill()
        silent = await read_network(community, ExitCode.UNHEALTHY)
        assert silent["problems"][0].endswith("none of 4 validators answers")
        assert "nobody told a position" in await refuse(community, "consensus", "show")
        community.start()
        await wait_network(community, lambda told: bool(told["healthy"]), "all is well again")
        await community.check_acknowledged()

    play(found_community(tmp_path / "net"), act)


async def refuse(community: Community, *arguments: str) -> str:
    """Run a command that must end with an error; return what it says."""
    process = await community.start_cli(*arguments)
    out, talk = await process.communicate()
    assert (process.returncode, out) == (ExitCode.ERROR, b"")
    return talk.decode()


async def check_two_missing(community: Community, stalled: Status) -> None:
    """Status, readiness, metrics, positions and stories agree that node1 and node2 are missing."""
    first = community.validators[0]
    assert stalled["committing"] is False
    assert stalled["problems"][0] == "not committing: only 2 of 4 validators are connected and 3 are needed"
    missing = [
        re.match(r"missing: (\w+) since \S+ UTC \(for \d+ s\): .+", line) for line in stalled["problems"][1:3]
    ]
    assert [found and found[1] for found in missing] == ["node1", "node2"]
    assert any(line.startswith(f"{ADVICE}node1") for line in stalled["problems"])
    assert any(line.startswith("nothing accepted is lost") for line in stalled["problems"])
    assert (await read_network(community, ExitCode.UNHEALTHY))["healthy"] is False
    code, ready = await fetch(first, "/readyz")
    assert code == 503
    assert (
        "only 2 of 4 validators are connected and 3 are needed; missing: node1 (for "
        in json.loads(ready)["detail"]
    )
    _, metrics = await fetch(first, "/metrics")
    assert "gridbft_stalled 1.0" in metrics
    assert "gridbft_validators_missing 2.0" in metrics
    assert re.search(r'gridbft_validator_silence_seconds\{validator="node1"\} [1-9]', metrics)
    positions = json.loads(await community.run_cli("consensus", "show", "--json"))["validators"]
    assert [each["position"]["view_changes"] for each in positions if "position" in each] == [
        {"node0": 1, "node3": 1}
    ] * 2
    story = await community.run_cli("consensus", "explain", "--lines", "30")
    assert story.count("So it commits nothing: only 2 of 4 validators are connected and 3 are needed.") == 2
    assert "view_change_started view=1 reason=f + 1 replicas wait for the primary" in story


@pytest.mark.slow
def test_frozen_validators_are_missing_until_they_thaw_and_a_wrong_clock_is_named(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        primary, second, third, fourth = community.validators
        primary.freeze()
        second.freeze()
        await submit_alone(community, third)
        frozen = await wait_network(
            community,
            lambda told: sum(line.startswith("missing: ") for line in told["problems"]) == 2,
            "both",
        )
        assert any("that its process is not frozen" in line for line in frozen["problems"])
        primary.thaw()
        second.thaw()
        await wait_network(community, lambda told: bool(told["healthy"]), "all is well again")
        await asyncio.to_thread(
            fourth.ask_admin,
            "POST",
            "/clock",
            {"time_ms": (GENESIS_S + 3600) * 1000, "hold_ms": (GENESIS_S + 3600) * 1000},
        )
        told = await read_network(community, ExitCode.UNHEALTHY)
        assert "the clock of node3 is 3600 s ahead of the others': set it (timedatectl)" in told["problems"]
        await community.deliver([community.sign_grant()])

    consensus = ConsensusSpec(heartbeat_ms=2000, drift_ms=2000)
    play(found_community(tmp_path / "net", consensus=consensus), act)


@pytest.mark.slow
def test_while_the_primary_and_the_next_one_are_missing_the_attempt_and_the_seconds_to_the_next_one_are_told(
    tmp_path: Path,
) -> None:
    timeout_ms = 6_000

    async def act(community: Community) -> None:
        first, second, third, *_ = community.validators
        await community.deliver([community.sign_grant()])
        first.kill()
        second.kill()
        await submit_alone(community, third)
        statuses = await community.wait_statuses(
            lambda found: all(
                (status["stall"] or {}).get("cause") == "view_change"
                and status["stall"]["next_attempt_ms"] > 1_000
                for status in found
            ),
            "all five who are left wait for the second dead primary",
        )
        for stall in (status["stall"] for status in statuses):
            assert (stall["attempt"], stall["next_primary"]) == (1, "node2")
            assert stall["next_attempt_ms"] <= timeout_ms
            assert stall["outlook"].startswith(
                "view 1, led by node1, attempt 1 of 6.0 s; the next attempt follows in "
            )
            assert stall["outlook"].endswith(" and has 12 s (view 2, led by node2)")
            assert {each["name"] for each in stall["missing"]} == {"node0", "node1"}
        await community.wait_statuses(
            lambda found: all(status["view"] == 2 and status["stall"] is None for status in found),
            "the third primary leads",
        )

    consensus = ConsensusSpec(heartbeat_ms=2000, drift_ms=3_600_000, view_timeout_ms=timeout_ms)
    play(found_community(tmp_path / "net", validators=7, consensus=consensus), act)


@pytest.mark.slow
def test_a_validator_that_a_full_disk_ended_stops_nobody_and_its_end_is_explained_in_its_log(
    tmp_path: Path,
) -> None:
    community = found_community(tmp_path / "net")
    small = community.validators[3]
    small.file_bytes_max = 64 * 1024

    async def act(community: Community) -> None:
        while small.is_running:
            await community.deliver([community.sign_grant() for _ in range(50)], community.validators[0])
        told = await wait_network(community, lambda told: len(told["problems"]) == 5, "three miss it")
        assert told["committing"] is True
        assert told["problems"][0] == f"node3 at {small.url} does not answer: connection refused"
        assert told["problems"][-1].startswith(
            "what to do: where it does not run, read the last line of its log, mend what it says (a full disk?)"
        )
        assert (
            "no space" in small.log.splitlines()[-1].lower()
            or "too large" in small.log.splitlines()[-1].lower()
        )

    play(community, act)


@pytest.mark.slow
def test_a_watched_status_is_refreshed_until_ctrl_c(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        process = await community.start_cli("status", "--watch", "--json")
        assert process.stdout is not None
        async with asyncio.timeout(40):
            told = [json.loads(await process.stdout.readline()) for _ in range(2)]
        assert [each["network"] for each in told] == ["street"] * 2
        process.send_signal(signal.SIGINT)
        _, talk = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in talk

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_a_divided_network_is_told_by_its_parts_and_one_that_is_cut_off_alone_stops_nobody(
    tmp_path: Path,
) -> None:
    async def act(community: Community, links: Links) -> None:
        await community.deliver([community.sign_grant()])
        await links.isolate("node0", "node1")
        divided = await wait_network(
            community,
            lambda told: any(line.startswith("divided: ") for line in told["problems"]),
            "two halves",
        )
        assert divided["committing"] is False
        assert "divided: node0, node1 and node2, node3 run and do not reach each other" in divided["problems"]
        assert any(
            line.startswith("what to do: mend the network between them") for line in divided["problems"]
        )
        await links.heal()
        await links.isolate("node3")
        alone = await wait_network(
            community,
            lambda told: any(line.startswith("node3 takes no part") for line in told["problems"]),
            "node3 is cut off",
        )
        assert alone["committing"] is True
        await community.deliver([community.sign_grant()], *community.validators[:3])
        await links.heal()
        await wait_network(community, lambda told: bool(told["healthy"]), "all is well again")
        await community.check_acknowledged()

    async def run() -> None:
        community = found_community(tmp_path / "net", over="proxy")
        async with community.open_links() as links, running(community):
            await act(community, links)

    asyncio.run(run())
