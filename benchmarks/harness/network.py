"""Validators of a benchmark: real processes on free ports of this machine, with TLS between them and fsync on."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import NamedTuple

from msgspec import structs

from cli.demo.processes import (
    ValidatorProcess,
    build_environment,
    choose_commands,
    run_validators,
)
from cli.network_spec import ConsensusSpec, EnergySpec, NetworkSpec, ValidatorSpec
from cli.node_settings import build_node_config
from cli.provision import Network, create_network
from meter.client import Client, open_client
from meter.keystore import KeyKind, OpenedKey, open_key
from meter.proofs import TrustAnchor, build_trust_anchor
from node.config_text import render_config
from vm.genesis import ConsensusParameters

LOOPBACK = "127.0.0.1"
CORRECTION_S = 31 * 86_400
"""The longest window: a meter can report so many past slots at once."""
PORTS = range(12_000, 22_000)
"""Below those that the kernel gives to outgoing connections: else one that is killed may find its port taken."""


class Place(NamedTuple):
    """Where a validator runs: its address, the command that leads there, and what its environment has there."""

    host: str = LOOPBACK
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


@dataclass(frozen=True)
class BenchNetwork:
    """A network that is ready to be started."""

    network: Network
    anchor: TrustAnchor
    utility: OpenedKey
    processes: tuple[ValidatorProcess, ...]
    urls: tuple[str, ...]

    @property
    def process_ids(self) -> dict[str, int]:
        """Return the ids of the processes that run, by the validators' names."""
        return {
            each.name: each.process.pid
            for each in self.processes
            if each.process is not None and each.is_running()
        }


def found_network(
    directory: Path, places: Sequence[Place], consensus: ConsensusParameters | None = None
) -> BenchNetwork:
    """Make a network of the default settings in a new directory, a validator at each place.

    Its slots wait for silent meters during the whole correction window, so that a reading is a reading and nothing
    else: it settles no slot.
    """
    ports = find_quiet_ports(2 * len(places))
    spec = NetworkSpec(
        name="bench",
        currency="EUR",
        validators=[
            ValidatorSpec(f"node{index}", place.host, ports[2 * index], ports[2 * index + 1])
            for index, place in enumerate(places)
        ],
        consensus=ConsensusSpec() if consensus is None else ConsensusSpec(**structs.asdict(consensus)),
        energy=EnergySpec(grace_s=CORRECTION_S, correction_s=CORRECTION_S),
    )
    passphrase = secrets.token_hex(16)
    network = create_network(
        directory,
        spec,
        int(time() * 1000),
        passphrase.encode(),
        lambda made, index: render_config(build_node_config(made, index)),
    )
    environment = build_environment(dict(os.environ), passphrase)
    commands = choose_commands(os.environ, len(places))
    return BenchNetwork(
        network=network,
        anchor=build_trust_anchor(network.genesis),
        utility=open_key(network.utility_key, passphrase.encode(), KeyKind.WALLET),
        processes=tuple(
            ValidatorProcess(home.name, home, {**environment, **place.environment}, (*place.prefix, *command))
            for home, place, command in zip(network.homes, places, commands, strict=True)
        ),
        urls=tuple(f"http://{validator.host}:{validator.api_port}" for validator in spec.validators),
    )


@asynccontextmanager
async def running(bench: BenchNetwork) -> AsyncIterator[Client]:
    """Run the validators until the end of the block; give a client of all of them."""
    async with run_validators(bench.processes), open_client(bench.urls, bench.anchor) as client:
        yield client


def find_quiet_ports(count: int) -> list[int]:
    """Return so many different free ports of PORTS, beginning somewhere among them."""
    found: list[int] = []
    first = secrets.randbelow(len(PORTS))
    for port in (*PORTS[first:], *PORTS[:first]):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a listener does
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            break
    return found


def rotate(urls: Sequence[str], first: int) -> list[str]:
    """Return the addresses beginning with another one."""
    first %= len(urls)
    return [*urls[first:], *urls[:first]]
