"""The composition root: opens what a validator needs, joins the parts, and runs until it is cancelled.

Nothing is decided here. Recovery is this order and nothing else: the store's last block, then the journal.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from consensus.codec import NONCE_BYTES
from consensus.membership import Membership
from consensus.replica import Replica
from node.answers import Answers
from node.api.admin import AdminServices, open_admin
from node.api.app import open_api
from node.api.tokens import Tokens
from node.applier import Applier
from node.attendance import Attendance
from node.batching import Batcher
from node.bookkeeping import Bookkeeping
from node.clock import Clock, SteppedClock, SystemClock
from node.config import MempoolConfig, NodeConfig
from node.errors import DiskError, HomeError, PortBusyError
from node.fair_packing import build_packer
from node.garbage import tame_collector
from node.gauging import Gauging
from node.heard import Heard
from node.home import (
    Constitution,
    Storage,
    build_replica,
    load_constitution,
    open_storage,
)
from node.host import Host
from node.identity import Identity, choose_identity
from node.inbox import Inbox
from node.intake import Intake
from node.lifetime import Lifetime
from node.logs import configure_logging
from node.memberships import read_memberships
from node.mempool import Mempool, MempoolLimits
from node.metrics import Metrics
from node.observer.port import ObserverDoor, ObserverHandlers, open_observer_port
from node.peers import PeerBook, PeerKeeper, read_newest_membership
from node.queries import Queries
from node.rim import Rim
from node.snapshots.fetcher import SnapshotFetcher
from node.standing import Standing
from node.storage.journal import JournalError
from node.storage.store import StoreError
from node.story import Story
from node.supervisor import Supervisor
from node.upkeep import open_upkeep
from node.verifier import open_verifier
from node.watch import Watch
from p2p.frames import Channel
from p2p.listener import PortBusy
from p2p.network import Network, NetworkSettings, open_network
from p2p.peers import PeerAddress
from p2p.transfer import RequestRefused
from primitives.header import Validator
from primitives.ids import Height, ReplicaId, UnixMs
from vm.contract import LedgerContext
from vm.executor import compute_next_due_ms
from vm.state import Overlay

log = structlog.get_logger("gridbft.node")


async def run_node(
    config: NodeConfig, home: Path, identities: Sequence[Identity], supervisor: Supervisor
) -> None:
    """Run the validator of ``home`` until cancelled; everything it opened is closed in reverse order.

    ``identities`` are the keys of the home. When another one of them becomes a member's, the node starts again with it.

    Raises:
        NodeError: it cannot start, or cannot go on; the message says what to do. Inside an exception group when it
            happened while the node was running.

    """
    configure_logging(config.log, home)
    constitution = load_constitution(home)
    while await _run_once(config, home, constitution, identities, supervisor):
        pass  # the log says why


async def _run_once(
    config: NodeConfig,
    home: Path,
    constitution: Constitution,
    identities: Sequence[Identity],
    supervisor: Supervisor,
) -> bool:
    """Open everything and run; tell whether to do so again, with another store or another key."""
    try:
        async with AsyncExitStack() as stack:
            storage = stack.enter_context(open_storage(home, constitution))
            node = await stack.enter_async_context(
                _open_node(config, home, constitution, storage, identities, supervisor)
            )
            height = storage.chain.get_height()
            log.info("node_started", validator=config.name, height=height)
            if storage.signed_height > height:
                log.error("blocks_lost", height=height, signed_height=storage.signed_height)
            supervisor.tell_ready()
            tame_collector()
            await node.run()
            is_again = node.lifetime.is_reopening
    except* (JournalError, StoreError) as group:
        raise DiskError(get_first_line(group)) from None
    return is_again


def get_first_line(error: BaseException) -> str:
    """Return what the first error of a group of groups says."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


@asynccontextmanager
async def _open_node(
    config: NodeConfig,
    home: Path,
    constitution: Constitution,
    storage: Storage,
    identities: Sequence[Identity],
    supervisor: Supervisor,
) -> AsyncIterator["Node"]:
    """Join the parts, from the inside to the rim; the order of closing is the reverse."""
    genesis, chain = constitution.genesis, storage.chain
    clock = build_clock(config, chain.get_latest_header().time_ms)
    replica, identity, own, book = _introduce(config, home, constitution, storage, identities)
    membership = replica.view.membership
    mempool = build_mempool(config.mempool, Height(chain.get_latest_header().height + 1))
    ledger = LedgerContext(genesis, constitution.genesis_hash)
    metrics, queries = Metrics(), Queries(genesis, chain, mempool)
    batcher = Batcher(ReplicaId(own.public_key), mempool, genesis.consensus.heartbeat_ms)
    batcher.next_due_ms = compute_next_due_ms(ledger, Overlay(chain))
    async with AsyncExitStack() as stack:
        stack.callback(queries.close)
        disk = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="gridbft-journal"))
        execution = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="gridbft-execute"))
        upkeep = stack.enter_context(open_upkeep(chain, queries, config.storage.keep_blocks, execution))
        verifier = await stack.enter_async_context(open_verifier(constitution.genesis_hash))
        applier = Applier(ledger, chain, chain.get_latest_header(), storage.tree, execution)
        intake = Intake(ledger, chain, mempool, verifier, clock, lambda: applier.header)
        heard, story = Heard(build_attendance(storage, membership)), Story(membership)
        bookkeeping = Bookkeeping(chain, queries, upkeep, intake, metrics, membership, clock, story, heard)
        wires = Wires()
        links = _build_network_settings(config, constitution, identity, own, book.build(membership))
        network = await stack.enter_async_context(_open_network(links, wires))
        keeper = PeerKeeper(book, network, own, identities)
        keeper.follow(membership)
        host = Host(replica, storage.journal, network, applier, batcher, clock, bookkeeping, disk)
        fetcher = SnapshotFetcher(
            home / "data", constitution.genesis_hash, chain, network, lambda: replica.view.membership
        )
        inbox = Inbox(host, network, constitution.genesis_hash, verifier, mempool, intake, heard, fetcher)
        watch = Watch(host, mempool, batcher, network, genesis.consensus)
        bookkeeping.connect(inbox, watch, network, keeper)
        intake.connect(network, host.offer_batch)
        answers = Answers(replica, mempool, chain, upkeep.snapshots)
        wires.connect(host, inbox, intake, answers)
        pin_latest(queries, storage)
        upkeep.begin(replica.view.stable)
        standing = Standing(config.name, host, network, mempool, batcher, heard, story, genesis.consensus)
        gauging = Gauging(home, constitution, storage, metrics, host, standing, verifier, bookkeeping)
        rim = Rim(config.name, constitution, host, network, standing, mempool, queries, metrics, gauging)
        services = rim.build_services(intake, bookkeeping)
        await stack.enter_async_context(open_api(services, config.api, Tokens(home).is_known))
        observers = ObserverHandlers(answers, queries, services.submit, metrics, config.observers)
        door = await stack.enter_async_context(open_observer_port(home, config.observers, links, observers))
        node = Node(host, inbox, watch, fetcher, keeper, door, supervisor, rim)
        stop = node.lifetime.stop
        admin = AdminServices(
            *(clock, rim.get_status, standing.tell, stop, host.offer_batch, rim.find_dead_reason)
        )
        await stack.enter_async_context(open_admin(admin, home))
        yield node


def _introduce(
    config: NodeConfig,
    home: Path,
    constitution: Constitution,
    storage: Storage,
    identities: Sequence[Identity],
) -> tuple[Replica, Identity, Validator, PeerBook]:
    """Return the replica as it resumes, who this node is, as what member, and whom it talks to.

    Only the replica knows whether the epoch of the last block has ended: the journal may hold the certificate.
    """
    newest = read_newest_membership(home, constitution)
    known = [*read_memberships(storage.chain, constitution.genesis), newest]
    while True:
        candidates = [each for each in known if each is not None]
        identity, own = choose_identity(identities, config.name, candidates)
        replica = build_replica(constitution, storage, identity.key, secrets.token_bytes(NONCE_BYTES))
        current = replica.view.membership
        if current == candidates[0]:
            book = PeerBook(own.name, config.peers, storage.chain, newest)
            book.check(current)
            return replica, identity, own, book
        known = [current, *known]


def _build_network_settings(
    config: NodeConfig,
    constitution: Constitution,
    identity: Identity,
    own: Validator,
    peers: tuple[PeerAddress, ...],
) -> NetworkSettings:
    return NetworkSettings(
        chain=constitution.genesis.name,
        genesis_hash=constitution.genesis_hash,
        own=PeerAddress(own.name, own.public_key, own.tls_certificate, config.p2p.host, config.p2p.port),
        signing_key=identity.key,
        tls_key_pem=identity.tls_key_pem,
        listen_host=config.p2p.host,
        listen_port=config.p2p.port,
        peers=peers,
    )


@asynccontextmanager
async def _open_network(settings: NetworkSettings, wires: "Wires") -> AsyncIterator[Network]:
    async with AsyncExitStack() as stack:
        try:
            network = await stack.enter_async_context(open_network(settings, wires))
        except PortBusy as error:
            raise PortBusyError(str(error)) from None
        except ssl.SSLError as error:
            raise HomeError(
                f"the TLS key of keys/node.key and the certificate of {settings.own.name} do not belong together"
                f" ({error.reason or error}); use the key and the genesis that were made for each other"
            ) from None
        yield network


class Wires:
    """Takes what the network brings, from the moment the parts that understand it exist."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._inbox: Inbox | None = None
        self._intake: Intake | None = None
        self._answers: Answers | None = None

    def connect(self, host: Host, inbox: Inbox, intake: Intake, answers: Answers) -> None:
        """Bind the parts."""
        self._host = host
        self._inbox, self._intake, self._answers = inbox, intake, answers

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Pass a message or a transaction on; before the parts exist it is dropped, and sent again."""
        if channel is Channel.CONSENSUS and self._inbox is not None:
            self._inbox.on_message(peer, payload)
        elif channel is Channel.TRANSACTIONS and self._intake is not None:
            self._intake.on_gossip(peer, payload)

    async def on_request(self, _: bytes, kind: int, payload: bytes) -> bytes:
        """Answer a peer's question."""
        if self._answers is None:
            raise RequestRefused("this node is starting")
        return self._answers.answer(kind, payload)

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        """Let a new peer hear what it missed; before the parts exist nothing was said that it could have."""
        _ = peer
        if connected and self._host is not None:
            self._host.note_link()


class Node:
    """The running parts of one validator."""

    def __init__(
        self,
        host: Host,
        inbox: Inbox,
        watch: Watch,
        fetcher: SnapshotFetcher,
        keeper: PeerKeeper,
        door: ObserverDoor,
        supervisor: Supervisor,
        rim: Rim,
    ) -> None:
        self._supervisor = supervisor
        self._rim = rim
        self._fetcher = fetcher
        self._keeper = keeper
        self._door = door
        self._host = host
        self._inbox = inbox
        self._watch = watch
        self.lifetime = Lifetime(supervisor)

    async def run(self) -> None:
        """Run host, inbox and watch until stopped or cancelled, or until the node must be opened again."""
        parts = (
            self._inbox.run(),
            self._host.run(),
            self._keep_watch(),
            self._await_snapshot(),
            self._await_other_key(),
            self._supervisor.watch(self._rim.find_dead_reason, self._rim.tell_briefly),
            self._door.run(),
        )
        await self.lifetime.run(parts)

    async def _await_snapshot(self) -> None:
        """Begin again when a snapshot waits to become the store."""
        await self._fetcher.offered.wait()
        log.info("snapshot_offered")
        self.lifetime.reopen()

    async def _await_other_key(self) -> None:
        """Begin again when the members let in another key of this home."""
        await self._keeper.replaced.wait()
        log.info("key_replaced")
        self.lifetime.reopen()

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch.period_s)
            self._watch.look(self._host.now())


def build_mempool(config: MempoolConfig, next_height: Height) -> Mempool:
    """Return the empty pool of a node."""
    limits = MempoolLimits(config.transactions_max, config.bytes_max, config.account_transactions_max)
    return Mempool(limits, build_packer(config.packing), next_height)


def build_clock(config: NodeConfig, block_time_ms: int) -> Clock:
    """Return the clock of a node; a stepped one never stands before the last block."""
    if config.clock.mode == "system":
        return SystemClock()
    return SteppedClock(UnixMs(max(config.clock.origin_ms, block_time_ms)), config.clock.scale)


def build_attendance(storage: Storage, membership: Membership) -> Attendance:
    """Return who signed the last blocks, as far as the kept certificates say."""
    chain, attendance = storage.chain, Attendance()
    certificate = chain.get_latest_certificate()
    certified = Height(0 if certificate is None else certificate.header.height)
    attendance.resume(chain, certified, chain.get_height(), membership)
    return attendance


def pin_latest(queries: Queries, storage: Storage) -> None:
    """Let the queries answer from the state that the node resumes with, once it is certified."""
    chain = storage.chain
    queries.record_executed(chain.get_latest_header(), chain.snapshot(), storage.tree)
    certificate = chain.get_latest_certificate()
    if certificate is not None:
        queries.record_certificate(certificate)
