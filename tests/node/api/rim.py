"""A real API on a free port of this machine, over a community whose blocks the test makes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from consensus.effects import TimerName
from consensus.explanation import Contact, Surroundings, explain
from consensus.position import describe_position
from node.api.app import open_api
from node.api.services import Services
from node.config import ApiConfig
from node.mempool import Added, Full, Known, Refused
from node.metrics import Metrics
from node.status import ConsensusStatus, NodeStatus, ViewEvent
from node.story import StoryLine
from primitives.encoding import DecodeError
from primitives.hashing import compute_transaction_id
from primitives.ids import MonotonicMs
from tests.consensus.builders import Desk, now
from tests.node.community import Community
from vm.receipt import Rejection
from vm.transaction import decode_transaction, is_transaction_signed

CONFIG = ApiConfig(port=0, connections_max=20, connections_per_address_max=20, body_bytes_max=1024 * 1024)


@dataclass(frozen=True)
class Outcome:
    """What became of a submitted transaction, as the node tells it."""

    id: bytes
    status: str
    rejection: str | None = None
    detail: str = ""


@dataclass
class Rim:
    """An open API, a client of it, and the community behind it."""

    community: Community
    metrics: Metrics
    client: aiohttp.ClientSession
    port: int

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.get(self.url(path), headers=headers) as response:
            return response.status, await read_json(response)

    async def post(self, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
        merged = {"Content-Type": "application/octet-stream", **headers}
        async with self.client.post(self.url(path), data=body, headers=merged) as response:
            return response.status, await read_json(response)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send raw bytes, and return the status and all that comes until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            answer = await reader.read()
        finally:
            writer.close()
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


async def read_json(response: aiohttp.ClientResponse) -> Any:  # noqa: ANN401  # JSON
    refused = response.status >= 400
    assert response.content_type == ("application/problem+json" if refused else "application/json")
    return json.loads(await response.read())


def submit_to(community: Community) -> Callable[[Sequence[bytes]], Coroutine[Any, Any, list[Outcome]]]:
    """Return what a node does with transactions, without its network and its threads."""

    def take(raw: bytes) -> Outcome:
        name = compute_transaction_id(raw)
        try:
            sealed = decode_transaction(raw)
        except DecodeError as error:
            return Outcome(name, "refused", Rejection.MALFORMED, str(error))
        if not is_transaction_signed(sealed, community.genesis_hash):
            return Outcome(name, "refused", Rejection.SIGNATURE_INVALID)
        match community.mempool.add(sealed, MonotonicMs(0), lambda _: None):
            case Added():
                return Outcome(name, "accepted")
            case Known():
                return Outcome(name, "known")
            case Refused(rejection=rejection):
                return Outcome(name, "refused", rejection)
            case Full():
                return Outcome(name, "busy")

    async def submit(raws: Sequence[bytes]) -> list[Outcome]:
        await asyncio.sleep(0)
        return [take(raw) for raw in raws]

    return submit


def describe(community: Community) -> NodeStatus:
    header = community.header
    return NodeStatus(
        name="node0",
        chain=community.genesis.name,
        genesis_hash=community.genesis_hash.hex(),
        role="validator",
        height=header.height,
        certified_height=community.queries.certified_height,
        view=0,
        epoch=0,
        active=True,
        primary="node0",
        phase="normal",
        block_time_ms=header.time_ms,
        state_root=header.state_root.hex(),
        mempool=len(community.mempool),
        view_changes=0,
        peers=[],
    )


def describe_consensus() -> ConsensusStatus:
    """Describe a replica that has just started, alone."""
    position = describe_position(Desk(0).replica.view, now(), {TimerName.RESEND: 300})
    contacts = tuple(
        Contact(f"v{index}", is_linked=False, since_ms=4000, error="connection refused")
        for index in (1, 2, 3)
    )
    around = Surroundings(contacts, pending=0, waited_ms=0, silence_ms=0, silent_ms=3000, patience_ms=2000)
    lines = [StoryLine(1_500_000_000_000, "view_started view=0 primary=v0", 1)]
    return ConsensusStatus(position, explain(position, around), 1_500_000_000_000, lines)


def build_services(community: Community, metrics: Metrics) -> Services:
    return Services(
        genesis=b"genesis bytes",
        queries=community.queries,
        metrics=metrics,
        submit=submit_to(community),
        get_status=lambda: describe(community),
        get_consensus=describe_consensus,
        find_unready_reason=lambda: None,
        get_view=lambda: ViewEvent(0, 0, "node0", active=True),
    )


@asynccontextmanager
async def open_rim(
    community: Community | None = None,
    config: ApiConfig = CONFIG,
    find_unready_reason: Callable[[], str | None] = lambda: None,
    is_token_known: Callable[[str], bool] = lambda _: False,
) -> AsyncIterator[Rim]:
    chosen = community or Community()
    metrics = Metrics()
    services = replace(build_services(chosen, metrics), find_unready_reason=find_unready_reason)
    async with (
        open_api(services, config, is_token_known) as port,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client,
    ):
        yield Rim(chosen, metrics, client, port)


def run(
    test: Coroutine[Any, Any, None], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run a test to its end; on another loop than Python's when one is given (a node runs on uvloop)."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(bounded())
