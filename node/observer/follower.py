"""Following: a validator tells of a height, is asked for the blocks, and believed in nothing but their certificate.

Every block is executed here, and its header must be the certified one. Whoever gives nothing, or what proves nothing,
is left for another. Who cannot be asked for blocks any more, because all let them go, is asked for a snapshot.
"""

import asyncio
from dataclasses import dataclass

import structlog

from consensus.effects import Certified, Deliver, EpochStarted
from consensus.messages import Certificate, Handover
from node.applier import Applier
from node.bookkeeping import Bookkeeping
from node.errors import DivergedError
from node.exchange import NO_ANSWER, BlocksAnswer, PrunedAnswer, RequestKind, decode_blocks, encode_height
from node.inbox import FORGED_POINTS
from node.memberships import find_following
from node.observer.exchange import decode_announcement
from node.observer.keeper import SourceKeeper
from node.observer.sources import LIED_S, USELESS_S, Sources
from node.observer.standpoint import Flaw, Standpoint, advance, begin_epoch, check_continuation
from node.snapshots.fetcher import SnapshotFetcher
from p2p.frames import Channel
from p2p.network import Network
from p2p.peers import BAN_SCORE
from p2p.transfer import RequestFailed, RequestRefused
from primitives.encoding import DecodeError
from primitives.header import Block, BlockHeader
from primitives.ids import Digest, Epoch, Height, ReplicaId, Sequence

log = structlog.get_logger("gridbft.observer")

REQUEST_TIMEOUT_S = 10.0
"""A slow validator answers every two seconds, one that has given its budget away says so within three; one that says
nothing for so long is left for another."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What blocks go through here; all of it as in a validator."""

    applier: Applier
    bookkeeping: Bookkeeping
    fetcher: SnapshotFetcher
    keeper: SourceKeeper


class Follower:
    """Follows the chain; for one event loop. It is the network's handlers: what validators say arrives here."""

    def __init__(self, genesis_hash: Digest, standpoint: Standpoint) -> None:
        self.standpoint = standpoint
        self.sources = Sources()
        self._genesis_hash = genesis_hash
        self._network: Network | None = None
        self._news = asyncio.Event()

    def connect(self, network: Network) -> None:
        """Bind the network whose handlers this is."""
        self._network = network

    def count_behind(self) -> int:
        """Return how many blocks the validators have beyond the last executed one, as far as they tell."""
        target = self.sources.compute_target(self.standpoint.membership.weak_quorum)
        return max(0, target - self.standpoint.executed.height)

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        """Take an announcement; nothing else is said to an observer."""
        try:
            height = decode_announcement(payload) if channel is Channel.CONSENSUS else None
        except DecodeError:
            height = None
        if height is None:
            if self._network is not None:
                self._network.penalize(peer, FORGED_POINTS, "it announced what is no height")
            return
        self.sources.announce(peer, height)
        self._news.set()

    async def on_request(self, _: bytes, __: int, ___: bytes) -> bytes:
        """Answer nothing: nobody depends on an observer.

        Raises:
            RequestRefused: always.

        """
        raise RequestRefused("this node is an observer and is not to be asked")

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        """Take note of who can be asked."""
        (self.sources.add if connected else self.sources.lose)(peer)
        self._news.set()

    async def run(self, parts: Parts, network: Network) -> None:
        """Follow until cancelled.

        Raises:
            DivergedError: a quorum certified another chain than the one executed here.
            StoreError: a block could not be made durable.

        """
        while True:
            self._news.clear()
            if not await self._go_on(parts, network):
                await self._await_news()

    async def _go_on(self, parts: Parts, network: Network) -> bool:
        """Take the next blocks from the first who gives any; tell whether somebody did."""
        now_s = asyncio.get_running_loop().time()
        pruned = []
        for peer in self.sources.select(self.standpoint.first, now_s):
            answer = await self._ask(network, peer)
            if isinstance(answer, PrunedAnswer):
                pruned.append(ReplicaId(peer))
                self._leave(peer, USELESS_S, f"it keeps no blocks up to {answer.height}")
            elif answer is not None and await self._take(parts, network, peer, answer):
                self.sources.followed = peer
                return True
        if pruned:
            await parts.fetcher.fetch(pruned)
        return False

    async def _ask(self, network: Network, peer: bytes) -> BlocksAnswer | PrunedAnswer | None:
        question = encode_height(self.standpoint.first)
        try:
            answer = await network.request(peer, RequestKind.BLOCKS, question, REQUEST_TIMEOUT_S)
            if answer == NO_ANSWER:
                self._leave(peer, USELESS_S, "it gives no certified blocks")
                return None
            return decode_blocks(answer)
        except RequestFailed as error:
            self._leave(peer, USELESS_S, str(error))
        except DecodeError as error:
            self._refuse(network, peer, f"blocks that are none: {error}")
        return None

    async def _take(self, parts: Parts, network: Network, peer: bytes, answer: BlocksAnswer) -> bool:
        """Execute blocks that prove themselves; tell whether they do."""
        blocks = check_continuation(self.standpoint, self._genesis_hash, answer)
        if isinstance(blocks, Flaw):
            if blocks.is_fork:
                raise DivergedError(f"{blocks.reason} than this observer's store has; {_DIVERGED_ADVICE}")
            self._refuse(network, peer, blocks.reason)
            return False
        for block in blocks:
            await self._execute(parts, block)
        self._certify(parts, answer.certificate)
        return True

    async def _execute(self, parts: Parts, block: Block) -> None:
        header = block.header
        deliver = Deliver(Epoch(header.epoch), Sequence(header.sequence), Height(header.height), block.batch)
        result = await parts.applier.apply(deliver)
        if result.header != header:
            raise DivergedError(_explain(header, result.header))
        parts.bookkeeping.on_block(deliver, result)
        self.standpoint = advance(self.standpoint, header, find_following(result))

    def _certify(self, parts: Parts, certificate: Certificate) -> None:
        """Let reads move to the certificate's block, and begin an epoch when it ends one."""
        parts.bookkeeping.on_notice(Certified(certificate))
        following = self.standpoint.following
        if following is None:
            return
        handover = Handover(certificate, following.validators)
        self.standpoint = begin_epoch(self.standpoint, handover)
        parts.bookkeeping.on_notice(EpochStarted(following, handover))
        self.sources.keep(parts.keeper.follow(following))

    def _leave(self, peer: bytes, seconds: float, reason: str) -> None:
        self.sources.rest(peer, seconds, asyncio.get_running_loop().time())
        log.info("source_left", peer=self._name(peer), reason=reason)

    def _refuse(self, network: Network, peer: bytes, reason: str) -> None:
        """Name a validator that gave what no correct one gives, and ask the others for a while."""
        self.sources.rest(peer, LIED_S, asyncio.get_running_loop().time())
        log.warning("source_refused", peer=self._name(peer), reason=reason)
        network.penalize(peer, BAN_SCORE, reason)

    def _name(self, peer: bytes) -> str:
        return self.standpoint.membership.get_name(ReplicaId(peer))

    async def _await_news(self) -> None:
        """Wait for an announcement, a link, or for the end of somebody's rest."""
        now_s = asyncio.get_running_loop().time()
        pause_s = self.sources.compute_pause_s(self.standpoint.first, now_s)
        try:
            async with asyncio.timeout(pause_s):
                await self._news.wait()
        except TimeoutError:
            return


_DIVERGED_ADVICE = (
    "its data is damaged, or it runs another version: run `gridbft reset data` and start it again"
)


def _explain(certified: BlockHeader, own: BlockHeader) -> str:
    return (
        f"block {certified.height} was certified as {certified.compute_digest().hex()[:16]}, this observer computed"
        f" {own.compute_digest().hex()[:16]}; {_DIVERGED_ADVICE}"
    )
