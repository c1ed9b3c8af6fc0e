"""A stand-in for remote validators: a small HTTP server that speaks the API, honestly or not."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from consensus.messages import Handover
from meter.proofs import CertifiedReceipt
from primitives.encoding import encode
from primitives.hashing import compute_transaction_id
from primitives.ids import Digest
from tests.meter.networks import (
    ANCHOR,
    ELECTORATES,
    HANDOVERS,
    Ledger,
    build_header,
    certify,
    get_some,
)

JsonObject = dict[str, object]


@dataclass
class StandIn:
    """One validator of a pretended network; the fields say how it misbehaves."""

    ledger: Ledger
    genesis_hex: str = ANCHOR.genesis_hash.hex()
    refusals: dict[bytes, str] = field(default_factory=dict)
    refuse_all: str | None = None
    status: int | None = None
    is_dropping: bool = False
    is_silent: bool = False
    padding: int = 0
    alter: Callable[[CertifiedReceipt], CertifiedReceipt] | None = None
    certified_height: int | None = None
    handovers: tuple[Handover, ...] = HANDOVERS
    page: int = 64
    received: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def build_app(self) -> web.Application:
        app = web.Application(middlewares=[self._misbehave], client_max_size=2**20)
        app.router.add_get("/v1/status", self._tell_status)
        app.router.add_post("/v1/transactions", self._take_one)
        app.router.add_post("/v1/transactions/batch", self._take_many)
        app.router.add_post("/v1/proofs", self._prove)
        app.router.add_get("/v1/blocks/latest", self._tell_block)
        app.router.add_get("/v1/handovers", self._tell_handovers)
        app.router.add_get("/v1/accounts/{name}", self._tell_account)
        return app

    @web.middleware
    async def _misbehave(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.is_silent:
            await asyncio.Event().wait()
        if self.status is not None:
            headers = {"Retry-After": "1"} if self.status == 503 else {"Location": "http://127.0.0.1:1/"}
            return answer({"error": "BUSY", "detail": "later"}, self.status, headers)
        response = await handler(request)
        if self.padding and isinstance(response, web.Response) and isinstance(response.body, bytes):
            response.body = response.body[:-1] + b" " * self.padding + response.body[-1:]
        return response

    async def _tell_status(self, _: web.Request) -> web.Response:
        return answer(
            {
                "name": "node0",
                "chain": "street",
                "genesis_hash": self.genesis_hex,
                "role": "validator",
                "height": self.ledger.height,
                "certified_height": self.ledger.height,
                "view": 0,
                "epoch": 0,
                "active": True,
                "primary": "node0",
                "phase": "normal",
                "block_time_ms": 0,
                "state_root": "00" * 32,
                "mempool": 0,
                "view_changes": 0,
                "peers": [{"name": "node1", "connected": True}],
                "waiting": None,
                "commit_latency_ms": {"p50": 12.5, "p99": None},
                "counters": {"blocks": 3},
                "a field of a later version": [],
            }
        )

    def _take(self, raw: bytes) -> JsonObject:
        name = compute_transaction_id(raw)
        self.received.append(raw)
        refusal = self.refusals.get(name, self.refuse_all)
        if refusal is not None:
            return {"id": name.hex(), "status": "refused", "error": refusal, "detail": "no"}
        if name in self.ledger.proofs:
            return {"id": name.hex(), "status": "known"}
        if not self.is_dropping:
            self.ledger.execute([name])
        return {"id": name.hex(), "status": "accepted"}

    async def _take_one(self, request: web.Request) -> web.Response:
        result = self._take(await request.read())
        return answer(result, 422 if result["status"] == "refused" else 202)

    async def _take_many(self, request: web.Request) -> web.Response:
        raws = msgspec.msgpack.decode(await request.read(), type=list[bytes])
        return answer({"results": [self._take(raw) for raw in raws]})

    async def _prove(self, request: web.Request) -> web.Response:
        names = msgspec.msgpack.decode(await request.read(), type=list[bytes])
        return answer({"proofs": [self._prove_one(Digest(name)) for name in names]})

    def _prove_one(self, name: Digest) -> JsonObject:
        certified = self.ledger.proofs.get(name)
        if certified is None:
            return {"id": name.hex(), "error": "NOT_YET"}
        shown = self.alter(certified) if self.alter else certified
        return {
            "id": name.hex(),
            "height": certified.height,
            "certificate_height": shown.certificate.header.height,
            "proof": to_base64(encode(shown.proof)),
            "certificate": to_base64(encode(shown.certificate)),
        }

    async def _tell_block(self, _: web.Request) -> web.Response:
        height = self.ledger.height if self.certified_height is None else self.certified_height
        epoch = self.ledger.epoch
        signed = certify(build_header(height, epoch=epoch), get_some(ELECTORATES[epoch]))
        certificate = to_base64(encode(signed)) if height else None
        return answer({"height": height, "certificate": certificate})

    async def _tell_handovers(self, request: web.Request) -> web.Response:
        first = int(request.query["from"])
        shown = self.handovers[first : first + self.page]
        return answer({"handovers": [to_base64(encode(each)) for each in shown], "next": None})

    async def _tell_account(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name != "CL01":
            return answer({"error": "NOT_FOUND", "detail": f"no account {name}"}, 404)
        return answer(
            {
                "account": "00" * 16,
                "name": name,
                "role": "prosumer",
                "status": "active",
                "public_key": "00" * 32,
                "nonce": 3,
                "balances": {"settlement_nano": -5, "coins": 0},
                "height": 9,
                "nonce_hint": 4,
            }
        )


def answer(content: JsonObject, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@asynccontextmanager
async def serve(*stand_ins: StandIn) -> AsyncIterator[list[str]]:
    """Serve these validators on ports of their own; yield their addresses."""
    async with AsyncExitStack() as stack:
        urls = []
        for stand_in in stand_ins:
            server = TestServer(stand_in.build_app())
            await stack.enter_async_context(server)
            urls.append(str(server.make_url("")).rstrip("/"))
        yield urls
