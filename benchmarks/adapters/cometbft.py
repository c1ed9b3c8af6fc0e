"""CometBFT under load: broadcast over HTTP, confirmed by events of blocks (its kvstore verifies no signature)."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from benchmarks.harness.load import Adapter, LoadOrder, Outcome, Unit

SUBSCRIPTION = {"jsonrpc": "2.0", "id": 0, "method": "subscribe", "params": {"query": "tm.event='NewBlock'"}}


@asynccontextmanager
async def open_cometbft(order: LoadOrder) -> AsyncIterator[Adapter]:
    """Open connections to the nodes' RPC ends."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield _CometBft(session, order.urls)


def build_kvstore_body(unit: Unit) -> bytes:
    """Return what the kvstore takes: a key, an equals sign and a value without one."""
    return unit.name.hex().encode() + b"=" + base64.b64encode(unit.body).rstrip(b"=")


class _CometBft:
    def __init__(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        self._session = session
        self._urls = urls
        self._turn = count()
        self._names: dict[bytes, bytes] = {}

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Broadcast units in one JSON-RPC batch to one node after the other."""
        calls = []
        for number, unit in enumerate(units):
            body = build_kvstore_body(unit)
            self._names[hashlib.sha256(body).digest()] = unit.name
            params = {"tx": base64.b64encode(body).decode()}
            calls.append({"jsonrpc": "2.0", "id": number, "method": "broadcast_tx_async", "params": params})
        url = self._urls[next(self._turn) % len(self._urls)]
        try:
            async with self._session.post(url, json=calls) as response:
                answers = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Outcome({unit.name: type(error).__name__ for unit in units})
        listed = answers if isinstance(answers, list) else [answers]
        refused = {answer.get("id") for answer in listed if "error" in answer}
        return Outcome({unit.name: "refused" for number, unit in enumerate(units) if number in refused})

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Follow the blocks of one node; its word is believed, as its own load tool does."""
        async with self._session.ws_connect(f"{self._urls[0]}/websocket", max_msg_size=0) as socket:
            await socket.send_json(SUBSCRIPTION)
            async for message in socket:
                result = message.json().get("result") or {}
                block = result.get("data", {}).get("value", {}).get("block")
                for text in (block or {}).get("data", {}).get("txs") or ():
                    name = self._names.pop(hashlib.sha256(base64.b64decode(text)).digest(), None)
                    if name is not None:
                        on_confirmed(name)
