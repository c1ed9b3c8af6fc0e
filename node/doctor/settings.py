"""The settings: whether they can be read, which of them are unsafe on a real network, and whether ports are free."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing

from node.config import NodeConfig
from node.doctor.findings import Finding, Level


def check_config(config: NodeConfig | None, reason: str) -> Finding:
    """Check that config.toml and the environment can be read; ``reason`` says why not."""
    if config is None:
        return Finding(
            "config", Level.PROBLEM, reason, "correct it; `gridbft config show --source` says what holds"
        )
    return Finding("config", Level.OK, f"the settings of {config.name} can be read")


def check_safety(config: NodeConfig) -> Finding:
    """Check the settings that are for demonstrations, or dangerous on a machine with a network."""
    found = list(_list_unsafe(config))
    if not found:
        return Finding("settings", Level.OK, "no setting is unsafe")
    said = "; ".join(reason for reason, _ in found)
    advice = "; ".join(advice for _, advice in found)
    return Finding("settings", Level.WARNING, said, advice, {"unsafe": [reason for reason, _ in found]})


def check_ports(config: NodeConfig, *, is_running: bool) -> Finding:
    """Check that the node listens on its ports while it runs, and that nobody else does while it does not."""
    ports = list(list_ports(config))
    for name, host, port in ports:
        state = find_port_state(host, port)
        if is_running and state == "free":
            return Finding(
                "ports",
                Level.PROBLEM,
                f"the node runs and does not listen on {host}:{port} ({name})",
                "it was started with other settings: start it again",
            )
        if not is_running and state != "free":
            return Finding(
                "ports",
                Level.PROBLEM,
                f"{host}:{port} ({name}) cannot be listened on: {state}",
                f"stop the program that has it (`ss -ltnp`), or change {name}",
            )
    shown = ", ".join(f"{host}:{port}" for _, host, port in ports)
    return Finding(
        "ports", Level.OK, f"{'the node listens on' if is_running else 'free for the node:'} {shown}"
    )


def list_ports(config: NodeConfig) -> Iterator[tuple[str, str, int]]:
    """Yield the ports that a node of these settings listens on: setting, host, port."""
    if config.role == "validator":
        yield "p2p.port", config.p2p.host, config.p2p.port
    if config.api.port:
        yield "api.port", config.api.host, config.api.port
    if config.observers.port:
        yield "observers.port", config.observers.host, config.observers.port


def find_port_state(host: str, port: int) -> str:
    """Return "free" where a node could listen, else why it could not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "another process listens there"
        return error.strerror or str(error)
    return "free"


def is_loopback(host: str) -> bool:
    """Tell whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _list_unsafe(config: NodeConfig) -> Iterator[tuple[str, str]]:
    if config.clock.mode != "system":
        yield (
            'clock.mode is "stepped": block time stands still until somebody moves it',
            "set clock.mode to system; stepped is for demonstrations",
        )
    if not is_loopback(config.api.host):
        yield (
            f"the HTTP API listens on {config.api.host}, beyond this machine, without encryption",
            "set api.host to 127.0.0.1 and put a proxy with TLS before it",
        )
    if config.api.private_reads == "open":
        yield (
            'api.private_reads is "open": whoever reaches the API reads what concerns one home',
            "set api.private_reads to token, and make tokens with `gridbft tokens add`",
        )
    is_elsewhere = any(not is_loopback(peer.host) for peer in config.peers)
    if config.role == "validator" and is_loopback(config.p2p.host) and is_elsewhere:
        yield (
            f"p2p.host is {config.p2p.host}: peers on other machines cannot dial this one",
            "set p2p.host to 0.0.0.0; links are mutual TLS with pinned certificates",
        )
    if config.log.level == "debug":
        yield (
            "log.level is debug: every message of agreement is written, which wears a card",
            "set log.level to info; `gridbft logs level debug` is for an hour",
        )
