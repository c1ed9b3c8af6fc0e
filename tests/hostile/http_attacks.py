"""What a hostile client does to the HTTP API: each attack goes on until it is cancelled, and counts what it did."""

import asyncio
import gzip
import secrets
import socket
from collections.abc import Callable

from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Digest, Height, Nonce
from primitives.signing import SecretKey
from tests.hostile.target import Attack, Streams, Target, dribble, hold, wait_for_the_end
from vm.transaction import SIGNATURE_TAIL, Call, sign_transaction

POST = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
FORGED_PER_BODY = 1000


async def be_idle(target: Target, count: int = 1000) -> None:
    """Open connections and say nothing."""
    await hold(target, target.api_port, "idle", count, wait_for_the_end)


async def ask_and_be_idle(target: Target, count: int = 400) -> None:
    """Ask once, like an honest client, and then keep the connection for nothing."""

    async def use(streams: Streams) -> None:
        streams[1].write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wait_for_the_end(streams)

    await hold(target, target.api_port, "asked", count, use)


async def dribble_headers(target: Target, count: int = 100) -> None:
    async def use(streams: Streams) -> None:
        streams[1].write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        await dribble(streams, b"X-Slow: 1\r\n")

    await hold(target, target.api_port, "dribbled_headers", count, use)


async def stall_bodies(target: Target, count: int = 100) -> None:
    async def use(streams: Streams) -> None:
        head = POST.format(path="/v1/transactions/batch") + "Content-Length: 1048576\r\n\r\n"
        streams[1].write(head.encode() + bytes(100))
        await wait_for_the_end(streams)

    await hold(target, target.api_port, "stalled_bodies", count, use)


async def dribble_bodies(target: Target, count: int = 100) -> None:
    async def use(streams: Streams) -> None:
        head = POST.format(path="/v1/transactions/batch") + "Content-Length: 1048576\r\n\r\n"
        streams[1].write(head.encode())
        await dribble(streams, b"\0" * 100)

    await hold(target, target.api_port, "dribbled_bodies", count, use)


async def read_slowly(target: Target, count: int = 20) -> None:
    """Ask for the largest answers again and again, and read none of them."""

    async def use(streams: Streams) -> None:
        streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        streams[1].transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a connection reads
        request = b"GET /v1/blocks/latest HTTP/1.1\r\nHost: localhost\r\n\r\n"
        streams[1].write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20 + request * 20)
        while not streams[1].transport.is_closing():  # nothing tells a reader that reads nothing
            streams[1].write(request)
            await asyncio.sleep(1)

    await hold(target, target.api_port, "slow_readers", count, use)


async def post(target: Target, name: str, count: int, build: Callable[[], bytes]) -> None:
    """Post bodies of many transactions one after the other over ``count`` connections."""

    async def use(streams: Streams) -> None:
        body = build()
        text = (
            POST.format(path="/v1/transactions/batch")
            + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        streams[1].write(text.encode() + body)
        answer = await streams[0].read(200)
        target.counts[f"{name}_{answer[9:12].decode('ascii', 'replace') or 'cut'}"] += 1
        await wait_for_the_end(streams)

    await hold(target, target.api_port, name, count, use)


def forge_transactions(genesis_hash: bytes, count: int) -> list[bytes]:
    """Return transactions that are in order but for their signatures."""
    key = SecretKey(secrets.token_bytes(32))
    account = AccountId(compute_account_id(key.public))
    raw = sign_transaction(
        key, Digest(genesis_hash), account, Nonce(1), Height(1000), Call("ledger", "grant", b"\x90")
    ).raw
    body = raw[:-SIGNATURE_TAIL] + b"\xc4\x40"
    return [body + secrets.token_bytes(63) + b"\0" for _ in range(count)]


async def forge_signatures(target: Target, count: int = 4) -> None:
    bodies = [encode(tuple(forge_transactions(target.genesis_hash, FORGED_PER_BODY))) for _ in range(8)]
    await post(target, "forged", count, lambda: secrets.choice(bodies))


async def send_bombs(target: Target, count: int = 4) -> None:
    """Bodies that are small and say that they are large, deep or compressed."""
    bombs = [
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 500_000,
        b"\xc6\xff\xff\xff\xff",
        b"\xdc\xff\xff" + b"\xc0" * 65_535,
        gzip.compress(bytes(100_000_000))[:200_000],
    ]
    await post(target, "bombs", count, lambda: secrets.choice(bombs))


async def send_large_bodies(target: Target, count: int = 4) -> None:
    await post(target, "large", count, lambda: bytes(1_000_000))


HTTP_ATTACKS: dict[str, Attack] = {
    "idle": be_idle,
    "asked": ask_and_be_idle,
    "dribbled_headers": dribble_headers,
    "stalled_bodies": stall_bodies,
    "dribbled_bodies": dribble_bodies,
    "slow_readers": read_slowly,
    "forged": forge_signatures,
    "bombs": send_bombs,
    "large": send_large_bodies,
}
