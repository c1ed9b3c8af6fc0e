"""Connections of the API: how many, for how long, and an answer in JSON whatever arrives.

aiohttp's own limits are not safe for an open port: it keeps idle connections for an hour, takes any number of them,
waits for a slow reader without end, and answers what is no HTTP in prose.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from node.api.errors import ApiProblem, build_error, build_http_error

KEEP_ALIVE_S = 15.0
"""An idle connection, or one whose request line and headers do not arrive, is closed after this."""

WRITE_TIMEOUT_S = 30.0
"""A client that does not read its answer for so long is cut off."""

LINGERING_S = 2.0
"""How long the rest of a refused body is read and thrown away, so that the refusal arrives."""

HEADER_BYTES_MAX = 8_190
HEADERS_MAX = 64
"""A proxy adds a dozen; each costs memory before anything is checked."""

SHUTDOWN_S = 2.0
"""Long polls are cut off at a stop: their clients ask another validator."""

_FULL_BODY = b'{"error":"TOO_MANY_CONNECTIONS","detail":"come back later, or use fewer"}'
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_FULL_BODY), _FULL_BODY)
)

Counted = Callable[[web.BaseRequest | None, int], None]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
log = structlog.get_logger("gridbft.api")


class ConnectionGate:
    """Counts connections, in all and per address."""

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._open: Counter[str] = Counter()
        self._total = 0

    @property
    def connections(self) -> int:
        """Return how many are open."""
        return self._total

    def enter(self, address: str) -> bool:
        """Count one in, if there is room."""
        if self._total >= self._connections_max or self._open[address] >= self._per_address_max:
            return False
        self._open[address] += 1
        self._total += 1
        return True

    def leave(self, address: str) -> None:
        """Count one out."""
        self._total -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class ApiServer(web.Server):
    """Makes one protocol per connection."""

    def __init__(
        self, handler: Handler, request_factory: Callable[..., web.BaseRequest], gate: ConnectionGate
    ) -> None:
        super().__init__(handler, request_factory=request_factory, handler_cancellation=True)
        self.gate = gate

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return ApiConnection(self)


class ApiConnection(web.RequestHandler):
    """One connection: refused at the bound, bounded in time, and never answered in prose."""

    __slots__ = ("_address", "_gate")

    def __init__(self, server: ApiServer) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE_S,
            access_log=None,  # type: ignore[arg-type]  # None is how it is switched off
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGERING_S,
            auto_decompress=False,
        )
        self._gate = server.gate
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there is no room and close it."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self._gate.enter(address):
            self._force_close = True
            if isinstance(transport, asyncio.WriteTransport):
                transport.write(_FULL)
            transport.close()
            return
        self._address = address
        _limit_unread_answers(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place free."""
        if self._address is not None:
            self._gate.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not even be parsed as HTTP; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status < 500:  # noqa: PLR2004  # a client's mistake
            response = build_error(status, "BAD_REQUEST", f"this is no HTTP request: {message or exc}")
        else:
            log.error("request_failed", exc_info=exc)
            response = build_error(500, "INTERNAL", "an error of the node; its log has the details")
        response.force_close()
        return response


def guard(
    handler: Handler, check: Callable[[web.BaseRequest], web.Response | None], count: Counted
) -> Handler:
    """Return a handler that answers every failure in JSON, bounds the time of writing, and counts the answer.

    ``check`` refuses before the address is even looked at; such requests, and failures, are counted without them.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        refusal = check(request)
        response = await _handle(handler, request) if refusal is None else refusal
        response.headers["Server"] = "gridbft"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        is_routed = refusal is None and response.status < web.HTTPInternalServerError.status_code
        count(request if is_routed else None, response.status)
        await _write(request, response)
        return response

    return answer


async def _handle(handler: Handler, request: web.BaseRequest) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiProblem as problem:
        return problem.build_response()
    except web.HTTPException as error:
        return build_http_error(error)
    except ConnectionError:
        raise
    except Exception:  # the last line of defence: a bug answers, is logged, and ends nothing else
        log.exception("request_failed", method=request.method, path=request.path[:200])
        return build_error(500, "INTERNAL", "an error of the node; its log has the details")


async def _write(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Send an answer; whoever does not read it is cut off, so that it is not kept for ever."""
    transport = request.transport
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if transport is not None:
            transport.abort()
        raise ConnectionResetError("the client does not read") from None


def _limit_unread_answers(transport: asyncio.BaseTransport) -> None:
    """Let the kernel cut off a client that reads nothing, also when the answer is in its buffers already."""
    link = transport.get_extra_info("socket")
    if link is not None and link.family in {socket.AF_INET, socket.AF_INET6}:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WRITE_TIMEOUT_S * 1000))
