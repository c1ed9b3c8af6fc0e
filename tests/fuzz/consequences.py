"""What the rest of the house does with bytes that a decoder accepted: none of it may raise, whatever they say."""

from collections.abc import Callable
from functools import cache
from typing import Any

from consensus.authentication import check_envelope
from consensus.certificates import check_certificate, follow_handover
from consensus.messages import Certificate, Envelope, Handover
from consensus.replica import Replica
from meter.answers import ApiError
from meter.keystore import KeyLabel
from meter.proof_files import ProofContent
from meter.proofs import CertifiedReceipt, check_receipt, check_state_value, read_certificate
from meter.verification import Problem, Verifier
from node.config import NodeConfig, parse_config
from node.config_text import render_config
from node.exchange import BlocksAnswer, PrunedAnswer
from node.snapshots.parts import BucketsPage, Manifest, check_buckets, check_manifest
from node.storage.journal_frames import Scan
from p2p.frames import Channel, encode_frame
from p2p.handshake import HandshakeError, Hello, check_hello
from p2p.peers import PeerAddress
from p2p.transfer import PartKind
from primitives.batch import Batch, is_batch_whole
from primitives.encoding import decode
from primitives.ids import Digest, Height
from primitives.sealing import SealedSecret, SealError, open_sealed, read_label
from tests.consensus.builders import name
from tests.consensus.constitution import GENESIS, build_first_header, build_membership, build_settings
from tests.fuzz import seeds
from tests.meter.networks import ANCHOR
from tests.vectors.collection import GENESIS_NAME, PROOFS
from tests.vectors.street import encode_proof
from vm.genesis import decode_genesis
from vm.state_root import GROUP_DIGESTS_BYTES, StateProof
from vm.transaction import SealedTransaction, is_transaction_signed

CHEAP_TO_OPEN_BYTES = 64 * 1024
"""A key file says what it costs to open; here only the cheap ones are."""

Follow = Callable[[bytes, Any], None]
"""What is done with accepted bytes: (bytes, value)."""


class BrokenPromise(AssertionError):  # noqa: N818  # it reads as what was found
    """A decoder accepted what it must not accept."""


def is_canonical(render: Callable[[Any], bytes], follow: Callable[[Any], object] | None = None) -> Follow:
    """Demand that a value has the one encoding it came in, and that ``follow`` has an answer to it."""

    def check(data: bytes, value: object) -> None:
        if render(value) != data:
            raise BrokenPromise(f"accepted, but its encoding is another one: {data.hex()}")
        if follow is not None:
            follow(value)

    return check


@cache
def _get_replica() -> Replica:
    return Replica(build_settings(4, 3), build_first_header(), None)


def follow_envelope(envelope: Envelope) -> None:
    """A message is judged by its position, then by its signatures."""
    _get_replica().is_wanted(envelope)
    check_envelope(build_membership(4), GENESIS, envelope)


def follow_certificate(certificate: Certificate) -> None:
    check_certificate(build_membership(4), GENESIS, certificate)


def follow_blocks(answer: BlocksAnswer | PrunedAnswer) -> None:
    if isinstance(answer, PrunedAnswer):
        return
    follow_certificate(answer.certificate)
    for block in answer.blocks:
        block.header.compute_digest()
        follow_batch(block.batch)


def follow_manifest(manifest: Manifest) -> None:
    check_manifest(manifest, Height(0))
    follow_certificate(manifest.certificate)


def follow_buckets(page: BucketsPage) -> None:
    check_buckets(page, 0, bytes(GROUP_DIGESTS_BYTES))


def follow_handovers(handovers: tuple[Handover, ...]) -> None:
    for handover in handovers:
        follow_handover(build_membership(4), GENESIS, handover)


def follow_batch(batch: Batch) -> None:
    batch.header.compute_digest()
    is_batch_whole(batch)


def follow_transaction(sealed: SealedTransaction) -> None:
    is_transaction_signed(sealed, ANCHOR.genesis_hash)


def follow_receipt(certified: CertifiedReceipt) -> None:
    check_receipt(ANCHOR, Digest(certified.receipt.transaction_id), certified)


@cache
def get_proof_verifier() -> tuple[Verifier, frozenset[bytes]]:
    """Return what holds the published genesis, and the files that it believes."""
    genesis = decode_genesis((PROOFS / GENESIS_NAME).read_bytes())
    return Verifier(genesis), frozenset(seeds.list_proof_files())


def follow_proof_file(content: ProofContent) -> None:
    """Only the files that somebody proved are believed, and no byte of one is another."""
    verifier, proven = get_proof_verifier()
    data = encode_proof(content)
    if data not in proven and not isinstance(verifier.verify(data), Problem):
        raise BrokenPromise("a file that nobody proved is believed")


def follow_state_proof(proof: StateProof) -> None:
    certificate = read_certificate(seeds.list_certificates()[0])
    check_state_value(ANCHOR, b"key", b"value", proof, certificate)


def follow_hello(hello: Hello) -> None:
    """Whoever says hello is known, or refused with one line."""
    known: dict[bytes, PeerAddress] = {name(1): PeerAddress("v1", name(1), b"certificate", "127.0.0.1", 1)}
    own = Hello(1, "sunny-street", bytes(32), name(0), b"o" * 32, dials=False)
    try:
        check_hello(own, hello, b"certificate", known, None)
    except HandshakeError:
        return


def follow_journal(data: bytes, found: Scan) -> None:
    if found.end > len(data):
        raise BrokenPromise("a frame that ends beyond its file")


def follow_key_file(data: bytes, label: KeyLabel) -> None:
    """The label is the file's, and no passphrase opens what was never sealed."""
    sealed = decode(data, SealedSecret)
    if label.encode() != read_label(data):
        raise BrokenPromise("a label that is not the one in the file")
    if sealed.operations > 1 or sealed.memory_bytes > CHEAP_TO_OPEN_BYTES:
        return
    try:
        open_sealed(b"any", data)
    except SealError:
        return
    raise BrokenPromise("a passphrase that nobody chose opens the file")


def follow_config(_: bytes, config: NodeConfig) -> None:
    if parse_config(render_config(config).encode(), {}) != config:
        raise BrokenPromise("settings that are others once they were written and read again")


def follow_error_answer(_: bytes, error: ApiError) -> None:
    if not (error.error + error.detail).isprintable():
        raise BrokenPromise("an error that no terminal should show")


def render_frames(frames: list[tuple[Channel, bytes]]) -> bytes:
    return b"".join(encode_frame(channel, payload) for channel, payload in frames)


def render_response(response: tuple[int, PartKind, int, bytes]) -> bytes:
    number, kind, index, content = response
    return number.to_bytes(8, "big") + bytes((kind,)) + index.to_bytes(2, "big") + content
