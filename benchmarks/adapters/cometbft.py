"""CometBFT under load: broadcast over HTTP, confirmed by the blocks that one node tells of.

Its kvstore takes keys and values and verifies nothing (``cometbft``); an application that checks the transactions of
this house gets their very bytes (``cometbft-bytes``).
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from benchmarks.harness.load import Adapter, LoadOrder, Outcome, Unit

SUBSCRIPTION = {"jsonrpc": "2.0", "id": 0, "method": "subscribe", "params": {"query": "tm.event='NewBlock'"}}
CALLS_MAX = 10
"""In one request: ``max_request_batch_size`` of the node's default settings."""


class SubscriptionError(Exception):
    """A node does not tell its blocks, so that nothing would be confirmed."""


@asynccontextmanager
async def open_cometbft(order: LoadOrder, build_body: Callable[[Unit], bytes]) -> AsyncIterator[Adapter]:
    """Open connections to the nodes' RPC ends, and hear of blocks before anything is sent.

    Raises:
        SubscriptionError: the first node does not take the subscription.

    """
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"{order.urls[0]}/websocket", max_msg_size=0) as socket,
    ):
        await socket.send_json(SUBSCRIPTION)
        answer = await socket.receive_json()
        if "error" in answer:
            raise SubscriptionError(f"{order.urls[0]} tells no blocks: {answer['error']}")
        yield _CometBft(session, socket, order.urls, build_body)


def build_kvstore_body(unit: Unit) -> bytes:
    """Return what the kvstore takes: a key, an equals sign and a value without one."""
    return unit.name.hex().encode() + b"=" + base64.b64encode(unit.body).rstrip(b"=")


def get_body(unit: Unit) -> bytes:
    """Return the transaction as it is."""
    return unit.body


class _CometBft:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
        urls: list[str],
        build_body: Callable[[Unit], bytes],
    ) -> None:
        self._session = session
        self._socket = socket
        self._urls = urls
        self._build_body = build_body
        self._turn = count()
        self._names: dict[bytes, bytes] = {}

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Broadcast units in JSON-RPC batches to one node after the other, which answers before it checks."""
        parts = [units[first : first + CALLS_MAX] for first in range(0, len(units), CALLS_MAX)]
        outcomes = await asyncio.gather(*(self._broadcast(part, next(self._turn)) for part in parts))
        return Outcome({name: why for outcome in outcomes for name, why in outcome.refused.items()})

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Follow the blocks of one node; its word is believed, as its own load tool does."""
        async for message in self._socket:
            result = message.json().get("result") or {}
            block = result.get("data", {}).get("value", {}).get("block")
            for text in (block or {}).get("data", {}).get("txs") or ():
                name = self._names.pop(hashlib.sha256(base64.b64decode(text)).digest(), None)
                if name is not None:
                    on_confirmed(name)
        raise SubscriptionError(f"{self._urls[0]} ended the subscription to its blocks")

    async def _broadcast(self, units: Sequence[Unit], turn: int) -> Outcome:
        calls = []
        for number, unit in enumerate(units):
            body = self._build_body(unit)
            self._names[hashlib.sha256(body).digest()] = unit.name
            params = {"tx": base64.b64encode(body).decode()}
            calls.append({"jsonrpc": "2.0", "id": number, "method": "broadcast_tx_async", "params": params})
        try:
            async with self._session.post(self._urls[turn % len(self._urls)], json=calls) as response:
                answers = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Outcome({unit.name: type(error).__name__ for unit in units})
        if isinstance(answers, dict):  # to a call alone, or one error for all of them
            return Outcome({unit.name: "refused" for unit in units} if "error" in answers else {})
        refused = {answer.get("id") for answer in answers if "error" in answer}
        return Outcome({unit.name: "refused" for number, unit in enumerate(units) if number in refused})
