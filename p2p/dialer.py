"""Opening the link to one member, again and again, with a back-off that is short enough for a restarted peer."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.http_websocket import WebSocketWriter

from p2p.connection import tune
from p2p.frames import MESSAGE_BYTES_MAX
from p2p.handshake import HandshakeError
from p2p.listener import PATH, describe_error
from p2p.peers import STABLE_S, PeerAddress, Timing, compute_backoff_s
from p2p.tls import get_presented_certificate


class OutgoingSocket(aiohttp.ClientWebSocketResponse):
    """A websocket that knows its transport, which aiohttp keeps to itself on this side."""

    def __init__(self, reader: Any, writer: WebSocketWriter, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # passed through
        super().__init__(reader, writer, *arguments, **options)
        self.transport = writer.transport


Take = Callable[[PeerAddress, OutgoingSocket, bytes], Awaitable[None]]
"""Runs a link to its end: (whom this side dialled, socket, presented certificate); raises HandshakeError when it was
not established."""


@dataclass(frozen=True)
class Dialer:
    """Keeps a link to a peer, which this node dials because its key is the smaller one.

    ``find_peer`` tells before each try where it is, and None when it is a member no more; ``get_context`` whom TLS lets
    in now. ``on_failure`` hears why a handshake failed, ``on_absence`` that nobody was there: a peer that is down is
    nobody's fault. ``get_ban_s`` says for how many seconds the peer must be left alone.
    """

    find_peer: Callable[[], PeerAddress | None]
    get_context: Callable[[], ssl.SSLContext]
    timing: Timing
    take: Take
    on_failure: Callable[[str], None]
    on_absence: Callable[[str], None]
    get_ban_s: Callable[[], float]

    async def run(self) -> None:
        """Dial, again and again, until cancelled or the peer is a member no more."""
        loop = asyncio.get_running_loop()
        failures = 0
        while (peer := self.find_peer()) is not None:
            ban_s = self.get_ban_s()
            if ban_s > 0:
                await asyncio.sleep(ban_s)
                continue
            began_s = loop.time()
            is_stable = False
            try:
                await self._dial(peer)
                is_stable = loop.time() - began_s >= STABLE_S
            except (aiohttp.ClientError, OSError, TimeoutError, HandshakeError) as error:
                is_absent = isinstance(getattr(error, "os_error", None), ConnectionError | TimeoutError)
                (self.on_absence if is_absent else self.on_failure)(self._describe(peer, error))
            failures = 0 if is_stable else failures + 1
            await asyncio.sleep(compute_backoff_s(failures, random.random()))  # noqa: S311  # spreads load, keeps no secret

    async def _dial(self, peer: PeerAddress) -> None:
        # A session for each try: closing it cuts the connection, whatever state that is in.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            ws_response_class=OutgoingSocket,
            trace_configs=[_build_refusal_of_redirects()],
        ) as session:
            async with asyncio.timeout(self.timing.handshake_s):
                socket = await session.ws_connect(
                    f"https://{_bracket(peer.host)}:{peer.port}{PATH}",
                    ssl=self.get_context(),
                    heartbeat=self.timing.heartbeat_s,
                    max_msg_size=MESSAGE_BYTES_MAX + 1,  # aiohttp refuses what reaches this size
                    compress=0,
                )
            if not isinstance(socket, OutgoingSocket):
                raise TypeError("aiohttp made another socket than it was told to")
            tune(socket.transport)
            await self.take(peer, socket, get_presented_certificate(socket.get_extra_info("ssl_object")))

    def _describe(self, peer: PeerAddress, error: Exception) -> str:
        where = f"{peer.host}:{peer.port}"
        cause = getattr(error, "os_error", error)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"the certificate at {where} is not the one pinned for {peer.name}"
        if isinstance(cause, ssl.SSLError):
            return f"{peer.name} at {where}: {describe_error(cause)}"
        if isinstance(error, TimeoutError):
            return f"no link to {where} within {self.timing.handshake_s:g} s"
        if isinstance(error, HandshakeError):
            return str(error)
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
            error, aiohttp.ClientConnectorError
        ):
            return (
                f"{peer.name} at {where} cut the connection before the handshake: it does not know this node's"
                " certificate, or takes no more connections now; its log says which"
            )
        reason = describe_error(cause) if isinstance(cause, OSError) else str(error)
        return f"cannot connect to {where}: {reason or type(error).__name__}"


def _build_refusal_of_redirects() -> aiohttp.TraceConfig:
    """Return what ends a try that is redirected: a member must not make this node ask other machines."""

    async def refuse(*_: object) -> None:
        raise aiohttp.ClientConnectionError("it redirects to another address instead of taking the link")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
