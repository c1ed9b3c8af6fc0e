"""Frames: one websocket message carries many, each a channel byte, a four-byte length and a payload."""

from enum import IntEnum

from primitives.limits import FRAME_BYTES_MAX

HEADER_BYTES = 5
FRAMES_PER_MESSAGE_MAX = 1024
"""At 10 µs a frame a whole message holds the event loop for 10 ms; 64 kB of readings are 320 frames."""

MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + HEADER_BYTES
"""One frame of the largest payload always fits."""


class Channel(IntEnum):
    """What a frame is for; the lower, the more urgent on a full link."""

    CONSENSUS = 1
    REQUEST = 2
    RESPONSE = 3
    TRANSACTIONS = 4


class FrameError(ValueError):
    """Bytes that no correct member sends, or a payload that no frame holds; one line says why."""


def encode_frame(channel: Channel, payload: bytes) -> bytes:
    """Return a frame.

    Raises:
        FrameError: the payload is larger than FRAME_BYTES_MAX.

    """
    if len(payload) > FRAME_BYTES_MAX:
        raise FrameError(f"a frame holds at most {FRAME_BYTES_MAX} bytes, this payload has {len(payload)}")
    return b"%c%b%b" % (channel, len(payload).to_bytes(4, "big"), payload)


def decode_frames(message: bytes) -> list[tuple[Channel, bytes]]:
    """Return the frames of a message in order, at least one.

    Raises:
        FrameError: empty, an unknown channel, a length beyond the message or the bound, or too many frames.

    """
    if not message:
        raise FrameError("a message without a frame")
    frames: list[tuple[Channel, bytes]] = []
    position, end = 0, len(message)
    while position < end:
        start = position + HEADER_BYTES
        channel = _CHANNELS.get(message[position])
        if channel is None:
            raise FrameError(f"a frame of an unknown channel {message[position]}")
        if start > end:
            raise FrameError("a frame's header is cut off")
        stop = start + int.from_bytes(message[position + 1 : start], "big")
        if stop > end:
            raise FrameError("a frame is longer than its message")
        if stop - start > FRAME_BYTES_MAX:
            raise FrameError(f"a frame is longer than {FRAME_BYTES_MAX} bytes")
        if len(frames) >= FRAMES_PER_MESSAGE_MAX:
            raise FrameError(f"more than {FRAMES_PER_MESSAGE_MAX} frames in one message")
        frames.append((channel, message[start:stop]))
        position = stop
    return frames


_CHANNELS = {int(channel): channel for channel in Channel}
