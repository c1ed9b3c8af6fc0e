"""Frames: what is encoded is decoded, and arbitrary bytes are frames or named nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import (
    FRAMES_PER_MESSAGE_MAX,
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    Channel,
    FrameError,
    decode_frames,
    encode_frame,
)
from primitives.limits import FRAME_BYTES_MAX

FRAMES = st.lists(st.tuples(st.sampled_from(Channel), st.binary(max_size=300)), min_size=1, max_size=50)


@given(FRAMES)
def test_what_is_encoded_is_decoded(frames: list[tuple[Channel, bytes]]) -> None:
    message = b"".join(encode_frame(channel, payload) for channel, payload in frames)
    assert decode_frames(message) == frames


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_frames_or_named_nonsense(message: bytes) -> None:
    try:
        frames = decode_frames(message)
    except FrameError:
        return
    assert b"".join(encode_frame(channel, payload) for channel, payload in frames) == message


@given(FRAMES, st.data())
def test_a_message_that_is_cut_is_refused(frames: list[tuple[Channel, bytes]], data: st.DataObject) -> None:
    encoded = [encode_frame(channel, payload) for channel, payload in frames]
    message = b"".join(encoded)
    cut = data.draw(st.integers(1, len(encoded[-1]) - 1))
    with pytest.raises(FrameError):
        decode_frames(message[:-cut])


def test_the_largest_payload_fits_and_a_larger_one_is_refused() -> None:
    frame = encode_frame(Channel.CONSENSUS, bytes(FRAME_BYTES_MAX))
    assert len(frame) == MESSAGE_BYTES_MAX
    assert decode_frames(frame) == [(Channel.CONSENSUS, bytes(FRAME_BYTES_MAX))]
    with pytest.raises(FrameError, match="at most 2097152 bytes, this payload has 2097153"):
        encode_frame(Channel.CONSENSUS, bytes(FRAME_BYTES_MAX + 1))
    with pytest.raises(FrameError, match="longer than 2097152 bytes"):
        decode_frames(b"\x01" + (FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(FRAME_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "without a frame"),
        (b"\x00" + bytes(4), "unknown channel 0"),
        (b"\x05" + bytes(4), "unknown channel 5"),
        (b"\x01" + bytes(3), "header is cut off"),
        (b"\x01\x00\x00\x00\x02x", "longer than its message"),
        (b"\x01\xff\xff\xff\xff", "longer than its message"),
        ((b"\x04" + bytes(4)) * (FRAMES_PER_MESSAGE_MAX + 1), "more than 1024 frames"),
    ],
)
def test_nonsense_is_named(message: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        decode_frames(message)


def test_as_many_frames_as_are_allowed_are_decoded() -> None:
    frames = decode_frames(encode_frame(Channel.TRANSACTIONS, b"") * FRAMES_PER_MESSAGE_MAX)
    assert len(frames) == FRAMES_PER_MESSAGE_MAX
    assert len(encode_frame(Channel.TRANSACTIONS, b"")) == HEADER_BYTES
