"""The keys of a validator's home: one sealed file with the voting seed and the TLS key.

Apart from ``cli.provision``, which makes certificates: a running node does not load what makes them.
"""

from dataclasses import dataclass
from pathlib import Path

from meter.keystore import KeyKind, open_key
from primitives.signing import SecretKey

NODE_KEY_PATH = Path("keys/node.key")


@dataclass(frozen=True)
class NodeKeys:
    """What a validator signs with: its votes, and its TLS links (PEM)."""

    signing_key: SecretKey
    tls_key_pem: bytes


def open_node_keys(home: Path, passphrase: bytes) -> NodeKeys:
    """Return the keys of a validator's home.

    Raises:
        KeystoreError: the file names why.

    """
    opened = open_key(home / NODE_KEY_PATH, passphrase, KeyKind.NODE)
    return NodeKeys(opened.key, opened.attachment)
