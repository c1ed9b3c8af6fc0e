"""What is computed once per run, because it follows from bytes alone: decoded messages and valid signatures."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import consensus.authentication
import consensus.certificates
import vm.transaction
from consensus.authentication import check_envelope
from consensus.codec import decode_envelope
from consensus.membership import Membership
from consensus.messages import Envelope
from primitives import signing
from primitives.encoding import DecodeError
from primitives.ids import Digest
from primitives.signing import SignatureDomain
from tests.simulation.patches import replaced

REMEMBERED_MAX = 200_000
"""Bytes and signatures of a long run; the memory is emptied beyond it."""


class Memory:
    """The answers of pure functions by content, shared by all machines of one world."""

    def __init__(self, genesis_hash: Digest) -> None:
        self._genesis_hash = genesis_hash
        self._messages: dict[bytes, Envelope | str] = {}
        self._problems: dict[tuple[int, bytes], str | None] = {}

    def decode(self, payload: bytes) -> Envelope | str:
        """Return the message of these bytes, or why there is none."""
        known = self._messages.get(payload)
        if known is None:
            if len(self._messages) > REMEMBERED_MAX:
                self._messages.clear()
                self._problems.clear()
            try:
                known = decode_envelope(payload)
            except DecodeError as error:
                known = str(error)
            self._messages[payload] = known
        return known

    def check(self, membership: Membership, payload: bytes, envelope: Envelope) -> str | None:
        """Return why the message must not enter where ``membership`` agrees, or None. An epoch has one membership."""
        name = (membership.epoch, payload)
        if name not in self._problems:
            self._problems[name] = check_envelope(membership, self._genesis_hash, envelope)
        return self._problems[name]


@contextmanager
def remember_signatures() -> Iterator[None]:
    """Check each signature once while this holds: whether it is valid depends on key, message and signature only."""
    real = signing.is_signature_valid
    known: dict[tuple[bytes, bytes, bytes, bytes, bytes], bool] = {}

    def is_signature_valid(
        public_key: bytes, signature: bytes, domain: SignatureDomain, genesis_hash: Digest, payload: bytes
    ) -> bool:
        name = (public_key, signature, domain.value, genesis_hash, payload)
        answer = known.get(name)
        if answer is None:
            if len(known) > REMEMBERED_MAX:
                known.clear()
            answer = known[name] = real(public_key, signature, domain, genesis_hash, payload)
        return answer

    with ExitStack() as stack:
        for module in (consensus.authentication, consensus.certificates, vm.transaction):
            stack.enter_context(replaced(module, "is_signature_valid", is_signature_valid))
        yield
