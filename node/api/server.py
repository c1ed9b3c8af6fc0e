"""Connections of the API: how many, for how long, and an answer in JSON whatever arrives.

aiohttp's own limits are not safe for an open port: it keeps idle connections for an hour, takes any number of them,
waits for a slow reader without end, and answers what is no HTTP in prose.
"""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import structlog
from aiohttp import web

from node.api.errors import ApiProblem, build_error, build_http_error, encode_problem
from node.api.fairness import PACES_ITSELF, Fairness
from node.api.gate import ConnectionGate

FIRST_REQUEST_S = 8.0
"""A connection whose first request's line and headers are not there after this is closed: clients connect to ask."""

KEEP_ALIVE_S = 15.0
"""One that rests after an answer, or does not end the headers of its next request, is closed after this."""

WRITE_STALL_S = 3.0
"""In each such time WRITE_STEP_BYTES of an answer must leave: twice in a row without, and the client is cut off."""

STALLS_MAX = 2

WRITE_STEP_BYTES = 24 * 1024
"""64 kbit/s: who reads more slowly asks for less at once."""

UNREAD_S = 6.0
"""For so long the kernel keeps what a client does not take in, and may be all of a small answer."""

SEND_BUFFER_BYTES = 32 * 1024
"""What the kernel keeps for a client that reads nothing; by itself it would grow to megabytes."""

LINGERING_S = 2.0
"""How long the rest of a refused body is read and thrown away, so that the refusal arrives."""

HEADER_BYTES_MAX = 8_190
HEADERS_MAX = 64
"""A proxy adds a dozen; each costs memory before anything is checked."""

HEADERS = {
    "Server": "gridbft",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Every answer has these: nothing here is a page, so a browser that shows it anyway loads, runs and frames nothing."""

SHUTDOWN_S = 2.0
"""Long polls are cut off at a stop: their clients ask another validator."""

_FULL_BODY = encode_problem(503, "TOO_MANY_CONNECTIONS", "come back later, or use fewer")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_FULL_BODY), _FULL_BODY)
)

Counted = Callable[[web.BaseRequest | None, int], None]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
log = structlog.get_logger("gridbft.api")


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

    __slots__ = ("_first_request", "_gate")

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
        self._first_request: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there is no room and close it."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self._gate.enter(address, self):
            self._force_close = True
            cast("asyncio.Transport", transport).write(_FULL)  # uvloop's is none by its class
            transport.close()
            return
        self._first_request = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._end_silence)
        _limit_unread_answers(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take in what came; where nothing more is read (a websocket broke its protocol) the sender is held up.

        aiohttp throws the rest away until the handler has ended, as fast as it comes.
        """
        super().data_received(data)
        transport = self.transport
        if self._close and transport is not None and transport.is_reading():
            transport.pause_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place free."""
        self._gate.leave(self)
        if self._first_request is not None:
            self._first_request.cancel()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """End at once: somebody else needs the place more."""
        self.force_close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Keep the place while a request is answered."""
        self._gate.begin(self)
        try:
            yield
        finally:
            self._gate.finish(self)

    def _end_silence(self) -> None:
        if not self._request_count:
            self.force_close()

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
        response.headers.update(HEADERS)
        response.force_close()
        return response


def guard(
    handler: Handler,
    check: Callable[[web.BaseRequest], web.Response | None],
    count: Counted,
    fairness: Fairness,
) -> Handler:
    """Return a handler that answers in turns and at a pace, every failure in JSON, in bounded time, and counts it.

    ``check`` refuses before the address is even looked at; such requests, and failures, are counted without them.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        with connection.answering() if isinstance(connection, ApiConnection) else nullcontext():
            return await answer_in_place(request)

    async def answer_in_place(request: web.BaseRequest) -> web.StreamResponse:
        address = request.remote or ""
        await fairness.enter(address)
        return await fairness.measure(address, respond(request), lambda: PACES_ITSELF not in request)

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        refusal = check(request) or _check_rate(request, fairness)
        response = await _handle(handler, request) if refusal is None else refusal
        if not response.prepared:
            response.headers.update(HEADERS)
        is_routed = refusal is None and response.status < web.HTTPInternalServerError.status_code
        count(request if is_routed else None, response.status)
        await _write(request, response)
        return response

    return answer


def _check_rate(request: web.BaseRequest, fairness: Fairness) -> web.Response | None:
    """Refuse what an address asks too often; its turn and its pace it has waited for all the same."""
    wait_s = fairness.count(request.remote or "")
    if wait_s == 0:
        return None
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return build_error(429, "TOO_MANY_REQUESTS", "ask less often; several questions fit one request", headers)


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
        async with asyncio.timeout(None) as limit:
            watch = _WriteWatch(transport, limit)
            try:
                await response.prepare(request)
                await response.write_eof()
            finally:
                watch.stop()
    except TimeoutError:
        if transport is not None:
            transport.abort()
        raise ConnectionResetError("the client does not read") from None


class _WriteWatch:
    """Looks every WRITE_STALL_S whether enough of an answer has left; runs ``limit`` out when twice it had not."""

    def __init__(self, transport: asyncio.Transport | None, limit: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._limit = limit
        self._waiting = 0
        self._stalls = 0
        self._handle = self._loop.call_later(WRITE_STALL_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._handle.cancel()

    def _look(self) -> None:
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        has_moved = self._waiting - waiting >= WRITE_STEP_BYTES
        self._stalls = 0 if has_moved else self._stalls + 1
        self._waiting = waiting
        if self._stalls >= STALLS_MAX:
            self._limit.reschedule(self._loop.time())
        else:
            self._handle = self._loop.call_later(WRITE_STALL_S, self._look)


def _limit_unread_answers(transport: asyncio.BaseTransport) -> None:
    """Let the kernel keep little for a client that reads nothing, and cut it off after a while."""
    link = transport.get_extra_info("socket")
    if link is not None and link.family in {socket.AF_INET, socket.AF_INET6}:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
