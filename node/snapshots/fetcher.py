"""Fetching a snapshot from peers, one after the other, into a directory beside the store."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from consensus.membership import Membership
from node.snapshots.download import Download, Fault, Refusal, Stage
from node.snapshots.installation import discard_fetching, offer_fetched, open_fetching
from node.snapshots.writer import SnapshotWriter
from node.storage.chain import ChainStore
from node.storage.store import StoreError
from p2p.network import Network
from p2p.transfer import RequestFailed
from primitives.ids import Digest, ReplicaId

log = structlog.get_logger("gridbft.snapshots")

REQUEST_TIMEOUT_S = 10.0
"""A page takes a second at 1 Mbit/s, the last handovers of 80 validators ten; then the next peer is asked."""

ANSWER_PATIENCE_S = 3.0
"""What an answer may take on the average beyond the first: a peer that gives less than 0.35 Mbit/s is left, so that one
which always answers at the last moment does not hold a download up for hours."""

ATTEMPTS_MAX = 3
"""How often one peer is asked anew because it let go of a snapshot meanwhile."""

LIE_POINTS = 100
"""A false part of a snapshot costs a whole download and has no innocent cause: the peer is banned for a while."""


class SnapshotFetcher:
    """Downloads into ``leveldb.fetching`` and offers what is whole for the next opening; one download at a time."""

    def __init__(
        self,
        data: Path,
        genesis_hash: Digest,
        chain: ChainStore,
        network: Network,
        get_membership: Callable[[], Membership],
    ) -> None:
        self.offered = asyncio.Event()
        """Set when a snapshot waits to become the store."""
        self._data = data
        self._genesis_hash = genesis_hash
        self._chain = chain
        self._network = network
        self._get_membership = get_membership

    async def fetch(self, peers: Sequence[ReplicaId]) -> None:
        """Ask ``peers`` in order until one has given a whole snapshot; who asks again later tries all anew."""
        if self.offered.is_set():
            return
        try:
            for peer in peers:
                if await self._fetch_from(peer):
                    self.offered.set()
                    return
        except (StoreError, OSError) as error:
            log.error("snapshot_not_stored", reason=str(error))  # noqa: TRY400  # one line says all
        with suppress(OSError):  # what cannot be deleted now is deleted at the next start
            discard_fetching(self._data)

    async def _fetch_from(self, peer: ReplicaId) -> bool:
        """Tell whether ``peer`` gave a snapshot that was offered."""
        for _ in range(ATTEMPTS_MAX):
            refusal = await self._download(peer)
            if refusal is None:
                return True
            log.warning("snapshot_refused", peer=peer.hex(), fault=refusal.fault.value, reason=refusal.reason)
            if refusal.fault is Fault.LIE:
                self._network.penalize(peer, LIE_POINTS, refusal.reason)
            if refusal.fault is not Fault.GONE:
                return False
        return False

    async def _download(self, peer: ReplicaId) -> Refusal | None:
        loop = asyncio.get_running_loop()
        with (
            open_fetching(self._data) as store,
            ThreadPoolExecutor(1, thread_name_prefix="gridbft-snapshot") as thread,
        ):
            download = Download(
                self._get_membership(),
                self._genesis_hash,
                self._chain,
                SnapshotWriter(store),
            )
            end_s = loop.time() + REQUEST_TIMEOUT_S
            while download.stage is not Stage.WHOLE:
                question = download.question
                left_s = min(REQUEST_TIMEOUT_S, end_s - loop.time())
                end_s += ANSWER_PATIENCE_S
                if left_s <= 0:
                    return Refusal(
                        Fault.USELESS, f"an answer takes more than {ANSWER_PATIENCE_S:g} s on the average"
                    )
                try:
                    answer = await self._network.request(peer, question.kind, question.payload, left_s)
                except RequestFailed as error:
                    return Refusal(Fault.USELESS, str(error))
                refusal = await loop.run_in_executor(thread, download.take, answer)
                if refusal is not None:
                    return refusal
        if self._chain.get_height() >= download.height:
            return Refusal(Fault.USELESS, f"the own chain reached block {download.height} meanwhile")
        offer_fetched(self._data)
        log.info("snapshot_fetched", height=download.height, peer=peer.hex())
        return None
