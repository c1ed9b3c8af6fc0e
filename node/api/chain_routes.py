"""The addresses that list what the node knows of the chain and of the other validators: blocks, evidence, peers."""

from collections.abc import Iterator, Sequence

import msgspec
from aiohttp import web

from consensus.messages import Envelope
from node.api.requests import get_number
from node.api.route import NUMBER, Answer, Parameter, Route
from node.api.routes import build_json
from node.api.services import Services
from p2p.peers import PeerStatus
from primitives.encoding import DecodeError, decode, encode

BLOCKS_PER_ANSWER_MAX = 100
"""A page: up to 100 blocks of up to 1,000 receipts each are read for it, 50 ms in the worst case."""

EVIDENCE_BYTES_MAX = 1024 * 1024
"""Of pairs in one answer, before base64: a thousand pairs of votes; at least one pair."""


class BlockEntry(msgspec.Struct, frozen=True):
    """A certified block in a list: how many transactions it has, and how many of them were applied."""

    height: int
    digest: str
    time_ms: int
    epoch: int
    transactions: int
    applied: int


class BlocksAnswer(msgspec.Struct, frozen=True):
    """A page of certified blocks, newest first; ``next_before`` is the ``before`` of the next page."""

    height: int
    blocks: list[BlockEntry]
    next_before: int | None


class EvidenceEntry(msgspec.Struct, frozen=True):
    """Two signed messages of one validator that exclude each other, each in canonical bytes."""

    number: int
    validator: str
    public_key: str
    kind: str
    first: bytes
    second: bytes


class EvidenceAnswer(msgspec.Struct, frozen=True):
    """What this node has seen of validators that contradict themselves; ``next_after`` is the next page's ``after``."""

    height: int
    evidence: list[EvidenceEntry]
    next_after: int | None


class PeersAnswer(msgspec.Struct, frozen=True):
    """The other validators as this one sees them, at its certified height."""

    height: int
    peers: Sequence[PeerStatus]


class ChainRoutes:
    """Lists of what was agreed on, and of whom it was agreed with."""

    def __init__(self, services: Services) -> None:
        self._queries = services.queries
        self._get_status = services.get_status

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/blocks", self.list_blocks),
                answers={200: Answer("a page of blocks", shape=BlocksAnswer)},
                problems=("BAD_PARAMETER",),
                parameters=(
                    Parameter("before", NUMBER, "only blocks below this height; without, the newest"),
                ),
            ),
            Route(
                *("GET", "/v1/evidence", self.list_evidence),
                answers={200: Answer("contradictions", shape=EvidenceAnswer)},
                problems=("BAD_PARAMETER",),
                parameters=(Parameter("after", NUMBER, "the last number of the page before"),),
            ),
            Route(
                "GET", "/v1/peers", self.list_peers, {200: Answer("the other validators", shape=PeersAnswer)}
            ),
        ]

    async def list_blocks(self, request: web.Request) -> web.Response:
        """List certified blocks, newest first, a page at a time."""
        newest = self._queries.certified_height
        before = get_number(request, "before", newest + 1)
        found = self._queries.list_blocks(before, BLOCKS_PER_ANSWER_MAX)
        blocks = [
            BlockEntry(
                height=each.header.height,
                digest=each.header.compute_digest().hex(),
                time_ms=each.header.time_ms,
                epoch=each.header.epoch,
                transactions=len(each.receipts),
                applied=sum(receipt.rejection is None for receipt in each.receipts),
            )
            for each in found
        ]
        following = blocks[-1].height if len(blocks) == BLOCKS_PER_ANSWER_MAX else None
        return build_json(BlocksAnswer(newest, blocks, following))

    async def list_evidence(self, request: web.Request) -> web.Response:
        """List validators' contradictions that this one has seen, oldest first, a page at a time."""
        after = get_number(request, "after", -1)
        shown: list[EvidenceEntry] = []
        following: int | None = None
        size = 0
        for entry in self._iterate_evidence(after):
            size += len(entry.first) + len(entry.second)
            if shown and size > EVIDENCE_BYTES_MAX:
                following = shown[-1].number
                break
            shown.append(entry)
        return build_json(EvidenceAnswer(self._queries.certified_height, shown, following))

    async def list_peers(self, _: web.Request) -> web.Response:
        """Tell how the links to the other validators are."""
        status = self._get_status()
        return build_json(PeersAnswer(status.certified_height, status.peers))

    def _iterate_evidence(self, after: int) -> Iterator[EvidenceEntry]:
        epoch = 0 if (header := self._queries.certified_header) is None else header.epoch
        for number, pair in self._queries.iterate_evidence(after):
            try:
                first, second = decode(pair, tuple[Envelope, Envelope])
            except DecodeError:
                continue  # kept by an older version
            yield EvidenceEntry(
                number=number,
                validator=self._queries.get_validator_name(epoch, first.sender),
                public_key=first.sender.hex(),
                kind=type(first.message).__name__,
                first=encode(first),
                second=encode(second),
            )
