"""Taking links: TCP, TLS, websocket, handshake, all of it within one deadline; strangers are bounded by the gate.

The server of aiohttp is given connections that are accepted here: it has no bound of its own before the first request.
"""

import asyncio
import contextlib
import os
import socket as sockets
import ssl
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from p2p.connection import tune
from p2p.frames import MESSAGE_BYTES_MAX
from p2p.gate import Gate
from p2p.peers import Timing
from p2p.tls import get_presented_certificate

log = structlog.get_logger("gridbft.p2p")

PATH = "/gridbft/link"
BACKLOG = 128
"""Connections the kernel holds while the loop is busy: as many as there can be validators."""

ACCEPT_RETRY_S = 0.5
"""When no descriptor is left, trying again at once would only burn time."""

REQUEST_BYTES_MAX = 2048
"""A line or a field of the websocket's request has about 60 bytes."""

SHUTDOWN_S = 1.0
"""For aiohttp's tasks to end after their connections were cut."""


class PortBusy(Exception):  # noqa: N818  # it reads as what happened
    """The p2p port cannot be listened on; one line says why."""


Take = Callable[[web.WebSocketResponse, asyncio.Transport, bytes, Callable[[], None]], Awaitable[None]]
"""Runs a link to its end: (socket, transport, presented certificate, what to call when the other end is a member)."""


class _Incoming(web.RequestHandler):
    """aiohttp's side of one connection; tells when the other end is known, and when the connection is lost."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for "no log" and does not say so
            keepalive_timeout=0,
            lingering_time=0,
            auto_decompress=False,
            max_line_size=REQUEST_BYTES_MAX,
            max_field_size=REQUEST_BYTES_MAX,
        )
        self.known_or_lost: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.on_known: Callable[[], None] = self._note_known

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._note_known()
        if not self.lost.done():
            self.lost.set_result(None)

    def _note_known(self) -> None:
        if not self.known_or_lost.done():
            self.known_or_lost.set_result(None)


def open_port(host: str, port: int, section: str = "p2p") -> sockets.socket:
    """Return a socket that listens; port 0 takes a free one. ``section`` of config.toml says where.

    Raises:
        PortBusy: the port is taken or may not be used.

    """
    try:
        family, *_, address = sockets.getaddrinfo(
            host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        listening = sockets.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        whom = "validators" if section == "p2p" else section
        raise PortBusy(
            f"cannot listen on {host}:{port} for {whom}: {_describe_os_error(error)};"
            f" stop what uses it or change {section}.host and {section}.port in config.toml"
        ) from None
    listening.settimeout(0)
    return listening


class Listener:
    """Accepts connections on a socket that listens, until ``run`` is cancelled.

    ``get_context`` tells at each connection whom TLS lets in now. ``on_stranger`` hears (address, reason) when TLS
    failed for a certificate: a port scan is not worth a word.
    """

    def __init__(
        self,
        listening: sockets.socket,
        get_context: Callable[[], ssl.SSLContext],
        timing: Timing,
        take: Take,
        on_stranger: Callable[[str, str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self.gate = Gate(self._loop.time())
        self._get_context = get_context
        self._timing = timing
        self._take = take
        self._on_stranger = on_stranger
        self._server = web.Server(self._on_request)
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._unserved: dict[int, sockets.socket] = {}

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Accept connections, each served by a task of ``tasks``."""
        while True:
            await asyncio.sleep(0)  # accepting gives way to other work, however many are waiting
            try:
                socket, address = await self._loop.sock_accept(self._listening)
            except OSError as error:
                log.warning("accept_failed", reason=error.strerror or str(error))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            self._admit(socket, str(address[0]), tasks)

    async def close(self) -> None:
        """Cut every connection and wait for what aiohttp runs for them."""
        for task in list(self._serving.values()):
            task.cancel()
        if self._serving:
            await asyncio.wait(list(self._serving.values()))
        await self._server.shutdown(SHUTDOWN_S)

    def _admit(self, socket: sockets.socket, address: str, tasks: asyncio.TaskGroup) -> None:
        admission = self.gate.admit(address, self._loop.time())
        if isinstance(admission, str):
            log.debug("connection_refused", address=address, reason=admission)
            socket.close()
            return
        if admission.evicted is not None:
            self._serving[admission.evicted].cancel()
        self._unserved[admission.ticket] = socket
        task = tasks.create_task(self._serve(address, admission.ticket))
        self._serving[admission.ticket] = task
        task.add_done_callback(lambda _: self._forget(admission.ticket))

    def _forget(self, ticket: int) -> None:
        self.gate.release(ticket)
        del self._serving[ticket]
        socket = self._unserved.pop(ticket, None)
        if socket is not None:
            socket.close()  # cancelled before it began

    async def _serve(self, address: str, ticket: int) -> None:
        """Keep one connection: cut it when nobody has shown to be a member in time."""
        socket = self._unserved.pop(ticket)
        incoming = _Incoming(self._server, self._loop)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(self._timing.handshake_s):
                transport, _ = await self._loop.connect_accepted_socket(
                    lambda: incoming,
                    socket,
                    ssl=self._get_context(),
                    ssl_handshake_timeout=self._timing.handshake_s,
                )
                tune(transport)
                await incoming.known_or_lost
            if not incoming.lost.done():
                self.gate.welcome(ticket)
            await incoming.lost
        except TimeoutError:
            log.info("handshake_refused", address=address, reason="not finished in time")
        except OSError as error:
            log.info("handshake_refused", address=address, reason=describe_error(error))
            if _is_about_certificates(error):
                self._on_stranger(address, describe_error(error))
        finally:
            if transport is not None:
                transport.abort()

    async def _on_request(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming, transport = request.protocol, request.transport
        if request.path != PATH or transport is None or not isinstance(incoming, _Incoming):
            return web.Response(status=404, headers={"Connection": "close"})
        socket = web.WebSocketResponse(
            timeout=self._timing.handshake_s,
            heartbeat=self._timing.heartbeat_s,
            max_msg_size=MESSAGE_BYTES_MAX + 1,  # aiohttp refuses what reaches this size
            compress=False,
        )
        try:
            await socket.prepare(request)
        except ConnectionError:
            return (
                web.Response()
            )  # to nobody: whoever asked is gone, and aiohttp cannot end a socket that never was one
        with contextlib.suppress(ConnectionError):
            certificate = get_presented_certificate(transport.get_extra_info("ssl_object"))
            await self._take(socket, transport, certificate, incoming.on_known)
        return socket


def describe_error(error: OSError) -> str:
    """Return in one line why a connection failed, without the place in OpenSSL's source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is no member's: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return _describe_os_error(error)


def _is_about_certificates(error: OSError) -> bool:
    """Tell whether this side refused the other's certificate, or the other side this one's."""
    return isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and "UNKNOWN_CA" in (error.reason or "")
    )


def _describe_os_error(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:  # names that cannot be resolved have negative numbers
        return os.strerror(error.errno).lower()
    return error.strerror or str(error) or type(error).__name__
