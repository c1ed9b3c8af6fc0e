"""A member in a process of its own: `python -m tests.p2p.peer_process`, its settings as JSON on standard input.

It prints its port as soon as it listens, greets whoever connects, and runs until it is killed.
"""

import asyncio
import json
import sys
from dataclasses import dataclass

from p2p.frames import Channel
from p2p.network import open_network
from tests.p2p.members import Ear, Member, build_settings


@dataclass(frozen=True)
class ProcessSettings:
    """What the parent says: seed, certificates and key as hexadecimal text."""

    seed: str
    certificate: str
    key_pem: str
    other_seed: str
    other_certificate: str
    port: int


async def run(settings: ProcessSettings) -> None:
    seed, certificate, key_pem = (
        bytes.fromhex(text) for text in (settings.seed, settings.certificate, settings.key_pem)
    )
    own = Member("child", seed, certificate, key_pem)
    other = Member(
        "parent", bytes.fromhex(settings.other_seed), bytes.fromhex(settings.other_certificate), b""
    )
    async with open_network(build_settings(own, [other.build_address()], settings.port), Ear()) as network:
        sys.stdout.write(f"{network.port}\n")
        sys.stdout.flush()
        while True:
            network.broadcast(Channel.CONSENSUS, b"hello")
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(run(ProcessSettings(**json.loads(sys.stdin.readline()))))
