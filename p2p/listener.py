"""Taking links: TLS, then the websocket, then the handshake; strangers are bounded by count, address and time."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

from aiohttp import web

from p2p.connection import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S, HEARTBEAT_S, get_presented_certificate
from p2p.frames import MESSAGE_BYTES_MAX

PATH = "/gridbft/link"
LINKS_MAX = 512
"""Websockets at the same time, members and strangers: four times the most validators."""

LINKS_PER_ADDRESS_MAX = 160
"""One address may hold all validators of a test network, and not the whole listener."""

BACKLOG = 128


class PortBusy(Exception):  # noqa: N818  # it reads as what happened
    """The p2p port cannot be listened on; one line says why."""


Take = Callable[[web.WebSocketResponse, bytes], Awaitable[None]]


@asynccontextmanager
async def open_listener(host: str, port: int, context: SSLContext, take: Take) -> AsyncIterator[int]:
    """Listen, and give the port; ``take(socket, presented certificate)`` runs each link to its end.

    Raises:
        PortBusy: the port is taken or may not be used.

    """
    links: Counter[str] = Counter()

    async def on_link(request: web.Request) -> web.StreamResponse:
        address = request.remote or ""
        if links.total() >= LINKS_MAX or links[address] >= LINKS_PER_ADDRESS_MAX:
            return web.Response(status=503, headers={"Retry-After": "5"})
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX, compress=False
        )
        links[address] += 1
        try:
            await socket.prepare(request)
            await take(socket, get_presented_certificate(request.transport))
        finally:
            links[address] -= 1
            if not links[address]:
                del links[address]
        return socket

    app = web.Application()
    app.router.add_get(PATH, on_link)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=HANDSHAKE_TIMEOUT_S, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context, backlog=BACKLOG, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            raise PortBusy(
                f"cannot listen on {host}:{port} for validators: {error.strerror or error};"
                " stop what uses it or change p2p.port in config.toml"
            ) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
