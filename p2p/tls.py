"""TLS 1.3 both ways, with a trust store that holds exactly the members' certificates."""

import os
import ssl
from collections.abc import Iterable

MEMORY_FILE = "gridbft-tls-key"


class Pins:
    """The contexts of a member and whom they let in, which changes with the members; links that stand keep theirs."""

    def __init__(self, certificate: bytes, key_pem: bytes) -> None:
        """Trust nobody yet.

        Raises:
            ssl.SSLError: the key does not belong to the certificate, or the certificate is malformed.

        """
        self._identity = (certificate, key_pem)
        self.listening, self.dialling = build_contexts(certificate, key_pem, ())

    def trust(self, certificates: Iterable[bytes]) -> None:
        """Let these certificates in from the next handshake on, and no others; what is none is passed over."""
        sound = [certificate for certificate in certificates if is_certificate_sound(certificate)]
        self.listening, self.dialling = build_contexts(*self._identity, sound)


def is_certificate_sound(certificate: bytes) -> bool:
    """Tell whether bytes can be pinned: the ledger counts them only, and a node must not stop at another's nonsense."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(certificate))
    except (ssl.SSLError, ValueError):
        return False
    return context.cert_store_stats()["x509"] == 1


def build_contexts(
    certificate: bytes, key_pem: bytes, trusted: Iterable[bytes]
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts (to listen, to dial) of a member; certificates are DER, the key is PEM.

    They let every member's certificate in and nobody else's; whose it must be, the handshake compares.

    Raises:
        ssl.SSLError: the key does not belong to the certificate, or a certificate is malformed.

    """
    pins = "".join(ssl.DER_cert_to_PEM_cert(entry) for entry in trusted)
    listening = _build_context(ssl.PROTOCOL_TLS_SERVER, pins, certificate, key_pem)
    listening.num_tickets = 0  # links are long: a ticket to resume one would never be used
    return listening, _build_context(ssl.PROTOCOL_TLS_CLIENT, pins, certificate, key_pem)


def get_presented_certificate(tls: ssl.SSLObject | None) -> bytes:
    """Return the certificate (DER) that the other end showed, or nothing."""
    return (tls.getpeercert(binary_form=True) if tls is not None else None) or b""


def _build_context(protocol: int, pins: str, certificate: bytes, key_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the whole certificate is compared, not a name in it
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a pin is an anchor, whoever signed it
    if pins:
        context.load_verify_locations(cadata=pins)
    _load_identity(context, certificate, key_pem)
    return context


def _load_identity(context: ssl.SSLContext, certificate: bytes, key_pem: bytes) -> None:
    """Load the key from memory: the ssl module takes files only, and the key must not touch a disk unsealed."""
    descriptor = os.memfd_create(MEMORY_FILE)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(key_pem + b"\n" + ssl.DER_cert_to_PEM_cert(certificate).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
