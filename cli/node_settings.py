"""The config.toml of each validator of a new network, made from its specification."""

from cli.network_spec import NetworkSpec
from node.config import ApiConfig, ClockConfig, NodeConfig, P2pConfig, PeerConfig
from node.config_text import render_config

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # the p2p port is the one that must be open: links are mutual TLS with pins


def build_node_config(spec: NetworkSpec, index: int, clock: ClockConfig | None = None) -> NodeConfig:
    """Return the settings of the validator at ``index``: its own ends, and where the others listen.

    A validator with an address of a network listens on all addresses of its machine for the others; its API stays on
    the machine itself.
    """
    own = spec.validators[index]
    return NodeConfig(
        name=own.name,
        p2p=P2pConfig(host=own.host if own.host in LOOPBACK else ANY_ADDRESS, port=own.p2p_port),
        api=ApiConfig(port=own.api_port),
        clock=clock or ClockConfig(),
        peers=tuple(
            PeerConfig(name=other.name, host=other.host, port=other.p2p_port)
            for position, other in enumerate(spec.validators)
            if position != index
        ),
    )


def render_node_config(spec: NetworkSpec, index: int) -> str:
    """Return the text of the file."""
    return render_config(build_node_config(spec, index))
