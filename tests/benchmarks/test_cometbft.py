"""The adapter of CometBFT against a node's answers as they are: what it asks, and what it makes of refusals."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from benchmarks.adapters import open_adapter
from benchmarks.adapters.cometbft import CALLS_MAX, SubscriptionError
from benchmarks.harness.load import LoadOrder, LoadResult, Unit, run_load
from tests.integration.ports import find_free_ports

UNITS = [Unit(number.to_bytes(2, "big"), bytes([number]) * 8) for number in range(21)]
TOO_MANY = {"code": -32600, "message": "Invalid Request", "data": "batch request exceeds maximum (10)"}


@dataclass
class Node:
    """What answers as a node of CometBFT 0.38 does: it takes ten calls in a request, and answers one alone.

    Each request is a block.
    """

    is_refusing: bool = False
    is_deaf: bool = False
    is_ending: bool = False
    sizes: list[int] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    async def call(self, request: web.Request) -> web.Response:
        calls: list[dict[str, Any]] = await request.json()
        self.sizes.append(len(calls))
        if self.is_refusing:
            return web.json_response({"jsonrpc": "2.0", "error": TOO_MANY})
        texts = [call["params"]["tx"] for call in calls]
        self.taken += map(base64.b64decode, texts)
        block = {"result": {"data": {"value": {"block": {"data": {"txs": texts}}}}}}
        for socket in self.sockets:
            await socket.send_json(block)
        answers = [{"jsonrpc": "2.0", "id": call["id"], "result": {"code": 0}} for call in calls]
        return web.json_response(answers if len(answers) > 1 else answers[0])

    async def subscribe(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked = await socket.receive_json()
        assert asked["method"] == "subscribe"
        await socket.send_json(
            {"id": 0, "error": "no more subscriptions"} if self.is_deaf else {"id": 0, "result": {}}
        )
        if not self.is_ending:
            self.sockets.append(socket)
            await socket.receive()
        return socket


@asynccontextmanager
async def serve(node: Node) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.post("/", node.call), web.get("/websocket", node.subscribe)])
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = find_free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def load(node: Node, adapter: str = "cometbft-bytes") -> LoadResult:
    async def run() -> LoadResult:
        async with serve(node) as url:
            order = LoadOrder(adapter, [url], "", rate=1e6, drain_s=5.0)
            async with open_adapter(order) as opened:
                return await run_load(opened, UNITS, order)

    return asyncio.run(run())


def test_what_stands_in_a_block_is_confirmed_and_no_request_is_too_long_for_a_node() -> None:
    node = Node()
    result = load(node)
    assert (result.confirmed, result.refused, result.lost) == (21, 0, 0)
    assert sorted(node.sizes) == [1, CALLS_MAX, CALLS_MAX]
    assert sorted(node.taken) == [unit.body for unit in UNITS]


def test_the_kvstore_gets_keys_and_values_and_another_application_the_transaction_itself() -> None:
    keyed, plain = Node(), Node()
    load(keyed, "cometbft")
    load(plain)
    assert {body.partition(b"=")[0] for body in keyed.taken} == {unit.name.hex().encode() for unit in UNITS}
    assert set(plain.taken) == {unit.body for unit in UNITS}


def test_one_error_for_a_whole_request_refuses_all_of_it() -> None:
    result = load(Node(is_refusing=True))
    assert (result.confirmed, result.refused, result.lost) == (0, 21, 0)


@pytest.mark.parametrize(
    ("node", "said"), [(Node(is_deaf=True), "tells no blocks"), (Node(is_ending=True), "ended")]
)
def test_a_node_that_tells_no_blocks_ends_the_run_instead_of_making_a_figure(node: Node, said: str) -> None:
    with pytest.raises((SubscriptionError, ExceptionGroup)) as raised:
        load(node)
    error = raised.value.exceptions[0] if isinstance(raised.value, ExceptionGroup) else raised.value
    assert said in str(error)
