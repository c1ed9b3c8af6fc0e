"""Validators join, leave and change their keys while the community goes on; whoever holds the genesis follows."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from cli.bundle import Bundle, read_bundle
from cli.failure import ExitCode
from cli.network_spec import ConsensusSpec
from cli.node_keys import NEXT_KEY_PATH, NODE_KEY_PATH, open_identities
from meter.outcomes import OutcomeUnknown
from meter.proofs import build_trust_anchor
from meter.verification import Problem, Verifier
from node.identity import Identity
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Nonce
from primitives.quorum import get_quorum
from tests.integration.community import Community, found_community, running
from tests.integration.ports import find_free_ports
from tests.integration.validator import PASSPHRASE, Validator
from vm.contracts.validators import Add, Remove, Replace
from vm.transaction import Call, SealedTransaction, sign_transaction

pytestmark = [pytest.mark.slow, pytest.mark.timeout(540)]

CONSENSUS = ConsensusSpec(heartbeat_ms=2000)


class Assembly:
    """The validators of a community, in the order of the ledger, with the keys by which they vote."""

    def __init__(self, community: Community) -> None:
        self.community = community
        self.genesis = community.network.genesis
        self.members = list(community.validators)
        self.identities = {each.name: open_identity(each) for each in self.members}
        self.accounts = {
            name: AccountId(compute_account_id(identity.key.public))
            for name, identity in self.identities.items()
        }
        self.nonces = dict.fromkeys(self.identities, 0)
        self.epoch = 0

    async def make_newcomer(self, name: str) -> tuple[Validator, Bundle]:
        """Make the home of a new validator with the command, and start it: nobody knows it yet."""
        directory = self.community.network.directory
        p2p_port, api_port = find_free_ports(2)
        home = directory / name
        await self.community.run_cli(
            *("network", "join", "--name", name, "--host", "127.0.0.1", "--p2p-port", p2p_port),
            *("--api-port", api_port, "--from", directory, "-o", home),
        )
        newcomer = Validator(name, home, p2p_port, api_port)
        self.community.validators = (*self.community.validators, newcomer)
        self.identities[name] = open_identity(newcomer)
        self.accounts[name] = AccountId(compute_account_id(self.identities[name].key.public))
        self.nonces[name] = 0
        newcomer.start()
        return newcomer, read_bundle(home / "validator.bundle", self.genesis)

    def sign_ballots(self, method: str, change: Struct) -> list[SealedTransaction]:
        """Return the ballots of a quorum of the members for one change, the newest members first."""
        voters = self.members[::-1][: get_quorum(len(self.members))]
        return [self._sign(voter.name, method, change) for voter in voters]

    async def decide(self, method: str, change: Struct, members: Sequence[Validator]) -> None:
        """Let a quorum vote; afterwards these are the members."""
        await self.community.deliver(self.sign_ballots(method, change), *self.members)
        await self.await_epoch(members)

    async def await_epoch(self, members: Sequence[Validator]) -> None:
        """Wait until all members that run are in the next epoch, linked to each other, and vote."""
        self.epoch += 1
        self.members = list(members)
        await self.await_links()

    async def await_links(self) -> None:
        """Wait until all members that run are in this epoch, linked to each other, and vote."""
        awake = [each for each in self.members if each.is_running]
        names = {each.name for each in awake}

        def has_begun(status: dict[str, object]) -> bool:
            peers = {peer["name"]: peer["connected"] for peer in status["peers"]}  # type: ignore[attr-defined]
            linked = {name for name, connected in peers.items() if connected}
            return (
                status["epoch"] == self.epoch
                and status["phase"] == "normal"
                and linked | {str(status["name"])} >= names
            )

        await self.community.wait_statuses(
            lambda found: all(has_begun(dict(status)) for status in found),
            f"epoch {self.epoch} with {sorted(names)}",
            among=awake,
        )

    def _sign(self, name: str, method: str, change: Struct) -> SealedTransaction:
        self.nonces[name] += 1
        call = Call("validators", method, encode(change))
        return sign_transaction(
            self.identities[name].key,
            self.community.network.genesis_hash,
            self.accounts[name],
            Nonce(self.nonces[name]),
            self.community.height + 1000,  # type: ignore[arg-type]
            call,
        )


def put_next_key_in_place(validator: Validator) -> None:
    (validator.home / NEXT_KEY_PATH).replace(validator.home / NODE_KEY_PATH)


def open_identity(validator: Validator) -> Identity:
    return open_identities(validator.home, PASSPHRASE.encode())[-1]


@asynccontextmanager
async def under_load(community: Community) -> AsyncIterator[None]:
    """Deliver a transaction after the other until the end of the block; each one's receipt is verified."""

    async def deliver() -> None:
        while True:
            await community.deliver([community.sign_grant()], *community.running)

    task = asyncio.create_task(deliver())
    try:
        yield
    finally:
        assert not task.done(), "the load ended by itself"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_assembly(directory: Path) -> AsyncIterator[Assembly]:
    community = found_community(directory, stepped=False, consensus=CONSENSUS)
    async with running(community):
        yield Assembly(community)


async def check(assembly: Assembly) -> None:
    """All members agree, and every receipt is proven to whoever holds nothing but the genesis."""
    community = assembly.community
    await community.wait_agreed(among=assembly.members)
    anchor = build_trust_anchor(community.network.genesis)
    async with community.open_client(*assembly.members, alone=True) as client:
        followed = await client.follow(assembly.epoch)
        assert len(followed.memberships) == assembly.epoch + 1
        assert [each.name for each in followed.membership.validators] == [v.name for v in assembly.members]
        for name, outcome in community.acknowledged.items():
            certificate = outcome.proof.certificate
            assert followed.check_certificate(certificate) is None, name.hex()
            if certificate.header.epoch > 0:
                assert anchor.check_certificate(certificate) is not None


def test_a_fifth_validator_joins_by_the_commands_and_the_oldest_leaves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_assembly(tmp_path / "net") as assembly:
            community = assembly.community
            await community.deliver([community.sign_grant()])
            fifth, _ = await assembly.make_newcomer("node4")
            bundle = fifth.home / "validator.bundle"
            for voter, missing in zip(assembly.members[:3], (2, 1, None), strict=True):
                vote = await community.run_cli("validators", "add", bundle, "--home", voter.home, "--json")
                ballot = json.loads(vote)
                assert (ballot["decided"], ballot["missing"]) == (missing is None, missing)
            await assembly.await_epoch([*assembly.members, fifth])
            await community.deliver([community.sign_grant() for _ in range(20)])
            first = assembly.members[0]
            for voter in assembly.members[1:]:
                await community.run_cli("validators", "remove", first.name, "--home", voter.home)
            await assembly.await_epoch(assembly.members[1:])
            await community.deliver([community.sign_grant() for _ in range(20)], *assembly.members)
            await check(assembly)
            await community.wait_statuses(
                lambda found: (found[0]["phase"], found[0]["role"]) == ("observing", "observer"),
                "the removed one says so",
                among=[first],
            )
            async with community.open_client(first, alone=True) as client:
                refused = await client.submit(community.sign_grant())
                assert isinstance(refused, OutcomeUnknown)
            async with aiohttp.ClientSession() as session, session.get(f"{first.url}/readyz") as response:
                told = "node0 is no validator in epoch 2; ask one of node1, node2, node3, node4"
                assert (response.status, (await response.json())["detail"]) == (503, told)
            withdraw = ("validators", "withdraw", "--home", first.home)
            assert await community.run_cli(*withdraw, code=ExitCode.NOT_ALLOWED) == ""

    asyncio.run(scenario())


async def rotate(assembly: Assembly, validator: Validator) -> None:
    """Give a validator a second key, let a quorum of the others replace the first; its node changes over by itself."""
    community, name = assembly.community, validator.name
    await community.run_cli("network", "rotate", "--home", validator.home)
    await validator.stop()
    validator.start()  # with both keys now
    await assembly.await_links()
    bundle = read_bundle(validator.home / "validator.next.bundle", assembly.genesis)
    old = assembly.identities[name].key.public
    change = Replace(old, bundle.validator, bundle.endpoint)
    await assembly.decide("replace", change, assembly.members)
    assembly.identities[name] = open_identity(validator)
    assert assembly.identities[name].key.public == bundle.validator.public_key != old


async def rotate_while_down(assembly: Assembly, validator: Validator) -> None:
    """Replace the key of a validator that is down: its operator puts the second key in the place of the first."""
    await assembly.community.run_cli("network", "rotate", "--home", validator.home)
    await validator.stop()
    bundle = read_bundle(validator.home / "validator.next.bundle", assembly.genesis)
    old = assembly.identities[validator.name].key.public
    await assembly.decide("replace", Replace(old, bundle.validator, bundle.endpoint), assembly.members)
    put_next_key_in_place(validator)
    assembly.identities[validator.name] = open_identity(validator)
    validator.start()
    await assembly.await_links()


async def kill_at_the_boundary(assembly: Assembly, bundle: Bundle, newcomer: Validator) -> None:
    """Let a newcomer in, and kill a member between the ballot that decides and the first block of the new epoch."""
    community, victim = assembly.community, assembly.members[0]
    ballots = assembly.sign_ballots("add", Add(bundle.validator, bundle.endpoint))
    await community.deliver(ballots[:-1], *assembly.members)
    last = asyncio.create_task(community.deliver(ballots[-1:], *assembly.members[1:]))
    async with community.open_client(assembly.members[1], alone=True) as client:
        while (await client.get_status()).epoch == assembly.epoch:
            assert not last.done() or last.exception() is None
            await asyncio.sleep(0)
    victim.kill()
    await last
    victim.start()
    await assembly.await_epoch([*assembly.members, newcomer])


async def play_seven(assembly: Assembly) -> None:
    community = assembly.community
    for name in ("node4", "node5", "node6"):
        newcomer, bundle = await assembly.make_newcomer(name)
        if name == "node5":
            await kill_at_the_boundary(assembly, bundle, newcomer)
        else:
            add = Add(bundle.validator, bundle.endpoint)
            await assembly.decide("add", add, [*assembly.members, newcomer])
    assert [each.name for each in assembly.members] == [f"node{index}" for index in range(7)]
    await rotate(assembly, assembly.members[-1])
    for _ in range(3):
        leaver = assembly.members[0]
        key = assembly.identities[leaver.name].key.public
        await assembly.decide("remove", Remove(key), assembly.members[1:])
        await leaver.stop()
    assert [each.name for each in assembly.members] == ["node3", "node4", "node5", "node6"]
    await community.deliver([community.sign_grant() for _ in range(20)], *assembly.members)


def test_four_become_seven_and_four_others_again_under_load_with_a_crash_and_a_new_key(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with open_assembly(tmp_path / "net") as assembly:
            async with under_load(assembly.community):
                await play_seven(assembly)
            await check(assembly)

    asyncio.run(scenario())


async def check_offline(assembly: Assembly, directory: Path) -> None:
    """The first and the last receipt are kept as files, and proven where nothing is but the genesis."""
    community = assembly.community
    shutil.copytree(
        community.network.directory, directory, ignore=shutil.ignore_patterns("node*", "client.toml")
    )
    acknowledged = sorted(community.acknowledged.values(), key=lambda outcome: outcome.height)
    for outcome in (acknowledged[0], acknowledged[-1]):
        name = outcome.transaction_id.hex()
        file = directory / f"{name}.proof"
        await community.run_cli("tx", "proof", name, "-o", file)
        told = json.loads(
            await community.run_cli("tx", "proof", name, "--from", file, "--home", directory, "--json")
        )
        assert (told["verified"], told["height"]) == (True, outcome.height)
        verdict = json.loads(await community.run_cli("verify", file, "--home", directory, "--json"))
        certificate = outcome.proof.certificate
        assert (verdict["kind"], verdict["height"]) == ("receipt", outcome.height)
        assert verdict["certification"]["epoch"] == certificate.header.epoch
        assert verdict["call"]["amount"] > 0
    await check_balance_offline(assembly, directory)


async def check_balance_offline(assembly: Assembly, directory: Path) -> None:
    """A balance is kept as a file, and no byte of it can be another."""
    file = directory / "utility.proof"
    await assembly.community.run_cli("balance", "utility", "--save", file)
    verdict = json.loads(await assembly.community.run_cli("verify", file, "--home", directory, "--json"))
    assert (verdict["kind"], verdict["name"]) == ("balance", "utility")
    assert verdict["certification"]["epoch"] == assembly.epoch
    content, verifier = file.read_bytes(), Verifier(assembly.genesis)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 0x04]) + content[place + 1 :]
        assert isinstance(verifier.verify(changed), Problem), place


def test_who_slept_through_a_change_and_who_joins_after_it_find_their_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_assembly(tmp_path / "net") as assembly:
            community = assembly.community
            await community.deliver([community.sign_grant()])
            fifth, bundle = await assembly.make_newcomer("node4")
            await assembly.decide("add", Add(bundle.validator, bundle.endpoint), [*assembly.members, fifth])
            first, sleeper = assembly.members[:2]
            sleeper.kill()
            key = assembly.identities[first.name].key.public
            await assembly.decide("remove", Remove(key), assembly.members[1:])
            await first.stop()
            await community.deliver([community.sign_grant() for _ in range(20)], *assembly.members[1:])
            sleeper.start()
            await assembly.await_links()
            sixth, bundle = await assembly.make_newcomer("node5")  # the genesis names one who is gone
            await assembly.decide("add", Add(bundle.validator, bundle.endpoint), [*assembly.members, sixth])
            await rotate(assembly, sixth)
            await sixth.stop()
            sixth.start()
            await assembly.await_links()
            await rotate_while_down(assembly, sleeper)
            await community.deliver([community.sign_grant() for _ in range(20)], sixth)
            await check(assembly)
            await check_offline(assembly, tmp_path / "auditor")

    asyncio.run(scenario())
