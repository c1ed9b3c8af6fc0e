"""Ports are judged by the role, and settings for demonstrations are named."""

import socket

import pytest

from node.config import ApiConfig, ClockConfig, LogConfig, NodeConfig, ObserversConfig, P2pConfig, PeerConfig
from node.doctor.findings import Level
from node.doctor.settings import check_ports, check_safety, list_ports
from tests.integration.ports import find_free_ports

ELSEWHERE = (PeerConfig("b", "192.0.2.7", 7100),)


def test_a_validator_listens_for_validators_clients_and_observers_and_an_observer_for_clients() -> None:
    serving = NodeConfig(name="a", observers=ObserversConfig(port=7200))
    assert [name for name, _, _ in list_ports(serving)] == ["p2p.port", "api.port", "observers.port"]
    following = NodeConfig(name="a", role="observer", peers=ELSEWHERE)
    assert [name for name, _, _ in list_ports(following)] == ["api.port"]
    assert list(list_ports(NodeConfig(name="a", role="observer", api=ApiConfig(port=0)))) == []


def test_a_port_is_free_before_the_start_and_taken_by_the_node_after_it() -> None:
    p2p, api = find_free_ports(2)
    config = NodeConfig(name="a", p2p=P2pConfig(port=p2p), api=ApiConfig(port=api))
    assert check_ports(config, is_running=False).level is Level.OK
    assert check_ports(config, is_running=True).level is Level.PROBLEM
    with socket.create_server(("127.0.0.1", p2p)), socket.create_server(("127.0.0.1", api)):
        assert check_ports(config, is_running=True).level is Level.OK
        found = check_ports(config, is_running=False)
    assert found.level is Level.PROBLEM
    assert f"127.0.0.1:{p2p} (p2p.port)" in found.said


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (NodeConfig(name="a", clock=ClockConfig(mode="stepped")), 'clock.mode is "stepped"'),
        (NodeConfig(name="a", api=ApiConfig(host="192.0.2.1")), "the HTTP API listens on 192.0.2.1"),
        (NodeConfig(name="a", api=ApiConfig(private_reads="open")), 'api.private_reads is "open"'),
        (NodeConfig(name="a", peers=ELSEWHERE), "peers on other machines cannot dial this one"),
        (NodeConfig(name="a", log=LogConfig(level="debug")), "log.level is debug"),
    ],
)
def test_what_is_unsafe_is_named_with_what_to_do(config: NodeConfig, said: str) -> None:
    found = check_safety(config)
    assert found.level is Level.WARNING
    assert said in found.said
    assert found.advice


@pytest.mark.parametrize(
    "config", [NodeConfig(name="a"), NodeConfig(name="a", role="observer", peers=ELSEWHERE)]
)
def test_the_defaults_are_safe(config: NodeConfig) -> None:
    assert check_safety(config).level is Level.OK
