"""An observer of a real network: late, served by validators that die, restarted, lied to."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cli.node_keys import open_identities
from consensus.messages import Certificate
from node.answers import Answers
from node.config import ObserversConfig
from node.exchange import BlocksAnswer, RequestKind
from node.mempool import Mempool, MempoolLimits
from node.metrics import Metrics
from node.observer.port import ObserverHandlers, open_observer_port
from node.queries import Queries
from node.storage.chain import ChainStore
from node.storage.memory import MemoryStore
from p2p.network import NetworkSettings
from p2p.peers import PeerAddress
from primitives.batch import build_batch
from primitives.encoding import encode
from primitives.header import Block
from primitives.ids import Height, ReplicaId, UnixMs
from tests.integration.community import Community, found_community, play
from tests.integration.homes import found_homes, play_slot, register
from tests.integration.ports import find_free_ports
from tests.integration.validator import PASSPHRASE, Validator
from vm.executor import build_genesis_block

SERVING = ("node0", "node1")
LIE_HEIGHT = 1_000_000


class Scene:
    """A community two of whose validators serve observers, and the observer."""

    def __init__(self, directory: Path) -> None:
        self.community = found_community(directory / "net")
        self.ports = dict(zip(SERVING, find_free_ports(len(SERVING)), strict=True))
        for name, port in self.ports.items():
            self.community.get(name).environment["GRIDBFT_OBSERVERS_PORT"] = str(port)
        home = self.community.network.directory / "gateway"
        self.gateway = Validator("gateway", home, 0, find_free_ports(1)[0])

    async def make_gateway(self) -> None:
        """Make the observer's home and let it in, with the commands that their operators type."""
        served = [f"--peer={name}=127.0.0.1:{port}" for name, port in self.ports.items()]
        await self.community.run_cli(
            *(
                "network",
                "join",
                "--role",
                "observer",
                "--name",
                "gateway",
                "--api-port",
                self.gateway.api_port,
            ),
            *("--from", self.community.network.directory, "-o", self.gateway.home, *served),
        )
        for name in SERVING:
            home = self.community.get(name).home
            await self.community.run_cli(
                "observers", "add", self.gateway.home / "observer.bundle", "--home", home
            )

    async def await_followed(self) -> Mapping[str, Any]:
        """Wait until the observer is where the validators are, with the same state; return its status."""
        agreed = await self.community.wait_agreed()
        (status,) = await self.community.wait_statuses(
            lambda found: (
                found[0]["certified_height"] >= agreed["certified_height"] and found[0]["waiting"] is None
            ),
            "the observer has followed",
            among=[self.gateway],
        )
        if status["certified_height"] == agreed["certified_height"]:
            assert status["state_root"] == agreed["state_root"]
        assert (status["role"], status["phase"], status["active"]) == ("observer", "observing", False)
        return status

    async def read_bill(self, home: str) -> Mapping[str, Any]:
        """Return a bill that the command verified, asking nobody but the observer."""
        told = await self.community.run_cli(
            "bill", home, "--day", "0", "--verify", "--json", "--node", self.gateway.url
        )
        bill: Mapping[str, Any] = json.loads(told)
        assert bill["verified"]
        return bill

    async def deliver_by_gateway(self) -> None:
        """Submit to the observer alone; it passes on, and its own chain proves."""
        async with self.community.open_client(self.gateway, alone=True) as client:
            (outcome,) = await client.deliver_many([self.community.sign_grant()], 60)
        self.community.keep(outcome)

    def find_followed(self, status: Mapping[str, Any]) -> Validator:
        """Return the validator that gave the observer the most."""
        peer = max(status["peers"], key=lambda each: each["bytes_in"])
        return self.community.get(peer["name"])


class Liar(Answers):
    """Gives blocks whose certificate nobody signed."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def answer(self, kind: int, payload: bytes) -> bytes:
        _ = payload
        return self._said if kind == RequestKind.BLOCKS else b""


async def open_liar(stack: AsyncExitStack, scene: Scene, validator: Validator, said: bytes) -> None:
    """Serve lies at the port of a validator that is down, with its key and certificate; they claim a great height."""
    genesis = scene.community.network.genesis
    (identity,) = open_identities(validator.home, PASSPHRASE.encode())
    member = next(each for each in genesis.validators if each.name == validator.name)
    own = NetworkSettings(
        chain=genesis.name,
        genesis_hash=genesis.compute_hash(),
        own=PeerAddress(member.name, member.public_key, member.tls_certificate, "127.0.0.1", 0),
        signing_key=identity.key,
        tls_key_pem=identity.tls_key_pem,
        listen_host="127.0.0.1",
        listen_port=0,
        peers=(),
    )
    queries = Queries(genesis, ChainStore(MemoryStore()), Mempool(MempoolLimits(1, 1, 1)))
    config = ObserversConfig(port=scene.ports[validator.name])

    async def submit(_: object) -> list[Any]:
        return []

    handlers = ObserverHandlers(Liar(said), queries, submit, Metrics(), config)
    await stack.enter_async_context(open_observer_port(validator.home, config, own, handlers))
    queries.signal.advance(Height(LIE_HEIGHT))


def forge_block(scene: Scene, height: int) -> bytes:
    """Return an answer with a block of this height that nobody signed."""
    genesis = scene.community.network.genesis
    proposer = ReplicaId(genesis.validators[0].public_key)
    batch = build_batch(proposer, UnixMs(genesis.time_ms), ())
    first = build_genesis_block(genesis).header
    header = structs.replace(first, height=height, batch_digest=batch.header.compute_digest())
    return encode(BlocksAnswer((Block(header, batch),), Certificate(header, ())))


async def follow_through_deaths(scene: Scene, home: str) -> None:
    """Kill the validator that is followed, then the observer; each time blocks go on coming."""
    followed = scene.find_followed(await scene.await_followed())
    followed.kill()
    await scene.deliver_by_gateway()
    await scene.await_followed()
    scene.gateway.kill()
    await scene.community.deliver([scene.community.sign_grant()])
    scene.gateway.start()
    await scene.await_followed()
    assert (await scene.read_bill(home))["lines"]
    followed.start()
    await scene.community.wait_linked()


async def lie_to_it(scene: Scene) -> None:
    """Let another speak for a validator that is down, with its key: it is named, and the other one followed."""
    liar = scene.find_followed(await scene.await_followed())
    liar.kill()
    async with AsyncExitStack() as stack:
        height = (await scene.await_followed())["height"]
        await open_liar(stack, scene, liar, forge_block(scene, height + 1))
        (status,) = await scene.community.wait_statuses(
            lambda found: any(peer["banned_for_s"] for peer in found[0]["peers"]),
            "the liar is banned",
            among=[scene.gateway],
        )
        (peer,) = [each for each in status["peers"] if each["banned_for_s"]]
        assert peer["name"] == liar.name
        assert "0 signatures are fewer than the 3 needed" in peer["last_error"]
        assert scene.gateway.count_events("source_refused") == 1
        await scene.deliver_by_gateway()
        await scene.await_followed()


@pytest.mark.slow
def test_an_observer_follows_through_deaths_and_lies_and_its_bills_prove_themselves(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def act(community: Community) -> None:
        homes = found_homes(community, 2)
        await register(community, homes)
        await play_slot(community, homes, 0)
        home = homes.day.homes[0].home
        await scene.make_gateway()
        scene.gateway.start()
        try:
            await scene.await_followed()
            assert len((await scene.read_bill(home))["lines"]) == 1
            await scene.deliver_by_gateway()
            await play_slot(community, homes, 1)
            await scene.await_followed()
            assert len((await scene.read_bill(home))["lines"]) == 2
            await follow_through_deaths(scene, home)
            await lie_to_it(scene)
            await scene.gateway.stop()
            scene.gateway.check_log(allowed=frozenset({"source_refused", "peer_banned", "handshake_refused"}))
        finally:
            if scene.gateway.is_running:
                scene.gateway.kill()

    play(scene.community, act)
