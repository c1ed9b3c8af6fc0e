"""News for whoever listens: one stream of server-sent events for each, resumed from the chain without loss.

A stream has a place in the chain and walks from one certified block to the next, so that nothing piles up for a slow
reader: it is late, and cut off when it takes nothing for a while. What it missed it asks for by ``Last-Event-ID``.
"""

import asyncio
import re
import time

import structlog
from aiohttp import hdrs, web

from node.api.errors import ApiProblem, refuse_parameter, refuse_unknown
from node.api.fairness import Fairness
from node.api.news import Archive, render_event
from node.api.requests import get_number
from node.api.route import ACCOUNT_OR_NAME, NUMBER, Answer, Parameter, Route
from node.api.server import HEADERS
from node.api.services import Services
from node.api.state_routes import STATE, get_text
from node.api.stream_places import StreamPlaces
from node.status import ViewEvent
from primitives.ids import Height

IDS_MAX = 100
"""Transactions that one stream may ask for by id: an address of 6.5 kB. Who has more asks by account."""

RESUMED_BLOCKS_MAX = 100_000
"""How far back a stream begins: five weeks of heartbeats; who was away for longer reads blocks."""

AHEAD_MAX = 1_000
"""Who comes from a validator that was so far ahead of this one waits; beyond, it is a mistake."""

LOOK_S = 1.0
"""Without a block, a change of the view is told so late: nothing of the chain depends on it."""

HEARTBEAT_S = 15.0
"""A comment after so long without an event: below the time-outs of usual proxies."""

WRITE_S = 10.0
"""For the events of one height to leave. Who takes longer is cut off, and may come back for the rest."""

WRITE_COST_S = 0.0001
"""What writing the events of a height counts for; what it took to make them, when they were not ready, comes on top."""

RETRY_MS = 2_000
"""After what a browser comes back."""

EVENT_STREAM = "text/event-stream"
_IDS = re.compile(r"[0-9a-f]{64}(?:,[0-9a-f]{64})*", re.ASCII)
_HEIGHT = re.compile(r"[0-9]{1,16}", re.ASCII)

log = structlog.get_logger("gridbft.api")


class FeedRoutes:
    """The address of the news."""

    def __init__(self, services: Services, fairness: Fairness, places: StreamPlaces) -> None:
        self._queries = services.queries
        self._get_view = services.get_view
        self._fairness = fairness
        self._places = places
        self._archive = Archive(services.queries)

    def get_routes(self) -> list[Route]:
        """Return the address."""
        ids = {"type": "string", "pattern": "^[0-9a-f]{64}(,[0-9a-f]{64})*$", "maxLength": 65 * IDS_MAX - 1}
        return [
            Route(
                *("GET", "/v1/feed", self.feed),
                private_with=frozenset({"account"}),
                answers={200: Answer("events, without end", EVENT_STREAM)},
                problems=(*STATE, "NOT_FOUND", "ORIGIN_NOT_ALLOWED", "TOO_MANY_STREAMS", "HISTORY_GONE"),
                parameters=(
                    Parameter("ids", ids, "transactions to tell of: up to 100 ids, with commas between"),
                    Parameter("account", ACCOUNT_OR_NAME, "an account whose transactions to tell of"),
                    Parameter("after", NUMBER, "begin after this height; `Last-Event-ID` goes before it"),
                ),
                headers={"X-Accel-Buffering": {"type": "string", "const": "no"}},
            )
        ]

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """Tell of blocks, settled slots, views and the transactions asked for, as they come, until it is closed."""
        ids = _get_ids(request)
        with self._places.enter(request) as address:
            await self._archive.open()
            account = self._get_account(request)
            height = self._get_start(request)
            response = web.StreamResponse(
                headers={**HEADERS, "Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:
                return response  # what follows the head of an answer to HEAD is taken for the next answer
            try:
                await self._tell(response, address, height, ids, account)
            except TimeoutError:
                log.info("stream_ended", address=address, reason="TOO_SLOW")
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("the client does not read") from None
        return response

    async def _tell(
        self,
        response: web.StreamResponse,
        address: str,
        height: Height,
        ids: frozenset[bytes],
        account: bytes | None,
    ) -> None:
        """Walk through the chain, and wait where it ends, until the client goes or a block is gone from here."""
        loop = asyncio.get_running_loop()
        view: ViewEvent | None = None
        written_s = loop.time()
        await _write(response, b"retry: %d\n\n" % RETRY_MS)
        while True:
            said = b""
            if (current := self._get_view()) != view and current is not None:
                view = current
                said = render_event("view", view)
            if height < self._queries.certified_height:
                height = Height(height + 1)
                await self._fairness.enter(address)
                began_s = time.thread_time()
                news = self._archive.get(height)
                if news is None:
                    return  # it was pruned meanwhile; who comes back is told so by name
                said += news.render(ids, account)
                self._fairness.spend(address, time.thread_time() - began_s)
            if not said and loop.time() - written_s >= HEARTBEAT_S:
                said = b": %d\n\n" % height
            if said:
                await _write(response, said)
                written_s = loop.time()
                self._fairness.spend(address, WRITE_COST_S)
            if height >= self._queries.certified_height:
                await self._queries.stream_signal.wait_beyond(height, LOOK_S)

    def _get_account(self, request: web.Request) -> bytes | None:
        """Return the account of the query; whose name nobody has is refused."""
        if "account" not in request.query:
            return None
        text = get_text(request.query["account"], "account")
        with self._queries.open() as pinned:
            account = self._queries.find_account(pinned.state, text)
            if account is None:
                raise refuse_unknown(f"no account {text!r} at height {pinned.height}")
            return account

    def _get_start(self, request: web.Request) -> Height:
        """Return the height after which to begin.

        Raises:
            ApiProblem: it is none, or too far away.

        """
        newest = self._queries.certified_height
        text = request.headers.get("Last-Event-ID", "")
        if text and _HEIGHT.fullmatch(text) is None:
            raise refuse_parameter("Last-Event-ID", "the height of a block is expected")
        height = int(text) if text else get_number(request, "after", newest)
        if height > newest + AHEAD_MAX:
            raise refuse_parameter(
                "after", f"this node is at height {newest}; begin there, or ask another one"
            )
        pruned = self._queries.pruned_height
        if height < pruned or height < newest - RESUMED_BLOCKS_MAX:
            oldest = max(pruned, newest - RESUMED_BLOCKS_MAX)
            detail = f"block {height + 1} is too old: this node tells of blocks above {oldest}"
            raise ApiProblem(410, "HISTORY_GONE", f"{detail}; begin there, or ask one that keeps more")
        return Height(height)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(data)


def _get_ids(request: web.Request) -> frozenset[bytes]:
    text = request.query.get("ids", "")
    if text and (_IDS.fullmatch(text) is None or text.count(",") >= IDS_MAX):
        raise refuse_parameter("ids", f"up to {IDS_MAX} ids of 64 hexadecimal digits, with commas between")
    return frozenset(bytes.fromhex(each) for each in text.split(",") if each)
