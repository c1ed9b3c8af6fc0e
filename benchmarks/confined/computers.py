"""Small computers for the validators of a session: any of a line, a processor's share with a memory, and a card."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks.confined.card import build_card
from benchmarks.confined.quotas import build_entry, open_quotas
from benchmarks.confined.streets import get_address, get_namespace, open_street
from benchmarks.harness.network import LOOPBACK, Place

OPEN_API = {
    "GRIDBFT_API_PRIVATE_READS": "open",
    "GRIDBFT_API_REQUESTS_PER_SECOND_MAX": "100000",
}
"""Clients come from the router's side: what the API gives to the machine itself, it gives to them here."""


class Confinement(NamedTuple):
    """What a validator has: bits a second each way, a share of one core with so much memory, milliseconds of a sync.

    None is what the machine has.
    """

    bits_per_s: float | None = None
    cpu_share: float | None = None
    memory_bytes: int = sys.maxsize
    sync_ms: int | None = None


@contextmanager
def open_computers(count: int, confinement: Confinement) -> Iterator[list[Place]]:
    """Give a place for each of so many validators; nothing of them stays.

    Raises:
        BenchError: the machine cannot make one; the line says what is missing.

    """
    hosts = [LOOPBACK] * count
    prefixes: list[tuple[str, ...]] = [()] * count
    environment: dict[str, str] = {}
    is_routed = False
    with ExitStack() as stack:
        if confinement.sync_ms is not None:
            environment |= stack.enter_context(build_card(confinement.sync_ms))
        if confinement.cpu_share is not None:
            groups = stack.enter_context(open_quotas(count, confinement.cpu_share, confinement.memory_bytes))
            prefixes = [build_entry(files) for files in groups]
        if confinement.bits_per_s is not None:
            stack.enter_context(open_street(count, confinement.bits_per_s))
            environment |= OPEN_API
            is_routed = True
            hosts = [get_address(index) for index in range(count)]
            prefixes = [
                (*prefix, "ip", "netns", "exec", get_namespace(index))
                for index, prefix in enumerate(prefixes)
            ]
        yield [
            Place(host, prefix, environment | ({"GRIDBFT_API_HOST": host} if is_routed else {}))
            for host, prefix in zip(hosts, prefixes, strict=True)
        ]
