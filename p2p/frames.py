"""Frames: one websocket message carries many, each a channel byte, a four-byte length and a payload."""

from enum import IntEnum

from primitives.limits import FRAME_BYTES_MAX

HEADER_BYTES = 5
FRAMES_PER_MESSAGE_MAX = 8192
"""A message of small gossip frames: more of them would hold the event loop for longer than 10 ms."""

MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + HEADER_BYTES
"""One frame of the largest size always fits."""


class Channel(IntEnum):
    """What a frame is for; the lower, the more urgent on a full link."""

    CONSENSUS = 1
    REQUEST = 2
    RESPONSE = 3
    TRANSACTIONS = 4


class FrameError(ValueError):
    """A message is not a sequence of frames."""


def encode_frame(channel: Channel, payload: bytes) -> bytes:
    """Return a frame.

    Raises:
        FrameError: the payload is larger than FRAME_BYTES_MAX.

    """
    if len(payload) > FRAME_BYTES_MAX:
        raise FrameError(f"a frame holds at most {FRAME_BYTES_MAX} bytes, this payload has {len(payload)}")
    return bytes((channel,)) + len(payload).to_bytes(4, "big") + payload


def decode_frames(message: bytes) -> list[tuple[Channel, bytes]]:
    """Return the frames of a message in order.

    Raises:
        FrameError: an unknown channel, a length beyond the message, or too many frames.

    """
    frames: list[tuple[Channel, bytes]] = []
    position, end = 0, len(message)
    while position < end:
        start = position + HEADER_BYTES
        if start > end or message[position] not in _CHANNELS:
            raise FrameError("not a frame of a known channel")
        length = int.from_bytes(message[position + 1 : start], "big")
        if length > end - start:
            raise FrameError("a frame is longer than its message")
        if len(frames) >= FRAMES_PER_MESSAGE_MAX:
            raise FrameError("too many frames in one message")
        frames.append((_CHANNELS[message[position]], message[start : start + length]))
        position = start + length
    return frames


_CHANNELS = {int(channel): channel for channel in Channel}
