"""The HTTP API of a validator: opening it, and who may ask it under which name."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
from aiohttp import web

from node.api.access import Access
from node.api.chain_routes import ChainRoutes
from node.api.door import Door
from node.api.errors import ApiProblem, build_error, refuse_busy
from node.api.event_routes import EventRoutes
from node.api.fairness import Fairness
from node.api.feed_routes import FeedRoutes
from node.api.gate import ConnectionGate
from node.api.market_routes import MarketRoutes
from node.api.openapi import DocumentRoutes
from node.api.requests import BodyReader
from node.api.round_routes import RoundRoutes
from node.api.route import Route
from node.api.routes import NodeRoutes, TransactionRoutes
from node.api.server import SHUTDOWN_S, ApiServer, Counted, Handler, guard
from node.api.services import Services
from node.api.state_routes import StateRoutes
from node.api.stream_places import Places
from node.api.submit_stream import SubmitStreamRoutes
from node.api.validator_routes import ValidatorRoutes
from node.config import ApiConfig
from node.errors import NodeError, PortBusyError
from node.pinned_state import NotCertifiedYetError
from node.queries import QueryError


class Declaring(Protocol):
    """Some addresses with their handlers."""

    def get_routes(self) -> list[Route]:
        """Return what they promise."""
        ...


LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
BACKLOG = 1024
"""Connections that the kernel holds until they are accepted; the gate decides about them within milliseconds.

Under every attack at once 128 were not enough: 8 of 2,854 honest transactions waited a second, for their connection's
first packet to be sent again; with 1,024 none of 3,052 did, and the others took as long (p50 14 ms).
"""

log = structlog.get_logger("gridbft.api")


@asynccontextmanager
async def open_api(
    services: Services, config: ApiConfig, is_token_known: Callable[[str], bool] = lambda _: False
) -> AsyncIterator[int]:
    """Serve the API until the end of the block; give the port it listens on. ``is_token_known`` lets a token's bearer
    read what is not public.

    Raises:
        PortBusyError: another process listens there.
        NodeError: the address is none of this machine's.

    """
    fairness, places = Fairness(config.requests_per_second_max), Places.build(config.streams_max)
    access = Access(config.private_reads, is_token_known)
    routes = [route.build(access.check) for route in build_routes(services, config, fairness, places)]
    gate = ConnectionGate(config.connections_max, config.connections_per_address_max)
    names = LOOPBACK_NAMES | {config.host.lower(), *(name.lower() for name in config.allowed_hosts)}

    def count(request: web.BaseRequest | None, status: int) -> None:
        method, route = _get_route(request)
        services.metrics.record_request(method, route, status)
        services.metrics.set_gauge("api_connections", gate.connections)
        services.metrics.set_gauge("api_waiters", services.queries.signal.waiters)
        services.metrics.set_gauge("api_streams", places.count)

    async with open_server(routes, gate, names, count, fairness) as server:
        try:
            listener = await asyncio.get_running_loop().create_server(
                server, config.host, config.port, backlog=BACKLOG
            )
        except OSError as error:
            raise _explain_listening(error, config) from None
        port = int(listener.sockets[0].getsockname()[1])
        log.info("api_listening", host=config.host, port=port)
        try:
            yield port
        finally:
            listener.close()
            places.end_all()


def build_routes(services: Services, config: ApiConfig, fairness: Fairness, places: Places) -> list[Route]:
    """Return every address of the API, the one of their document included."""
    bodies, door = BodyReader(config.body_bytes_max), Door(services)
    kinds: list[Declaring] = [
        TransactionRoutes(services, bodies, door),
        SubmitStreamRoutes(services, bodies, door, fairness, places.submitting),
        FeedRoutes(services, fairness, places.listening),
        ChainRoutes(services),
        StateRoutes(services),
        MarketRoutes(services),
        EventRoutes(services),
        RoundRoutes(services),
        ValidatorRoutes(services),
        NodeRoutes(services),
    ]
    routes = [route for kind in kinds for route in kind.get_routes()]
    return [*routes, *DocumentRoutes(routes).get_routes()]


def list_declared() -> list[Route]:
    """Return every address of the API as it is declared; nothing is opened, and no handler may be called."""
    kinds: list[type[Declaring]] = [
        *(
            TransactionRoutes,
            SubmitStreamRoutes,
            FeedRoutes,
            ChainRoutes,
            StateRoutes,
            MarketRoutes,
            EventRoutes,
            RoundRoutes,
            ValidatorRoutes,
            NodeRoutes,
            DocumentRoutes,
        )
    ]
    return [route for kind in kinds for route in kind.__new__(kind).get_routes()]


@asynccontextmanager
async def open_server(
    routes: Iterable[web.RouteDef],
    gate: ConnectionGate,
    names: frozenset[str],
    count: Counted,
    fairness: Fairness,
) -> AsyncIterator[ApiServer]:
    """Give a factory of connections that serve ``routes`` under ``names``; at the end all are closed."""
    app = web.Application()
    app.add_routes(list(routes))
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    inner = runner.server
    if inner is None:
        raise AssertionError("a runner that was set up has a server")
    handler = guard(
        _translate_refusals(inner.request_handler),
        lambda request: check_text(request) or check_host(request, names),
        count,
        fairness,
    )
    server = ApiServer(handler, inner.request_factory, gate)
    try:
        yield server
    finally:
        server.pre_shutdown()
        await server.shutdown(SHUTDOWN_S)
        await runner.cleanup()


def check_text(request: web.BaseRequest) -> web.Response | None:
    """Refuse headers that are not UTF-8: whoever repeats them, as aiohttp does in its refusals, fails."""
    try:
        for _, value in request.raw_headers:
            value.decode()
    except UnicodeDecodeError:
        return build_error(400, "BAD_REQUEST", "a header is not UTF-8 text")
    return None


def check_host(request: web.BaseRequest, names: frozenset[str]) -> web.Response | None:
    """Refuse a request under a name that is not this node's: a web page must not reach it by a name of its own.

    (DNS rebinding: the page's name then points here, and the browser believes to talk to the page's server.)
    """
    host = request.headers.get("Host")
    if host is None:
        return build_error(400, "HOST_MISSING", "name the node in the Host header")
    if _strip_port(host.strip().lower()) not in names:
        return build_error(
            403, "HOST_NOT_ALLOWED", "ask under the node's address, or add the name to api.allowed_hosts"
        )
    return None


def _strip_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _translate_refusals(handler: Handler) -> Handler:
    """Turn what the node's queries refuse into answers."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except QueryError as error:
            raise ApiProblem(400, "BAD_PARAMETER", str(error)) from None
        except NotCertifiedYetError:
            raise refuse_busy(
                "this node has just started and has no certified state yet; ask again or ask another one",
                "NOT_CERTIFIED_YET",
            ) from None

    return answer


def _get_route(request: web.BaseRequest | None) -> tuple[str, str]:
    """Return method and pattern of the address, one name for all that have none: few, whatever clients send."""
    if isinstance(request, web.Request):
        resource = request.match_info.route.resource
        if resource is not None:
            return request.match_info.route.method, resource.canonical
    return "any", "other"


def _explain_listening(error: OSError, config: ApiConfig) -> NodeError:
    where = f"api.host {config.host}, api.port {config.port}"
    if error.errno == errno.EADDRINUSE:
        return PortBusyError(f"{where}: another process listens there; stop it or choose another port")
    return NodeError(
        f"{where}: cannot listen there ({error.strerror or error}); choose an address of this machine"
    )
