"""The composition root of an observer: a validator's store, ledger, reads and API, and no replica.

Nothing is decided here. It has no journal of votes, because it has none: the file is only the lock of the home.
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from node.api.admin import AdminServices, open_admin
from node.api.app import open_api
from node.api.tokens import Tokens
from node.applier import Applier
from node.bookkeeping import Bookkeeping
from node.config import NodeConfig
from node.errors import DiskError, HomeError
from node.heard import Heard
from node.home import Constitution, Storage, load_constitution, open_storage
from node.identity import Identity
from node.intake import Intake
from node.lifetime import Lifetime
from node.logs import configure_logging
from node.memberships import read_memberships
from node.metrics import Metrics
from node.node import build_attendance, build_clock, build_mempool, get_first_line, pin_latest
from node.observer.follower import Follower, Parts
from node.observer.forwarding import Forwarder
from node.observer.gauging import ObserverGauging
from node.observer.keeper import SourceBook, SourceKeeper
from node.observer.rim import ObserverRim
from node.observer.standpoint import Standpoint
from node.peers import read_newest_membership
from node.queries import Queries
from node.snapshots.fetcher import SnapshotFetcher
from node.storage.journal import JournalError
from node.storage.store import StoreError
from node.story import Story
from node.supervisor import Supervisor
from node.upkeep import open_upkeep
from node.verifier import open_verifier
from p2p.network import Network, NetworkSettings, open_network
from p2p.peers import Dialling, PeerAddress
from primitives.ids import Height
from vm.contract import LedgerContext

log = structlog.get_logger("gridbft.observer")


async def run_observer(
    config: NodeConfig, home: Path, identities: Sequence[Identity], supervisor: Supervisor
) -> None:
    """Run the observer of ``home`` until cancelled; everything it opened is closed in reverse order.

    Raises:
        NodeError: it cannot start, or cannot go on; the message says what to do. Inside an exception group when it
            happened while the node was running.

    """
    configure_logging(config.log, home)
    constitution = load_constitution(home)
    while await _run_once(config, home, constitution, _choose_identity(identities), supervisor):
        pass  # a snapshot waits to become the store


async def _run_once(
    config: NodeConfig, home: Path, constitution: Constitution, identity: Identity, supervisor: Supervisor
) -> bool:
    """Open everything and run; tell whether to do so again, with another store."""
    try:
        async with AsyncExitStack() as stack:
            storage = stack.enter_context(open_storage(home, constitution))
            observer = await stack.enter_async_context(
                open_observer(config, home, constitution, storage, identity, supervisor)
            )
            supervisor.tell_ready()
            log.info("observer_started", observer=config.name, height=storage.chain.get_height())
            await observer.run()
            is_again = observer.lifetime.is_reopening
    except* (JournalError, StoreError) as group:
        raise DiskError(get_first_line(group)) from None
    return is_again


@asynccontextmanager
async def open_observer(
    config: NodeConfig,
    home: Path,
    constitution: Constitution,
    storage: Storage,
    identity: Identity,
    supervisor: Supervisor,
) -> AsyncIterator["ObserverNode"]:
    """Join the parts, from the inside to the rim; the order of closing is the reverse."""
    genesis, chain = constitution.genesis, storage.chain
    standpoint = _find_standpoint(constitution, storage)
    book = SourceBook(config.peers, read_newest_membership(home, constitution))
    book.check(standpoint.membership, identity.key.public)
    clock = build_clock(config, chain.get_latest_header().time_ms)
    mempool = build_mempool(config.mempool, Height(chain.get_height() + 1))
    ledger = LedgerContext(genesis, constitution.genesis_hash)
    metrics, queries = Metrics(), Queries(genesis, chain, mempool)
    follower = Follower(constitution.genesis_hash, standpoint)
    async with AsyncExitStack() as stack:
        stack.callback(queries.close)
        execution = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="gridbft-execute"))
        upkeep = stack.enter_context(open_upkeep(chain, queries, config.storage.keep_blocks, execution))
        verifier = await stack.enter_async_context(open_verifier(constitution.genesis_hash))
        applier = Applier(ledger, chain, chain.get_latest_header(), storage.tree, execution)
        intake = Intake(ledger, chain, mempool, verifier, clock, lambda: applier.header)
        membership = standpoint.membership
        heard, story = Heard(build_attendance(storage, membership)), Story(membership)
        bookkeeping = Bookkeeping(chain, queries, upkeep, intake, metrics, membership, clock, story, heard)
        peers = book.build(membership)
        network = await stack.enter_async_context(
            _open_network(config, constitution, identity, peers, follower)
        )
        follower.connect(network)
        fetcher = SnapshotFetcher(
            home / "data", constitution.genesis_hash, chain, network, lambda: follower.standpoint.membership
        )
        pin_latest(queries, storage)
        upkeep.begin(chain.get_latest_certificate())
        forwarder = Forwarder(intake, mempool, verifier, network, lambda: follower.standpoint.membership)
        gauging = ObserverGauging(
            *(config.name, home, constitution, chain, metrics, follower),
            *(mempool, verifier, bookkeeping, clock, applier.block_time),
        )
        rim = ObserverRim(
            config.name, constitution, follower, network, queries, mempool, bookkeeping, gauging, clock
        )
        services = rim.build_services(forwarder.submit)
        await stack.enter_async_context(open_api(services, config.api, Tokens(home).is_known))
        parts = Parts(applier, bookkeeping, fetcher, SourceKeeper(book, network))
        node = ObserverNode(follower, parts, network, supervisor, rim)
        admin = AdminServices(
            clock,
            rim.get_status,
            rim.get_consensus,
            node.lifetime.stop,
            find_dead_reason=rim.find_dead_reason,
        )
        await stack.enter_async_context(open_admin(admin, home))
        yield node


class ObserverNode:
    """The running parts of one observer."""

    def __init__(
        self, follower: Follower, parts: Parts, network: Network, supervisor: Supervisor, rim: ObserverRim
    ) -> None:
        self._follower = follower
        self._parts = parts
        self._network = network
        self._supervisor = supervisor
        self._rim = rim
        self.lifetime = Lifetime(supervisor)

    async def run(self) -> None:
        """Follow until stopped or cancelled, or until the store must be opened again."""
        parts = (
            self._follower.run(self._parts, self._network),
            self._await_snapshot(),
            self._supervisor.watch(self._rim.find_dead_reason, self._rim.tell_briefly),
        )
        await self.lifetime.run(parts)

    async def _await_snapshot(self) -> None:
        await self._parts.fetcher.offered.wait()
        log.info("snapshot_offered")
        self.lifetime.reopen()


@asynccontextmanager
async def _open_network(
    config: NodeConfig,
    constitution: Constitution,
    identity: Identity,
    peers: tuple[PeerAddress, ...],
    follower: Follower,
) -> AsyncIterator[Network]:
    settings = NetworkSettings(
        chain=constitution.genesis.name,
        genesis_hash=constitution.genesis_hash,
        own=PeerAddress(config.name, identity.key.public, identity.certificate, "", 0),
        signing_key=identity.key,
        tls_key_pem=identity.tls_key_pem,
        listen_host="",
        listen_port=0,
        peers=peers,
        dialling=Dialling.ALWAYS,
    )
    async with AsyncExitStack() as stack:
        try:
            network = await stack.enter_async_context(open_network(settings, follower))
        except ssl.SSLError as error:
            raise HomeError(
                f"the TLS key and the certificate in keys/node.key do not belong together ({error.reason or error});"
                " make the home anew with `gridbft network join --role observer`"
            ) from None
        yield network


def _choose_identity(identities: Sequence[Identity]) -> Identity:
    """Return the first key of the home, which must bring its certificate along.

    Raises:
        HomeError: it was made for a genesis.

    """
    if not identities[0].certificate:
        raise HomeError(
            "keys/node.key is of a validator of the genesis: start it without --role observer, or make a home with"
            " `gridbft network join --role observer`"
        )
    return identities[0]


def _find_standpoint(constitution: Constitution, storage: Storage) -> Standpoint:
    """Return where the store stands; an epoch whose last block has its certificate here has ended."""
    chain = storage.chain
    header = chain.get_latest_header()
    membership, following = read_memberships(chain, constitution.genesis)
    if following is not None and chain.get_certificate(Height(header.height)) is not None:
        membership, following = following, None
    return Standpoint(membership, header, following)
