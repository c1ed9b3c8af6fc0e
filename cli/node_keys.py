"""The keys of a validator's home: a sealed file with the voting seed and the TLS key, and a second while it rotates.

Apart from ``cli.provision``, which makes certificates: a running node does not load what makes them.
"""

import ssl
from pathlib import Path

from meter.keystore import KeyFileInvalidError, KeyKind, open_key
from node.identity import Identity

NODE_KEY_PATH = Path("keys/node.key")
NEXT_KEY_PATH = Path("keys/node.next.key")
"""The key that takes over when the validators have replaced the other one by it."""

CERTIFICATE_MARK = b"-----BEGIN CERTIFICATE-----"


def open_node_key(path: Path, passphrase: bytes) -> Identity:
    """Return the identity in a key file.

    A key of the genesis has its certificate there; one that was made later brings it along, behind its TLS key.

    Raises:
        KeystoreError: the file names why.

    """
    opened = open_key(path, passphrase, KeyKind.NODE)
    key_pem, mark, rest = opened.attachment.partition(CERTIFICATE_MARK)
    try:
        certificate = ssl.PEM_cert_to_DER_cert((mark + rest).decode("ascii")) if mark else b""
    except ValueError:
        raise KeyFileInvalidError(f"{path}: sealed, but its certificate is none") from None
    return Identity(opened.key, key_pem, certificate)


def open_identities(home: Path, passphrase: bytes) -> tuple[Identity, ...]:
    """Return the identities of a validator's home, the one it began with first.

    Raises:
        KeystoreError: the file names why.

    """
    paths = [NODE_KEY_PATH, *([NEXT_KEY_PATH] if (home / NEXT_KEY_PATH).exists() else [])]
    return tuple(open_node_key(home / path, passphrase) for path in paths)
