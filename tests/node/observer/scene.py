"""Validators' ports for observers in this process, over a real chain that is certified here, and an observer's home."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import structs

from cli.admin import ask_admin
from cli.certificates import TlsIdentity, make_tls_identity
from cli.failure import CliError
from node.answers import Answers
from node.api.services import SubmitOutcome
from node.config import ApiConfig, NodeConfig, ObserversConfig, PeerConfig
from node.home import load_constitution, open_storage
from node.identity import Identity
from node.intake import SubmitResult, SubmitStatus
from node.mempool import Mempool, MempoolLimits
from node.metrics import Metrics
from node.observer.bundles import DIRECTORY_NAME, Observer, encode_bundle
from node.observer.observer import ObserverNode, open_observer
from node.observer.port import ObserverHandlers, open_observer_port
from node.queries import Queries
from node.supervisor import Supervisor
from p2p.network import Network, NetworkSettings, open_network
from p2p.peers import Dialling, PeerAddress
from primitives.encoding import encode
from primitives.hashing import compute_transaction_id
from primitives.header import Validator
from primitives.signing import SecretKey
from tests.integration.ports import find_free_ports
from tests.node.snapshots.source import Source
from tests.p2p.members import Ear
from tests.vm.ledger import make_genesis, make_key
from vm.genesis import Genesis

DEADLINE_S = 30.0
OWN_KEY = make_key("gateway")


@cache
def make_tls(name: str) -> TlsIdentity:
    return make_tls_identity(name)


def make_street_genesis(heartbeat_ms: int = 30_000) -> Genesis:
    """Return a genesis whose validators can be linked to."""
    genesis = make_genesis()
    consensus = structs.replace(genesis.consensus, heartbeat_ms=heartbeat_ms)
    validators = tuple(
        Validator(each.name, each.public_key, make_tls(each.name).certificate) for each in genesis.validators
    )
    return structs.replace(genesis, validators=validators, consensus=consensus)


def make_observer(name: str = "gateway", key: SecretKey = OWN_KEY) -> Observer:
    return Observer(name, key.public, make_tls(name).certificate)


@dataclass
class Served:
    """A validator's port: its answers come from the source, what it is given to submit is kept."""

    name: str
    home: Path
    port: int
    source: Source
    answers: Answers
    result: SubmitStatus = SubmitStatus.ACCEPTED
    submitted: list[bytes] = field(default_factory=list)
    outcomes: list[SubmitResult] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    bytes_per_s: int = 1024 * 1024

    def __post_init__(self) -> None:
        self.queries = Queries(
            self.source.genesis, self.source.chain, Mempool(MempoolLimits(100, 10**6, 100))
        )
        (self.home / DIRECTORY_NAME).mkdir(parents=True, exist_ok=True)

    def let_in(self, observer: Observer) -> None:
        bundle = encode_bundle(self.source.genesis_hash, observer)
        (self.home / DIRECTORY_NAME / f"{observer.name}.bundle").write_bytes(bundle)

    def announce(self) -> None:
        """Say what is certified, as a validator does with each certificate."""
        self.queries.signal.advance(self.source.header.height)  # type: ignore[arg-type]  # a height

    async def submit(self, raws: Sequence[bytes]) -> Sequence[SubmitOutcome]:
        self.submitted += raws
        if self.outcomes:
            return self.outcomes
        return [SubmitResult(compute_transaction_id(raw), self.result) for raw in raws]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        tls = make_tls(self.name)
        key = next(k for k in self.source.signers.values() if k.public == self.validator.public_key)
        own = NetworkSettings(
            chain=self.source.genesis.name,
            genesis_hash=self.source.genesis_hash,
            own=PeerAddress(self.name, key.public, tls.certificate, "127.0.0.1", 0),
            signing_key=key,
            tls_key_pem=tls.key_pem,
            listen_host="127.0.0.1",
            listen_port=0,
            peers=(),
        )
        config = ObserversConfig(port=self.port, bytes_per_s=self.bytes_per_s)
        handlers = ObserverHandlers(self.answers, self.queries, self.submit, self.metrics, config)
        async with open_observer_port(self.home, config, own, handlers) as door, asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(door.run())
            self.announce()
            try:
                yield
            finally:
                looking.cancel()

    @property
    def validator(self) -> Validator:
        return next(each for each in self.source.genesis.validators if each.name == self.name)


def make_served(directory: Path, source: Source, count: int = 1) -> list[Served]:
    """Return the ports of the first validators; the observer is let in at each."""
    served = [
        Served(f"v{index}", directory / f"v{index}", port, source, source.answers)
        for index, port in enumerate(find_free_ports(count))
    ]
    for each in served:
        each.let_in(make_observer())
    return served


@asynccontextmanager
async def open_link(
    served: Served, observer: Observer | None = None, key: SecretKey = OWN_KEY
) -> AsyncIterator[tuple[Network, Ear]]:
    """Dial a port as an observer does, and leave what follows to the test."""
    observer = observer or make_observer(key=key)
    validator = served.validator
    ear = Ear()
    settings = NetworkSettings(
        chain=served.source.genesis.name,
        genesis_hash=served.source.genesis_hash,
        own=PeerAddress(observer.name, key.public, observer.tls_certificate, "", 0),
        signing_key=key,
        tls_key_pem=make_tls(observer.name).key_pem,
        listen_host="",
        listen_port=0,
        peers=(
            PeerAddress(
                validator.name, validator.public_key, validator.tls_certificate, "127.0.0.1", served.port
            ),
        ),
        dialling=Dialling.ALWAYS,
    )
    async with open_network(settings, ear) as network:
        yield network, ear


def is_linked(network: Network) -> bool:
    return all(peer.connected for peer in network.get_peers())


@dataclass
class Gateway:
    """An observer's home, and the observer that runs there in this process."""

    home: Path
    source: Source
    config: NodeConfig

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.api.port}"

    @property
    def identity(self) -> Identity:
        tls = make_tls("gateway")
        return Identity(OWN_KEY, tls.key_pem, tls.certificate)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ObserverNode]:
        """Open the observer; what ``run`` raises, the end of the block raises."""
        constitution = load_constitution(self.home)
        with open_storage(self.home, constitution) as storage:
            async with (
                open_observer(
                    self.config, self.home, constitution, storage, self.identity, Supervisor()
                ) as node,
                asyncio.TaskGroup() as tasks,
            ):
                running = tasks.create_task(node.run())
                try:
                    yield node
                finally:
                    running.cancel()

    async def ask(self) -> dict[str, Any]:
        """Return the status that the observer tells over its admin socket; nothing while it does not answer."""
        try:
            return dict(await asyncio.to_thread(ask_admin, self.home, "GET", "/status"))
        except CliError:
            return {}

    async def await_height(self, height: int) -> dict[str, Any]:
        """Wait until reads are answered at this height; the state must be the source's."""
        told: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE_S):
            while told.get("certified_height", -1) < height:
                told = await self.ask()
        assert told["state_root"] == self.source.header.state_root.hex()
        return told


def make_gateway(directory: Path, source: Source, served: Sequence[Served]) -> Gateway:
    home = directory / "gateway"
    home.mkdir()
    (home / "genesis.bin").write_bytes(encode(source.genesis))
    peers = tuple(PeerConfig(each.name, "127.0.0.1", each.port) for each in served)
    config = NodeConfig(
        name="gateway", role="observer", api=ApiConfig(port=find_free_ports(1)[0]), peers=peers
    )
    return Gateway(home, source, config)
