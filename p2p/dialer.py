"""Opening the link to one member, again and again, with a back-off that is short enough for a restarted peer."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable

import aiohttp

from p2p.connection import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S, HEARTBEAT_S
from p2p.frames import MESSAGE_BYTES_MAX
from p2p.handshake import HandshakeError
from p2p.listener import PATH
from p2p.peers import PeerAddress, compute_backoff_s

Take = Callable[[aiohttp.ClientWebSocketResponse, bytes], Awaitable[bool]]


async def keep_dialling(
    session: aiohttp.ClientSession,
    peer: PeerAddress,
    context: ssl.SSLContext,
    take: Take,
    on_failure: Callable[[str], None],
    may_dial: Callable[[], bool],
) -> None:
    """Keep a link to ``peer`` until cancelled; ``take`` runs it to its end and tells whether it was established."""
    failures = 0
    while True:
        if may_dial():
            try:
                was_established = await _dial(session, peer, context, take)
            except (aiohttp.ClientError, OSError, TimeoutError, HandshakeError) as error:
                on_failure(_describe(peer, error))
                was_established = False
            failures = 0 if was_established else failures + 1
        await asyncio.sleep(compute_backoff_s(failures, random.random()))  # noqa: S311  # spreads load, keeps no secret


async def _dial(
    session: aiohttp.ClientSession, peer: PeerAddress, context: ssl.SSLContext, take: Take
) -> bool:
    async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
        socket = await session.ws_connect(
            f"https://{_bracket(peer.host)}:{peer.port}{PATH}",
            ssl=context,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE_BYTES_MAX,
            compress=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
        )
    try:
        certificate = socket.get_extra_info("ssl_object")
        presented = b"" if certificate is None else certificate.getpeercert(binary_form=True) or b""
        return await take(socket, presented)
    finally:
        await socket.close()


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _describe(peer: PeerAddress, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return (
            f"the certificate of {peer.name} at {peer.host}:{peer.port} is not the one that the genesis pins"
        )
    if isinstance(error, TimeoutError):
        return f"no connection to {peer.host}:{peer.port} within {HANDSHAKE_TIMEOUT_S:g} s"
    if isinstance(error, HandshakeError):
        return str(error)
    return f"cannot connect to {peer.host}:{peer.port}: {' '.join(str(error).split())[:160]}"
