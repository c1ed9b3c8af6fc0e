"""Bytes of messages and journal records; decoding refuses everything that is not canonical."""

from typing import assert_never

from consensus.effects import (
    AcceptedBatch,
    AcceptedNewView,
    JournalRecord,
    KnownCertificate,
    OwnMessage,
    OwnProposal,
    PreparedRecord,
    SignedHeader,
    Silenced,
    ViewEntered,
)
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Inquiry,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    Status,
    Testimony,
    ViewChange,
)
from primitives.encoding import DecodeError, decode, encode
from primitives.header import BlockHeader
from primitives.ids import DIGEST_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from primitives.limits import BATCH_TRANSACTIONS_MAX, FRAME_BYTES_MAX

NUMBER_MAX = 2**62
"""Views, sequences and heights beyond this are refused while decoding; nothing is ever allocated by number."""


NONCE_BYTES = 16
"""Enough that no inquiry's nonce ever comes twice."""

NEWEST_MAX = 3
"""What a testimony holds of its asker: a checkpoint, a vote, a view change."""


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the bytes of a message as it travels."""
    return encode(envelope)


def decode_envelope(data: bytes) -> Envelope:
    """Return the message of these bytes, with every length and number in range; signatures are not checked.

    Raises:
        DecodeError: too large, malformed, not canonical, or a field out of range.

    """
    if len(data) > FRAME_BYTES_MAX:
        message = f"a message has at most {FRAME_BYTES_MAX} bytes"
        raise DecodeError(message)
    envelope = decode(data, Envelope)
    if len(envelope.sender) != PUBLIC_KEY_BYTES or len(envelope.signature) != SIGNATURE_BYTES:
        message = "sender or signature has a wrong length"
        raise DecodeError(message)
    if not _is_message_in_range(envelope):
        message = "a number or digest of the message is out of range"
        raise DecodeError(message)
    return envelope


def encode_record(record: JournalRecord) -> bytes:
    """Return the bytes of a journal record."""
    return encode(record)


def decode_record(data: bytes) -> JournalRecord:
    """Return the journal record of these bytes.

    Raises:
        DecodeError: not a record of this version.

    """
    return decode(data, JournalRecord)  # type: ignore[arg-type]  # a union is not a class for the type checker


def is_vote_record(record: JournalRecord) -> bool:
    """Tell whether losing the record could break a promise: it is written twice.

    A commit promises that its prepared certificate will be shown in view changes. A lost batch is fetched again, and
    a view whose new-view was lost is not worked in.
    """
    match record:
        case (
            ViewEntered()
            | OwnMessage()
            | OwnProposal()
            | SignedHeader()
            | KnownCertificate()
            | PreparedRecord()
            | Silenced()
        ):
            return True
        case AcceptedBatch() | AcceptedNewView():
            return False
        case _:
            assert_never(record)


def _is_message_in_range(envelope: Envelope) -> bool:
    message = envelope.message
    match message:
        case PrePrepare(proposal=proposal, batch=batch):
            return (
                _is_proposal_in_range(proposal)
                and len(batch.transaction_ids) <= BATCH_TRANSACTIONS_MAX
                and all(len(name) == DIGEST_BYTES for name in batch.transaction_ids)
                and 0 <= batch.time_ms <= NUMBER_MAX
            )
        case Prepare() | Commit():
            return _is_position_in_range(message.epoch, message.view, message.sequence) and (
                len(message.digest) == DIGEST_BYTES
            )
        case Checkpoint(header=header):
            return _is_header_in_range(header)
        case ViewChange():
            return _is_view_change_in_range(message)
        case NewView():
            return (
                _is_position_in_range(message.epoch, message.view, 0)
                and all(_is_view_change_in_range(entry.view_change) for entry in message.view_changes)
                and all(_is_proposal_in_range(entry.proposal) for entry in message.proposals)
            )
        case Complaint():
            return _is_position_in_range(message.epoch, message.view, 0)
        case Status():
            in_order = _is_position_in_range(message.epoch, message.view, message.sequence)
            return in_order and 0 <= message.height <= NUMBER_MAX
        case Inquiry():
            return _is_position_in_range(message.epoch, 0, 0) and len(message.nonce) == NONCE_BYTES
        case Testimony():
            return (
                _is_position_in_range(message.epoch, 0, 0)
                and len(message.asker) == PUBLIC_KEY_BYTES
                and len(message.nonce) == NONCE_BYTES
                and _is_certificate_in_range(message.stable)
                and len(message.newest) <= NEWEST_MAX
            )
        case _:
            assert_never(message)


def _is_position_in_range(epoch: int, view: int, sequence: int) -> bool:
    return 0 <= epoch <= NUMBER_MAX and 0 <= view <= NUMBER_MAX and 0 <= sequence <= NUMBER_MAX


def _is_proposal_in_range(proposal: Proposal) -> bool:
    return (
        _is_position_in_range(proposal.epoch, proposal.view, proposal.sequence)
        and len(proposal.digest) == DIGEST_BYTES
    )


def _is_header_in_range(header: BlockHeader) -> bool:
    if not (0 <= header.time_ms <= NUMBER_MAX and 0 <= header.protocol_version <= NUMBER_MAX):
        return False
    return _is_position_in_range(header.epoch, header.height, header.sequence) and all(
        len(digest) == DIGEST_BYTES
        for digest in (
            header.parent,
            header.batch_digest,
            header.state_root,
            header.receipts_root,
            header.next_membership,
        )
    )


def _is_certificate_in_range(certificate: Certificate | None) -> bool:
    return certificate is None or _is_header_in_range(certificate.header)


def _is_view_change_in_range(view_change: ViewChange) -> bool:
    return (
        _is_position_in_range(view_change.epoch, view_change.view, 0)
        and _is_certificate_in_range(view_change.stable)
        and all(_is_proposal_in_range(entry.proposal) for entry in view_change.prepared)
    )
