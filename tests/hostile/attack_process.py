"""The attacker, in a process of its own: `python -m tests.hostile.attack_process`, an AttackPlan as JSON on its input.

It prints what it did so far as a line of JSON whenever it is asked with a line, and ends when its input ends.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog

from p2p.network import open_network
from tests.hostile.http_attacks import HTTP_ATTACKS
from tests.hostile.member_attacks import LIES, TIRING, Liar
from tests.hostile.stranger_attacks import STRANGER_ATTACKS
from tests.hostile.stream_attacks import STREAM_ATTACKS
from tests.hostile.target import Target

LIE_PAUSE_S = 0.02
"""Between two lies; what is valid is said without any pause."""

ATTACKS = HTTP_ATTACKS | STREAM_ATTACKS | STRANGER_ATTACKS


class AttackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which attacks, all at the same time, on which validator; and which lies, in whose name, to all others."""

    attacks: tuple[str, ...] = ()
    api_port: int
    p2p_port: int
    genesis_hash: str
    sources: tuple[str, ...] = ("127.0.0.66", "127.0.0.67")
    is_patient: bool = True
    lies: tuple[str, ...] = ()
    liar_home: str = ""
    passphrase: str = ""


async def lie(liar: Liar, name: str) -> None:
    """Wait for links, then say the same again and again."""
    while True:
        await LIES[name](liar)
        await asyncio.sleep(0 if name in TIRING else LIE_PAUSE_S)


async def run() -> None:
    """Attack as the first line of the input says, until the input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=AttackPlan)
    target = Target(
        plan.api_port, plan.p2p_port, bytes.fromhex(plan.genesis_hash), plan.sources, plan.is_patient
    )
    async with AsyncExitStack() as stack:
        running = [asyncio.ensure_future(ATTACKS[name](target)) for name in plan.attacks]
        if plan.lies:
            liar = Liar(Path(plan.liar_home), plan.passphrase.encode())
            liar.counts = target.counts
            liar.network = await stack.enter_async_context(open_network(liar.settings, liar.ear))
            running += [asyncio.ensure_future(lie(liar, name)) for name in plan.lies]
        try:
            await answer(reader, target, running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def answer(
    reader: asyncio.StreamReader, target: Target, running: Sequence[asyncio.Future[None]]
) -> None:
    """Tell what was done, whenever somebody asks; an attack that failed is a defect of the tests."""
    while await reader.readline():
        for task in running:
            if task.done():
                task.result()
        sys.stdout.write(msgspec.json.encode(target.counts).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(run())
