"""A key whose journal was copied, restored or lost: it says nothing before what it may have signed is passed."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.failure import ExitCode
from consensus.silence import SILENT_WINDOWS
from consensus.window import WINDOW
from tests.integration.community import Community, found_community, play
from tests.integration.ports import find_free_ports
from tests.integration.test_crashes import check_nothing_lost_or_doubled, under_load, wait_acknowledged
from tests.integration.test_outages import check_votes_count
from tests.integration.validator import CALM, Validator, until

SILENCE_S = 200.0
"""256 sequences on a machine that does much else; each takes some 50 ms on an idle one."""
FORGOTTEN = 10
"""Transactions, each with its receipt, between a copy and the original's next step."""


def find_dialer(community: Community) -> Validator:
    """Return the validator that dials all others: a second process with its key reaches everybody."""
    smallest = min(community.network.genesis.validators, key=lambda entry: entry.public_key)
    return community.get(smallest.name)


def build_copy(original: Validator, home: Path) -> Validator:
    """Return a second validator of the same home, on ports of its own."""
    p2p_port, api_port = find_free_ports(2)
    ports = {"GRIDBFT_P2P_PORT": str(p2p_port), "GRIDBFT_API_PORT": str(api_port)}
    return Validator(original.name, home, p2p_port, api_port, environment=ports)


async def read_silent_blocks(community: Community, validator: Validator) -> list[str]:
    """Return whoever signed the blocks, as another validator shows them, while ``validator`` had no voice."""
    lost = next(e for e in validator.read_events() if e["event"] == "voice_lost")
    witness = next(each for each in community.validators if each is not validator)
    blocks = await community.read_blocks(witness)
    first = lost["until"] - SILENT_WINDOWS * WINDOW + WINDOW
    return [
        name for block in blocks if first < block["sequence"] < lost["until"] for name in block["signers"]
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_copy_of_a_home_says_nothing_while_the_first_goes_on_and_ends_when_it_knows(tmp_path: Path) -> None:
    async def act(community: Community) -> None:
        original = find_dialer(community)
        await community.deliver([community.sign_grant()])
        await original.stop()
        copy = build_copy(original, Path(shutil.copytree(original.home, tmp_path / "copy")))
        copy.log_path.unlink()
        original.start()
        await community.wait_linked()
        try:
            async with under_load(community):
                await wait_acknowledged(community, FORGOTTEN)
                copy.start()
                await until(
                    lambda: copy.count_events("voice_lost") == 1, "the copy learns that it has forgotten"
                )
                assert await copy.wait_exit(SILENCE_S) == ExitCode.UNHEALTHY
        finally:
            if copy.is_running:
                copy.kill()
        assert copy.count_events("key_in_use") == 1, copy.log[-3000:]
        assert copy.count_events("voice_found") == 0
        assert "Traceback" not in copy.log
        await check_nothing_lost_or_doubled(community)

    play(found_community(tmp_path / "net"), act)


Lose = Callable[[Community, Validator, Path], Awaitable[None]]


async def restore_backup(community: Community, validator: Validator, backup: Path) -> None:
    """The whole home becomes again what it was."""
    shutil.rmtree(validator.home)
    shutil.copytree(backup, validator.home)


async def replace_disk(community: Community, validator: Validator, backup: Path) -> None:
    """Nothing but key and settings is left; the validator refuses to run until its operator has said so."""
    shutil.rmtree(validator.home / "data")
    await community.run_cli("recover", "--home", validator.home)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("lose", [restore_backup, replace_disk])
def test_who_has_forgotten_is_silent_until_what_it_signed_is_passed_and_then_votes(
    tmp_path: Path, lose: Lose
) -> None:
    async def act(community: Community) -> None:
        forgetful = community.validators[2]
        await community.deliver([community.sign_grant()])
        await forgetful.stop()
        backup = Path(shutil.copytree(forgetful.home, tmp_path / "backup"))
        forgetful.start()
        await community.wait_linked()
        async with under_load(community):
            await wait_acknowledged(community, FORGOTTEN)
        await (
            community.wait_agreed()
        )  # its last word came while it still mattered, so that the others remember it
        forgetful.kill()
        await lose(community, forgetful, backup)
        forgetful.log_path.unlink(missing_ok=True)
        async with under_load(community):
            forgetful.start()
            await until(lambda: forgetful.count_events("voice_lost") == 1, "it learns that it has forgotten")
            assert forgetful.count_events("voice_found") == 0
            await until(lambda: forgetful.count_events("voice_found") == 1, "it may vote again", SILENCE_S)
        assert forgetful.name not in await read_silent_blocks(community, forgetful)
        await check_votes_count(community, forgetful)
        await check_nothing_lost_or_doubled(community, CALM | {"voice_lost"})

    play(found_community(tmp_path / "net"), act)
