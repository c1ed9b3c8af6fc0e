"""Who is attacked, and the connections of an attacker: opened, held, and opened again when they are cut."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PAUSE_S = 2.0
"""Before a connection that was cut is opened again: an attacker that never pauses measures its own processor."""


@dataclass
class Target:
    """A validator's two ports, and the addresses that the attacker has. ``counts`` is what was done so far."""

    api_port: int
    p2p_port: int
    genesis_hash: bytes
    sources: tuple[str, ...]
    is_patient: bool = True
    """Whether what was cut is opened again."""
    counts: Counter[str] = field(default_factory=Counter)

    async def open(self, port: int, number: int, context: ssl.SSLContext | None = None) -> Streams:
        source = self.sources[number % len(self.sources)]
        return await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(source, 0), limit=4096, ssl=context
        )


Attack = Callable[[Target], Awaitable[None]]
Use = Callable[[Streams], Awaitable[None]]


async def hold(target: Target, port: int, name: str, count: int, use: Use) -> None:
    """Keep ``count`` connections in use until cancelled."""

    async def keep_one(number: int) -> None:
        while True:
            with suppress(OSError):
                streams = await target.open(port, number)
                target.counts[f"{name}_opened"] += 1
                try:
                    await use(streams)
                finally:
                    streams[1].transport.abort()
                target.counts[f"{name}_ended"] += 1
            if not target.is_patient:
                return
            await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(keep_one(number))


async def wait_for_the_end(streams: Streams) -> None:
    with suppress(OSError):
        while await streams[0].read(4096):
            pass


async def dribble(streams: Streams, text: bytes) -> None:
    """Say the same again, slowly, until the other end has enough."""
    ending = asyncio.ensure_future(wait_for_the_end(streams))
    try:
        while not ending.done():
            with suppress(OSError):
                streams[1].write(text)
            await asyncio.wait([ending], timeout=0.5)
    finally:
        ending.cancel()
