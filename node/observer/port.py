"""The port at which a validator serves observers: apart from the members' links, with a bound on everything.

What an observer sends never reaches the inbox: it may ask for what is certified, and pass transactions on. Whom the
port lets in stands in HOME/observers, which is looked at again and again: no restart is needed to change it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from node.answers import Answers
from node.api.services import SubmitOutcome
from node.config import ObserversConfig
from node.errors import HomeError, PortBusyError
from node.exchange import RequestKind
from node.inbox import FORGED_POINTS
from node.intake import INVALID_POINTS
from node.metrics import Metrics
from node.observer.budget import Budget
from node.observer.bundles import Admitted, fingerprint_bundles, read_admitted
from node.observer.exchange import decode_submission, encode_announcement, encode_outcomes
from node.queries import Queries
from p2p.connection import LinkLimits
from p2p.frames import Channel
from p2p.listener import PortBusy
from p2p.network import Network, NetworkSettings, open_network
from p2p.peers import BAN_SCORE, Dialling, PeerAddress, Timing
from p2p.transfer import RequestRefused
from primitives.encoding import DecodeError
from primitives.ids import Digest, Height
from vm.receipt import Rejection

log = structlog.get_logger("gridbft.observer")

LOOK_S = 2.0
"""How often the directory of bundles is looked at: who was let in is served after this, who was removed is not."""

LIMITS = LinkLimits(read_share=0.025, answers_share=0.05, answers_running_max=1)
"""Of one observer: all eight together are read for a fifth of a core, less than one validator may take, and answered
for two fifths. On a Pi an answer of 64 blocks takes a tenth of a second, and the next one follows after two."""

TIMING = Timing(farewell_s=0.0)
"""Whoever is not to be served any more needs no last certificate."""

BUDGET_PATIENCE_S = 3.0
"""Who would wait longer for what the others have taken is told to ask later, before it gives up by itself."""

QUESTION_COST_S = 0.002
"""What each question takes of its asker's share, beside its work."""

ASKED_FOR = frozenset(
    {
        RequestKind.BLOCKS,
        RequestKind.HANDOVERS,
        RequestKind.SNAPSHOT,
        RequestKind.SNAPSHOT_BUCKETS,
        RequestKind.SNAPSHOT_PAIRS,
    }
)
"""What proves itself by a certificate. What is not certified yet is the members' alone."""

OFFENCES = frozenset({Rejection.MALFORMED, Rejection.SIGNATURE_INVALID, Rejection.OTHER_CHAIN})
"""What a correct observer finds by itself before it passes a transaction on."""

Submit = Callable[[Sequence[bytes]], Awaitable[Sequence[SubmitOutcome]]]


@asynccontextmanager
async def open_observer_port(
    home: Path, config: ObserversConfig, own: NetworkSettings, handlers: "ObserverHandlers"
) -> AsyncIterator["ObserverDoor"]:
    """Serve the observers of ``home`` until the end of the block; nobody if the port is 0.

    ``own`` are the settings of the members' network: the same name, key and certificate.

    Raises:
        PortBusyError: the port cannot be listened on.
        HomeError: the directory of bundles cannot be read.

    """
    if config.port == 0:
        yield ObserverDoor(home, own, None)
        return
    settings = replace(
        own,
        listen_host=config.host,
        listen_port=config.port,
        peers=(),
        timing=TIMING,
        dialling=Dialling.NEVER,
        limits=LIMITS,
        section="observers",
    )
    async with AsyncExitStack() as stack:
        try:
            network = await stack.enter_async_context(open_network(settings, handlers))
        except PortBusy as error:
            raise PortBusyError(str(error)) from None
        door = ObserverDoor(home, own, network)
        await door.look()
        handlers.serve(network)
        log.info("observers_listening", host=config.host, port=network.port)
        yield door


class ObserverHandlers:
    """What a validator does for observers: it announces, answers and takes transactions, within one budget for all."""

    def __init__(
        self, answers: Answers, queries: Queries, submit: Submit, metrics: Metrics, config: ObserversConfig
    ) -> None:
        self._answers = answers
        self._signal = queries.signal
        self._submit = submit
        self._metrics = metrics
        self._budget = Budget(config.bytes_per_s, asyncio.get_running_loop().time())
        self._network: Network | None = None
        self._linked: set[bytes] = set()

    def serve(self, network: Network) -> None:
        """Begin: announce every certified height from now on."""
        self._network = network
        self._signal.listen(self._announce)

    def on_message(self, peer: bytes, channel: Channel, _: bytes) -> None:
        """Refuse what only members say: an observer has no voice."""
        if self._network is not None:
            self._network.penalize(peer, BAN_SCORE, f"an observer sent on the channel {channel.name.lower()}")

    async def on_request(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        """Answer a question of an observer.

        Raises:
            RequestRefused: malformed, not for observers, or the observers have used up what they get.

        """
        network = self._network
        if network is None:
            raise RequestRefused("this node is starting")
        network.charge(peer, QUESTION_COST_S)
        loop = asyncio.get_running_loop()
        wait_s = self._budget.compute_wait_s(loop.time())
        if wait_s > BUDGET_PATIENCE_S:
            raise RequestRefused("the observers have used up what this validator gives them: ask later")
        await asyncio.sleep(wait_s)
        answer = await self._answer(network, peer, kind, payload)
        self._budget.spend(len(answer), loop.time())
        return answer

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        """Tell a new link where this validator stands."""
        (self._linked.add if connected else self._linked.discard)(peer)
        self._metrics.set_gauge("observers_connected", len(self._linked))
        if connected and self._network is not None:
            self._network.send(peer, Channel.CONSENSUS, encode_announcement(self._signal.height))

    def _announce(self, height: Height) -> None:
        if self._network is not None and self._linked:
            self._network.broadcast(Channel.CONSENSUS, encode_announcement(height))

    async def _answer(self, network: Network, peer: bytes, kind: int, payload: bytes) -> bytes:
        if kind in ASKED_FOR:
            return self._answers.answer(kind, payload)
        if kind != RequestKind.SUBMIT:
            raise RequestRefused("this question is the members': observers get what is certified")
        try:
            raws = decode_submission(payload)
        except DecodeError as error:
            network.penalize(peer, FORGED_POINTS, f"a malformed submission: {error}")
            raise RequestRefused(str(error)) from None
        outcomes = await self._submit(raws)
        for outcome in outcomes:
            if outcome.rejection in OFFENCES:
                network.penalize(
                    peer, INVALID_POINTS, f"it passed a transaction on that is {outcome.rejection}"
                )
        return encode_outcomes(outcomes)


class ObserverDoor:
    """Keeps the network's peers what the directory of bundles says; without a network it is shut."""

    def __init__(self, home: Path, own: NetworkSettings, network: Network | None) -> None:
        self._home = home
        self._own = own
        self._network = network
        self._seen: tuple[tuple[str, int, int], ...] | None = None

    async def look(self) -> None:
        """Let in who stands there now, and nobody else; what cannot be let in is named once.

        Raises:
            HomeError: the directory cannot be read.

        """
        try:
            admitted = await asyncio.to_thread(self._read)
        except OSError as error:
            raise HomeError(
                f"{error.filename}: {error.strerror}; the node's user must be able to read it"
            ) from None
        if admitted is None or self._network is None:
            return
        for name, reason in admitted.refused:
            log.warning("observer_refused", bundle=name, reason=reason)
        peers = [
            PeerAddress(each.name, each.public_key, each.tls_certificate, "", 0)
            for each in admitted.observers
        ]
        own = self._own.own
        self._network.update_peers(
            peer for peer in peers if peer.key != own.key and peer.tls_certificate != own.tls_certificate
        )
        log.info("observers_admitted", observers=[peer.name for peer in peers])

    async def run(self) -> None:
        """Look again and again, until cancelled; a directory that cannot be read for a moment changes nothing."""
        if self._network is None:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except HomeError as error:
                log.warning("observers_unreadable", reason=str(error))

    def _read(self) -> Admitted | None:
        """Return who is let in, or None when nothing changed; in a thread, because a card may be slow."""
        seen = fingerprint_bundles(self._home)
        if seen == self._seen:
            return None
        admitted = read_admitted(self._home, Digest(self._own.genesis_hash))
        self._seen = seen
        return admitted
