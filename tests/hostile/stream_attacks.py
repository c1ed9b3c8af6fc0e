"""What a hostile client does to the streams of the HTTP API: websockets that it floods, feeds that it does not read."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from itertools import cycle

from meter.stream import PATH
from primitives.encoding import encode
from tests.hostile.http_attacks import FORGED_PER_BODY, forge_transactions
from tests.hostile.target import Attack, Streams, Target, hold, wait_for_the_end

UPGRADE = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()
FEED = b"GET /v1/feed?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"

BINARY, PING, PART = 0x82, 0x89, 0x02
"""First bytes of a whole binary frame, of a ping, and of a binary frame that is not the last of its message."""


def build_frame(first: int, payload: bytes) -> bytes:
    """Return a frame as a client sends it; a mask of zeros masks nothing."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + payload


def list_messages(genesis_hash: bytes) -> Iterator[bytes]:
    """Repeat pings, batches of forged transactions and of nonsense, and frames that break the protocol."""
    forged = encode(tuple(forge_transactions(genesis_hash, FORGED_PER_BODY)))
    nonsense = encode(tuple(secrets.token_bytes(8) for _ in range(1000)))
    return cycle(
        [
            build_frame(PING, b"") * 2_000,
            build_frame(BINARY, nonsense),
            build_frame(BINARY, forged),
            build_frame(PART, b"\xdc\x03\xe8") + build_frame(0x00, bytes(100)) * 200,
        ]
    )


async def flood_streams(target: Target, count: int = 40) -> None:
    """Say on each of many websockets whatever costs the other side more than it costs here."""
    messages = list_messages(target.genesis_hash)

    async def use(streams: Streams) -> None:
        reader, writer = streams
        writer.write(UPGRADE)
        head = await reader.readline()
        target.counts[f"streams_{head[9:12].decode('ascii', 'replace') or 'cut'}"] += 1
        while head.startswith(b"HTTP/1.1 101") and not writer.transport.is_closing():
            writer.write(next(messages))
            await writer.drain()
            target.counts["streams_messages"] += 1
        await wait_for_the_end(streams)

    await hold(target, target.api_port, "streams", count, use)


async def listen_and_take_nothing(target: Target, count: int = 100) -> None:
    """Ask for all that ever happened, on as many feeds as there are places, and read none of it."""

    async def use(streams: Streams) -> None:
        reader, writer = streams
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(FEED)
        head = await reader.readline()
        target.counts[f"listeners_{head[9:12].decode('ascii', 'replace') or 'cut'}"] += 1
        if head.startswith(b"HTTP/1.1 200"):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a connection reads
            await wait_until_cut(streams)

    await hold(target, target.api_port, "listeners", count, use)


async def wait_until_cut(streams: Streams) -> None:
    """Nothing tells a reader that reads nothing: something written now and then meets the end."""
    while not streams[1].transport.is_closing():
        streams[1].write(b"\r\n")
        await asyncio.sleep(1)


STREAM_ATTACKS: dict[str, Attack] = {"streams": flood_streams, "listeners": listen_and_take_nothing}
