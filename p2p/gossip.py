"""What waits to leave on one link: urgent channels first, each in order, bounded; small frames leave together.

An idle link sends at once. While a message is being sent, whatever comes meanwhile waits and leaves as one message: so
coalescing costs nothing when there is nothing to coalesce. In the full mesh of validators only the node that took a
transaction in passes it on, so it reaches each of the others about once.
"""

from collections import deque

from p2p.frames import FRAMES_PER_MESSAGE_MAX, Channel, encode_frame

MESSAGE_BYTES_GOAL = 64 * 1024
"""Frames are put together up to this size: larger messages save nothing and delay the urgent ones behind them."""

QUEUED_BYTES_MAX = 8 * 1024 * 1024
"""What may wait on one link: 4 s of a 16 Mbit/s link. Beyond it the oldest of the least urgent is dropped."""

QUEUED_FRAMES_MAX = 32_768
"""The same bound for many small frames."""


class Outbox:
    """The queue of one link."""

    def __init__(self) -> None:
        self._queues: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self.queued_bytes = 0
        self.queued_frames = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return self.queued_frames > 0

    def put(self, channel: Channel, payload: bytes) -> bool:
        """Queue a frame; False when it, or an older and less urgent one, had to be dropped for the bound."""
        frame = encode_frame(channel, payload)
        self._queues[channel].append(frame)
        self.queued_bytes += len(frame)
        self.queued_frames += 1
        dropped = self.dropped
        while self.queued_bytes > QUEUED_BYTES_MAX or self.queued_frames > QUEUED_FRAMES_MAX:
            self._drop_one()
        return self.dropped == dropped

    def take(self) -> bytes:
        """Return the next message: frames in the order of urgency up to MESSAGE_BYTES_GOAL, at least one."""
        taken: list[bytes] = []
        size = 0
        for queue in self._queues.values():
            while queue and len(taken) < FRAMES_PER_MESSAGE_MAX:
                if taken and size + len(queue[0]) > MESSAGE_BYTES_GOAL:
                    break
                frame = queue.popleft()
                taken.append(frame)
                size += len(frame)
        self.queued_bytes -= size
        self.queued_frames -= len(taken)
        return b"".join(taken)

    def _drop_one(self) -> None:
        for channel in reversed(Channel):
            if self._queues[channel]:
                frame = self._queues[channel].popleft()
                self.queued_bytes -= len(frame)
                self.queued_frames -= 1
                self.dropped += 1
                return
