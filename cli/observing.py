"""The home of an observer of a running network.

DIR/config.toml, genesis.bin, keys/node.key     whom it follows, and the key of its links; it has no other
DIR/handovers.bin                               who validated since the genesis, when it was made
DIR/observer.bundle                             what the validators add that serve it: nothing in it is secret
"""

from collections.abc import Mapping
from pathlib import Path

from cli.drafts import open_draft, write_new
from cli.failure import build_usage_error
from cli.joining import Neighbourhood, create_node_key
from cli.node_keys import NODE_KEY_PATH
from cli.provision import CONFIG_NAME, GENESIS_NAME
from node.config import ApiConfig, NodeConfig, PeerConfig
from node.config_text import render_config
from node.observer.bundles import Observer, encode_bundle
from node.peers import HANDOVERS_NAME
from primitives.encoding import encode
from vm.contracts.validators import PORT_MAX
from vm.genesis import Genesis, is_name_sound

BUNDLE_NAME = "observer.bundle"


def check_following(name: str, api_port: int, peers: Mapping[str, tuple[str, int]]) -> None:
    """Refuse what can be no observer.

    Raises:
        CliError: usage.

    """
    if not is_name_sound(name) or name.startswith("."):
        raise build_usage_error(
            f"--name: {name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
        )
    if not 1 <= api_port <= PORT_MAX:
        raise build_usage_error(f"--api-port: the port {api_port}; use 1 to {PORT_MAX}")
    if not peers:
        raise build_usage_error(
            "--peer: an observer follows validators; name one or more with the port at which it serves observers:"
            " --peer node0=192.0.2.1:7200"
        )


def create_observer_home(
    directory: Path,
    genesis: Genesis,
    name: str,
    api_port: int,
    around: Neighbourhood,
    peers: Mapping[str, tuple[str, int]],
    passphrase: bytes,
) -> Observer:
    """Make the home in a directory that does not exist yet; return what the validators add.

    Raises:
        CliError: the name is a validator's, a peer is none, the directory is in use, or the disk refuses.

    """
    names = [each.name for each in around.validators]
    if name in names:
        raise build_usage_error(f"--name: {name} validates; choose another name")
    unknown = [peer for peer in peers if peer not in names]
    if unknown:
        raise build_usage_error(f"--peer: {unknown[0]} is no validator of now; see `gridbft validators list`")
    if directory.is_symlink() or directory.exists():
        raise build_usage_error(
            f"{directory}: exists, and keys are never overwritten; choose a new directory"
        )
    config = NodeConfig(
        name=name,
        role="observer",
        api=ApiConfig(port=api_port),
        peers=tuple(PeerConfig(peer, host, port) for peer, (host, port) in peers.items()),
    )
    with open_draft(directory) as draft:
        key = create_node_key(draft / NODE_KEY_PATH, name, passphrase)
        observer = Observer(name, key.public_key, key.tls_certificate)
        write_new(draft / GENESIS_NAME, encode(genesis))
        write_new(draft / CONFIG_NAME, render_config(config).encode())
        if around.handovers:
            write_new(draft / HANDOVERS_NAME, encode(around.handovers))
        write_new(draft / BUNDLE_NAME, encode_bundle(genesis.compute_hash(), observer))
    return observer
