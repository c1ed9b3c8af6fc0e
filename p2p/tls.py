"""TLS 1.3 both ways, with a trust store that holds exactly the members' certificates."""

import os
import ssl
from collections.abc import Iterable

MEMORY_FILE = "gridbft-tls-key"


def build_contexts(
    certificate: bytes, key_pem: bytes, trusted: Iterable[bytes]
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts (to listen, to dial) of a member; certificates are DER, the key is PEM.

    Raises:
        ssl.SSLError: the key does not belong to the certificate, or a certificate is malformed.

    """
    pins = "".join(ssl.DER_cert_to_PEM_cert(entry) for entry in trusted)
    contexts = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pins)
        _load_identity(context, certificate, key_pem)
        contexts.append(context)
    return contexts[0], contexts[1]


def _load_identity(context: ssl.SSLContext, certificate: bytes, key_pem: bytes) -> None:
    """Load the key from memory: the ssl module takes files only, and the key must not touch a disk unsealed."""
    descriptor = os.memfd_create(MEMORY_FILE)
    try:
        os.write(descriptor, key_pem + ssl.DER_cert_to_PEM_cert(certificate).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
