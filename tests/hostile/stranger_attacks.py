"""What somebody without a member's key does to the p2p port."""

import asyncio
import ssl
from contextlib import suppress

from cli.certificates import make_tls_identity
from p2p.listener import PATH
from p2p.tls import Pins
from tests.hostile.target import Attack, Streams, Target, dribble, hold, wait_for_the_end

CLIENT_HELLO_HEAD = bytes.fromhex("16030100f8010000f40303") + bytes(20)
"""The beginning of TLS, as a client sends it, without its end."""


async def be_idle(target: Target, count: int = 1000) -> None:
    """Open connections and say nothing."""
    await hold(target, target.p2p_port, "p2p_idle", count, wait_for_the_end)


async def stop_inside_tls(target: Target, count: int = 50) -> None:
    """Begin a TLS handshake and never end it."""

    async def use(streams: Streams) -> None:
        streams[1].write(CLIENT_HELLO_HEAD)
        await wait_for_the_end(streams)

    await hold(target, target.p2p_port, "p2p_half_tls", count, use)


async def dribble_tls(target: Target, count: int = 50) -> None:
    async def use(streams: Streams) -> None:
        streams[1].write(CLIENT_HELLO_HEAD)
        await dribble(streams, b"\0")

    await hold(target, target.p2p_port, "p2p_dribbled_tls", count, use)


async def speak_nonsense(target: Target, count: int = 20) -> None:
    async def use(streams: Streams) -> None:
        streams[1].write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(range(256)) * 200)
        await wait_for_the_end(streams)

    await hold(target, target.p2p_port, "p2p_nonsense", count, use)


async def show_a_certificate_of_nobody(target: Target, count: int = 20) -> None:
    """Finish TLS with a certificate that no genesis pins, and ask for the websocket all the same."""
    identity = make_tls_identity("nobody")
    context = Pins(identity.certificate, identity.key_pem).dialling
    context.verify_mode = ssl.CERT_NONE

    async def use(streams: Streams) -> None:
        streams[1].write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n".encode())
        await wait_for_the_end(streams)

    async def keep_one(number: int) -> None:
        while True:
            with suppress(OSError):
                streams = await target.open(target.p2p_port, number, context)
                target.counts["p2p_nobody_opened"] += 1
                await use(streams)
                streams[1].transport.abort()
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(keep_one(number))


STRANGER_ATTACKS: dict[str, Attack] = {
    "p2p_idle": be_idle,
    "p2p_half_tls": stop_inside_tls,
    "p2p_dribbled_tls": dribble_tls,
    "p2p_nonsense": speak_nonsense,
    "p2p_nobody": show_a_certificate_of_nobody,
}
