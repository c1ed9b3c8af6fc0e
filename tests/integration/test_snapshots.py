"""Validators whose peers have let old blocks go: they come back by a certified snapshot, by themselves."""

import shutil
from pathlib import Path

import pytest

from cli.failure import ExitCode
from meter.validators import NotFoundError
from node.pruning import Pruner
from node.storage.chain import ChainStore
from node.storage.leveldb import open_leveldb
from tests.integration.community import Community, found_community, play
from tests.integration.test_outages import check_votes_count
from tests.integration.validator import CALM, Validator, until

BLOCKS = 12
KEPT = 3
EXPECTED = CALM | {"blocks_lost"}


async def stop_all(community: Community) -> None:
    for validator in community.running:
        await validator.stop()


def prune(validator: Validator) -> int:
    """Let the old blocks of a stopped validator go, as it does while it runs; return up to which height."""
    with open_leveldb(validator.home / "data" / "leveldb") as store:
        chain = ChainStore(store)
        certificate = chain.get_latest_certificate()
        assert certificate is not None
        pruner = Pruner(chain, KEPT)
        while pruner.step(certificate.header.height):  # type: ignore[arg-type]  # a height
            pass
        return chain.get_pruned_height()


async def commit_blocks(community: Community) -> None:
    for _ in range(BLOCKS):
        await community.deliver([community.sign_grant()])


@pytest.mark.slow
def test_a_validator_that_lost_its_chain_gets_a_snapshot_where_nobody_keeps_old_blocks(
    tmp_path: Path,
) -> None:
    async def act(community: Community) -> None:
        lost, *others = community.validators
        await commit_blocks(community)
        await community.wait_agreed()
        await stop_all(community)
        pruned = min(prune(validator) for validator in others)
        assert pruned >= BLOCKS - KEPT - 1
        journal = (lost.home / "data" / "journal").read_bytes()
        shutil.rmtree(lost.home / "data" / "leveldb")
        community.start()
        await until(lambda: lost.count_events("snapshot_offered") == 1, "a snapshot is installed")
        await community.wait_linked()
        await community.wait_agreed()
        assert (lost.home / "data" / "journal").read_bytes().startswith(journal)
        await check_votes_count(community, lost)
        assert await community.read_coins(lost) == len(community.acknowledged)
        async with community.open_client(lost, alone=True) as client:
            with pytest.raises(NotFoundError, match="is pruned: this validator keeps blocks above"):
                await client.ask("/v1/blocks/1", dict[str, object])
            first = next(iter(community.acknowledged.values()))
            with pytest.raises(NotFoundError, match="keeps no receipts up to block"):
                await client.get_transaction(first.transaction_id)
        lost.check_log(allowed=EXPECTED)

    play(found_community(tmp_path / "net"), act)


@pytest.mark.slow
def test_a_validator_whose_disk_is_gone_is_recovered_and_silent_on_the_state_of_the_others(
    tmp_path: Path,
) -> None:
    async def act(community: Community) -> None:
        lost, *others = community.validators
        await commit_blocks(community)
        await community.wait_agreed()
        await stop_all(community)
        for validator in others:
            prune(validator)
        shutil.rmtree(lost.home / "data")
        await community.run_cli("recover", "--home", lost.home)
        await community.run_cli("recover", "--home", lost.home)
        await community.run_cli("recover", "--home", others[0].home, code=ExitCode.ERROR)
        community.start()
        await until(lambda: lost.count_events("snapshot_offered") == 1, "a snapshot is installed")
        await community.wait_statuses(
            lambda found: found[0]["phase"] == "silent" and found[0]["height"] >= BLOCKS,
            "it follows",
            among=[lost],
        )
        committed = await community.deliver([community.sign_grant()], others[0])
        async with community.open_client(others[0], alone=True) as client:
            block = await client.ask(f"/v1/blocks/{committed[0].height}", dict[str, object])
        assert lost.name not in str(block["signers"])
        await community.wait_statuses(
            lambda found: len({(s["height"], s["state_root"]) for s in found}) == 1,
            "it has the others' state",
        )

    play(found_community(tmp_path / "net"), act)
