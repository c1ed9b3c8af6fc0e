import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.codec import (
    NONCE_BYTES,
    NUMBER_MAX,
    decode_envelope,
    decode_record,
    encode_envelope,
    encode_record,
    is_vote_record,
)
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
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Inquiry,
    Message,
    Prepare,
    Proposal,
    Status,
    ViewChange,
)
from consensus.messages import Testimony as Witnessed  # pytest takes a name that begins with Test for a test
from primitives.encoding import DecodeError
from primitives.limits import BATCH_TRANSACTIONS_MAX, FRAME_BYTES_MAX
from tests.consensus.builders import (
    batch_of,
    certificate,
    empty_new_view,
    header_chain,
    name,
    new_view,
    pre_prepare,
    prepared,
    say,
)

BATCH = batch_of()
HEADER = header_chain(1)[1]
VIEW_CHANGE = ViewChange(0, 1, certificate(HEADER), (prepared(BATCH, 2),))
MESSAGES: list[Envelope] = [
    pre_prepare(BATCH),
    say(1, Prepare(0, 0, 1, bytes(32))),
    say(1, Commit(0, 0, 1, bytes(32))),
    say(1, Checkpoint(HEADER)),
    say(1, VIEW_CHANGE),
    say(1, ViewChange(0, NUMBER_MAX, None, ())),
    new_view(1, {0: VIEW_CHANGE, 1: VIEW_CHANGE, 2: ViewChange(0, 1, None, ())}),
    say(1, Complaint(0, 3)),
    say(1, Status(0, 1, 2, 3)),
    say(1, Inquiry(0, bytes(NONCE_BYTES))),
    say(2, Witnessed(0, name(1), bytes(NONCE_BYTES), None, ())),
    say(2, Witnessed(1, name(1), bytes(NONCE_BYTES), certificate(HEADER), (b"as it travels",))),
]
RECORDS: list[JournalRecord] = [
    ViewEntered(0, 1, active=True),
    OwnMessage(MESSAGES[1]),
    AcceptedBatch(Proposal(0, 0, 1, bytes(32)), bytes(64), BATCH),
    AcceptedBatch(Proposal(0, 0, 1, bytes(32)), bytes(64), None),
    AcceptedNewView(empty_new_view(1)),
    PreparedRecord(prepared(BATCH)),
    SignedHeader(1, bytes(32)),
    OwnProposal(Proposal(0, 0, 1, bytes(32))),
    KnownCertificate(certificate(HEADER)),
    Silenced(is_over=False),
]


@pytest.mark.parametrize("envelope", MESSAGES, ids=lambda each: type(each.message).__name__)
def test_every_message_survives_its_bytes(envelope: Envelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@pytest.mark.parametrize("record", RECORDS, ids=lambda each: type(each).__name__)
def test_every_record_survives_its_bytes(record: JournalRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_what_keeps_a_promise_is_written_twice() -> None:
    names = {type(record).__name__ for record in RECORDS if is_vote_record(record)}
    votes = {"ViewEntered", "OwnMessage", "SignedHeader", "OwnProposal", "KnownCertificate", "Silenced"}
    assert names == votes | {"PreparedRecord"}


NUMBERS = st.integers(0, NUMBER_MAX)
DIGESTS = st.binary(min_size=32, max_size=32)


@given(
    st.one_of(
        st.builds(Prepare, NUMBERS, NUMBERS, NUMBERS, DIGESTS),
        st.builds(Commit, NUMBERS, NUMBERS, NUMBERS, DIGESTS),
        st.builds(Complaint, NUMBERS, NUMBERS),
        st.builds(Status, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        st.builds(ViewChange, NUMBERS, NUMBERS, st.none(), st.just(())),
    )
)
def test_any_message_in_range_survives_its_bytes(message: Message) -> None:
    envelope = Envelope(bytes(32), bytes(64), message)
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_one_way(data: bytes) -> None:
    for decode in (decode_envelope, decode_record):
        with pytest.raises(DecodeError):
            decode(data)


@given(st.sampled_from(MESSAGES), st.data())
def test_altered_bytes_are_refused_or_decode_to_themselves(envelope: Envelope, data: st.DataObject) -> None:
    raw = bytearray(encode_envelope(envelope))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_envelope(bytes(raw))
    except DecodeError:
        return
    assert encode_envelope(decoded) == bytes(raw)


@given(st.sampled_from(MESSAGES), st.data())
def test_cut_or_lengthened_bytes_are_refused(envelope: Envelope, data: st.DataObject) -> None:
    raw = encode_envelope(envelope)
    with pytest.raises(DecodeError):
        decode_envelope(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(DecodeError):
        decode_envelope(raw + b"\x00")


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(MESSAGES[1], sender=bytes(31)),
        replace(MESSAGES[1], signature=bytes(63)),
        *(
            Envelope(bytes(32), bytes(64), message)
            for message in (
                Prepare(-1, 0, 1, bytes(32)),
                Prepare(0, -1, 1, bytes(32)),
                Prepare(0, 0, -1, bytes(32)),
                Prepare(0, 0, NUMBER_MAX + 1, bytes(32)),
                Commit(0, 0, 1, bytes(31)),
                Complaint(0, NUMBER_MAX + 1),
                Status(0, 0, -1, 0),
                Status(0, 0, 0, -1),
                Checkpoint(replace(HEADER, parent=b"")),
                Checkpoint(replace(HEADER, height=-1)),
                Checkpoint(replace(HEADER, time_ms=-1)),
                Checkpoint(replace(HEADER, protocol_version=-1)),
                ViewChange(0, -1, None, ()),
                replace(VIEW_CHANGE, stable=certificate(replace(HEADER, state_root=b"short"))),
                replace(
                    VIEW_CHANGE, prepared=(replace(prepared(BATCH), proposal=Proposal(0, 0, -1, bytes(32))),)
                ),
                replace(
                    MESSAGES[0].message,
                    batch=replace(BATCH.header, transaction_ids=(bytes(31),)),
                ),
                replace(
                    MESSAGES[0].message,
                    batch=replace(BATCH.header, transaction_ids=(bytes(32),) * (BATCH_TRANSACTIONS_MAX + 1)),
                ),
                replace(MESSAGES[0].message, batch=replace(BATCH.header, time_ms=-1)),
            )
        ),
    ],
)
def test_a_field_out_of_range_is_refused(spoilt: Envelope) -> None:
    with pytest.raises(DecodeError):
        decode_envelope(encode_envelope(spoilt))


def test_a_message_beyond_a_frame_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_envelope(bytes(FRAME_BYTES_MAX + 1))
