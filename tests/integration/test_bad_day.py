"""A bad day on a real network: what an operator types is refused while a validator runs, and helps where none does."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from cli.failure import ExitCode
from cli.network_spec import ConsensusSpec
from tests.integration.community import Community, found_community, play
from tests.integration.test_outages import check_votes_count
from tests.integration.validator import CALM, Validator, until

BLOCKS = 5
QUIET = ConsensusSpec(heartbeat_ms=600_000, drift_ms=3_600_000)
"""No block comes by itself, so that the last one of a stopped validator has its certificate."""


async def refuse_what_runs(community: Community, running: Validator) -> None:
    for command in (
        ("inspect", "journal"),
        ("inspect", "block", "latest"),
        ("snapshot", "create"),
        ("reset", "data", "--confirm", "street"),
        ("reset", "unsafe-all", "--confirm", "street"),
    ):
        await community.run_cli(*command, "--home", running.home, code=ExitCode.ERROR)


async def change_levels(community: Community, running: Validator) -> None:
    """The transcript is written while its level says so, and no longer."""
    assert running.count_events("transcript") == 0
    told = json.loads(
        await community.run_cli("logs", "level", "consensus=debug", "--json", "--home", running.home)
    )
    assert (told["consensus"], told["p2p"]) == ("debug", "info")
    await community.deliver([community.sign_grant()])
    await until(lambda: running.count_events("transcript") > 0, "the transcript is written")
    await community.run_cli("logs", "level", "info", "--home", running.home)
    shown = await community.run_cli("logs", "level", "--home", running.home)
    assert {line.split()[1] for line in shown.splitlines()} == {"info"}


async def look_over(community: Community, running: Validator, bundle: Path) -> None:
    """The checks see a node that runs, and whom it talks to; how fast this machine's disk is does not matter here."""
    process = await community.start_cli("doctor", "--json", "--bundle", bundle, "--home", running.home)
    out, talk = await process.communicate()
    assert b"Traceback" not in talk
    found = {each["check"]: each for each in json.loads(out)["findings"]}
    for check in ("node", "ports", "peers_api", "peers_p2p", "same_genesis", "journal", "store", "config"):
        assert found[check]["level"] == "ok", found[check]
    assert found["peers_api"]["said"] == "3 validators were asked, all answered"
    assert "stepped" in found["settings"]["said"]
    with tarfile.open(bundle) as archive:
        metrics = archive.extractfile("gridbft-doctor/metrics.txt")
        assert metrics is not None
        assert b"gridbft_chain_height" in metrics.read()


async def look_into(community: Community, stopped: Validator) -> None:
    """What was acknowledged last is found on the disk, and the journal says what was signed."""
    name, outcome = next(reversed(community.acknowledged.items()))
    told = await community.run_cli("inspect", "tx", name.hex(), "--json", "--home", stopped.home)
    found = json.loads(told)
    assert (found["height"], found["rejection"]) == (outcome.height, None)
    journal = json.loads(await community.run_cli("inspect", "journal", "--json", "--home", stopped.home))
    assert journal["is_usable"]
    assert journal["promise"]["signed_height"] == community.height


async def check_no_contradiction(community: Community) -> None:
    statuses = await community.read_statuses(community.running)
    assert statuses is not None
    assert {status["counters"]["equivocations"] for status in statuses} == {0}


@pytest.mark.slow
def test_a_home_is_looked_into_reset_and_caught_up_and_another_begins_from_its_snapshot(
    tmp_path: Path,
) -> None:
    file = tmp_path / "street.snapshot"

    async def act(community: Community) -> None:
        first, patient, stranded = community.validators[0], community.validators[2], community.validators[3]
        for _ in range(BLOCKS):
            await community.deliver([community.sign_grant()])
        await refuse_what_runs(community, patient)
        await change_levels(community, patient)
        await look_over(community, patient, tmp_path / "bundle.tar.gz")
        await community.wait_agreed()
        await patient.stop()
        await look_into(community, patient)
        await community.run_cli("snapshot", "create", "-o", file, "--home", patient.home)

        journal = (patient.home / "data/journal").read_bytes()
        reset = ("reset", "data", "--home", patient.home)
        await community.run_cli(*reset, "--confirm", "avenue", code=ExitCode.USAGE)
        await community.run_cli(*reset, "--confirm", "street")
        await community.run_cli(*reset, "--confirm", "street")
        patient.start()
        await community.wait_linked()
        await community.wait_agreed()
        assert (patient.home / "data/journal").read_bytes().startswith(journal)
        await check_votes_count(community, patient)
        assert patient.count_events("voice_lost") == 0
        assert patient.count_events("blocks_fetched") > 0

        await stranded.stop()
        shutil.rmtree(stranded.home / "data")
        restore = ("snapshot", "restore", file, "--home", stranded.home)
        await community.run_cli(*restore)
        await community.run_cli(*restore)
        stranded.start()
        committed = await community.deliver([community.sign_grant()], first)
        found = await community.wait_statuses(
            lambda told: len({(each["height"], each["state_root"]) for each in told}) == 1,
            "who began from a snapshot has the others' state",
        )
        assert found[3]["phase"] == "silent"
        assert found[3]["height"] == committed[0].height
        await check_no_contradiction(community)
        patient.check_log(allowed=CALM | {"blocks_lost"})
        stranded.check_log(allowed=CALM | {"voice_lost"})

    play(found_community(tmp_path / "net", consensus=QUIET), act)
