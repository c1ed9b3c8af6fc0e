"""A member's commands keep their word when the validators have changed: the genesis is all that the home holds."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.failure import ExitCode
from primitives.encoding import encode
from tests.cli.conftest import Command, Ended
from tests.node.api.rim import Rim, open_rim, run
from tests.node.api.test_validators import JOIN, add_fifth, remove_first
from tests.node.community import KEYS, Community, build_settled_community


class Desk:
    """A member's home that holds the genesis, and a validator to ask."""

    def __init__(self, gridbft: Command, rim: Rim, home: Path) -> None:
        self._gridbft = gridbft
        self._node = f"http://127.0.0.1:{rim.port}"
        self.home = home
        (home / "genesis.bin").write_bytes(encode(rim.community.genesis))

    async def ask(self, *arguments: object) -> Ended:
        """Run a command of a shell, in a thread of its own, against the validator."""
        return await asyncio.to_thread(self._gridbft, "--home", self.home, "--node", self._node, *arguments)

    async def offline(self, *arguments: object) -> Ended:
        """Run a command that asks nobody."""
        return await asyncio.to_thread(self._gridbft, "--home", self.home, *arguments)


def build_changed_community() -> Community:
    """A community with a settled slot, whose validators have changed twice since."""
    community = build_settled_community()
    add_fifth(community)
    remove_first(community)
    community.commit(community.grant())
    return community


@asynccontextmanager
async def open_desk(gridbft: Command, home: Path) -> AsyncIterator[tuple[Desk, Community]]:
    community = build_changed_community()
    async with open_rim(community) as rim:
        yield Desk(gridbft, rim, home), community


def test_a_bill_is_verified_under_a_certificate_of_a_later_epoch(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, _):
            ended = await desk.ask("bill", "home-0", "--day", "0", "--verify")
            assert ended.code == ExitCode.OK, ended.err
            assert "which 3 of 4 validators signed; every amount was recomputed" in ended.err

    run(scenario())


def test_a_proof_is_kept_with_its_handovers_and_checked_without_a_validator(
    gridbft: Command, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            newest = community.chain.blocks[community.header.height].batch.header.transaction_ids[0].hex()
            file = tmp_path / "grant.proof"
            kept = await desk.ask("tx", "proof", newest, "--verify", "-o", file)
            assert kept.code == ExitCode.OK, kept.err
            assert "2 handovers lead to them from the genesis" in kept.err
            checked = await desk.offline("tx", "proof", newest, "--verify", "--from", file)
            assert (checked.code, checked.out, checked.err) == (ExitCode.OK, kept.out, kept.err)
            spoiled = bytearray(file.read_bytes())
            spoiled[-1] ^= 1
            file.write_bytes(spoiled)
            refused = await desk.offline("tx", "proof", newest, "--from", file)
            assert refused.code in {ExitCode.ERROR, ExitCode.USAGE}
            assert refused.out == ""

    run(scenario())


def test_the_validators_are_listed_by_epoch(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, _):
            now = await desk.ask("validators", "list")
            assert now.code == ExitCode.OK, now.err
            assert now.out.startswith("epoch 2 since block 4: 4 validators, 3 are a quorum\n")
            assert "node4" in now.out
            assert "node0" not in now.out
            assert "no ballot is open" in now.err
            first = json.loads((await desk.ask("validators", "list", "--epoch", "0", "--json")).out)
            assert [each["name"] for each in first["validators"]] == ["node0", "node1", "node2", "node3"]
            coming = await desk.ask("validators", "list", "--epoch", "3")
            assert coming.code == ExitCode.NOT_FOUND
            assert "epoch 3 has not begun" in coming.line

    run(scenario())


@pytest.mark.parametrize(("voters", "told"), [(1, "node0 wants to"), (2, "node0, node1 want to")])
def test_an_open_ballot_is_told_in_a_sentence(
    gridbft: Command, tmp_path: Path, voters: int, told: str
) -> None:
    async def scenario() -> None:
        community = Community()
        community.commit(*(community.vote(key, "add", JOIN) for key in KEYS[:voters]))
        async with open_rim(community) as rim:
            listed = await Desk(gridbft, rim, tmp_path).ask("validators", "list")
            key = JOIN.validator.public_key.hex()[:16]
            missing = "2 more ballots are missing" if voters == 1 else "1 more ballot is missing"
            assert f"{told} let node4 in (key {key}, node4.example:7104); {missing}" in listed.out

    run(scenario())
