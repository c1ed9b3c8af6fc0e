"""What waits to leave on one link: urgent channels first, each in order, bounded; small frames leave together.

An idle link sends at once. After a transaction has left, those that follow wait until 5 to 20 ms have passed, or until
there are enough of them, or until something urgent takes them along: under load a message then carries many, and a
lonely one never waits. In the full mesh of validators only the node that took a transaction in passes it on, so it
reaches each of the others once. Time is an argument, in seconds of the host's monotonic clock.
"""

from collections import deque

from p2p.frames import FRAMES_PER_MESSAGE_MAX, Channel

MESSAGE_BYTES_GOAL = 64 * 1024
"""Frames are put together up to this size: larger messages save nothing and delay the urgent ones behind them."""

QUEUED_BYTES_MAX = 4 * 1024 * 1024
"""What may wait on one link: two frames of the largest size, 32 s of a 1 Mbit/s link. A node has 64 MB in all."""

QUEUED_FRAMES_MAX = 16_384
"""The same bound for many small frames: their objects take more memory than their bytes."""

GOSSIP_PAUSE_S = 0.005
"""A transaction waits at most so long for company on a quiet link: a tenth of a round of agreement."""

GOSSIP_PAUSE_MAX_S = 0.02
"""The same on a busy link: the pause doubles while three or more leave together, and halves when one leaves alone.

A message costs both ends 0.14 ms whatever it carries: at 750 transactions a second on each of three links and 5 ms that
is a sixth of a core, at 20 ms a twentieth.
"""

GOSSIP_COMPANY = 3

GOSSIP_BYTES_ENOUGH = 16 * 1024
"""One TLS record is full (RFC 8446, section 5.1): waiting longer saves no work."""


class Outbox:
    """The queue of one link; it holds frames that are encoded already, so that a broadcast shares their bytes."""

    def __init__(self) -> None:
        self._queues: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self._gossip = self._queues[Channel.TRANSACTIONS]
        self._bytes = dict.fromkeys(Channel, 0)
        self._gossip_left_s = float("-inf")
        self._gossip_pause_s = GOSSIP_PAUSE_S
        self.queued_bytes = 0
        self.queued_frames = 0
        self.dropped = 0

    def put_frame(self, channel: Channel, frame: bytes) -> bool:
        """Queue a frame, which may wait on other links too; False when one of its channel was dropped for the bounds.

        What is dropped is the oldest of the least urgent channel: gossip never displaces agreement.
        """
        self._queues[channel].append(frame)
        self._bytes[channel] += len(frame)
        self.queued_bytes += len(frame)
        self.queued_frames += 1
        is_kept = True
        while self.queued_bytes > QUEUED_BYTES_MAX or self.queued_frames > QUEUED_FRAMES_MAX:
            is_kept = self._drop_one() is not channel and is_kept
        return is_kept

    def compute_delay_s(self, now_s: float) -> float | None:
        """Return for how long the next message may still wait: 0 when it must leave now, None when nothing waits."""
        if not self.queued_frames:
            return None
        if self.queued_frames > len(self._gossip) or self.has_enough_gossip():
            return 0.0
        return max(0.0, self._gossip_left_s + self._gossip_pause_s - now_s)

    def has_enough_gossip(self) -> bool:
        """Tell whether the waiting transactions fill a message that is worth sending."""
        return (
            self._bytes[Channel.TRANSACTIONS] >= GOSSIP_BYTES_ENOUGH
            or len(self._gossip) >= FRAMES_PER_MESSAGE_MAX
        )

    def get_queued_bytes(self, channel: Channel) -> int:
        """Return how many bytes wait in one channel."""
        return self._bytes[channel]

    def take(self, now_s: float) -> bytes:
        """Return the next message: frames in the order of urgency up to MESSAGE_BYTES_GOAL; empty when none waits.

        The first frame is taken whatever its size. One that does not fit ends the message: nothing less urgent
        overtakes it.
        """
        taken: list[bytes] = []
        size = 0
        for channel, queue in self._queues.items():
            before = size
            first = len(taken)
            is_full = False
            while queue and not is_full:
                is_full = bool(taken) and (
                    size + len(queue[0]) > MESSAGE_BYTES_GOAL or len(taken) >= FRAMES_PER_MESSAGE_MAX
                )
                if not is_full:
                    taken.append(queue.popleft())
                    size += len(taken[-1])
            self._bytes[channel] -= size - before
            if channel is Channel.TRANSACTIONS and size > before:
                self._gossip_left_s = now_s
                self._adapt_pause(len(taken) - first)
            if is_full:
                break
        self.queued_bytes -= size
        self.queued_frames -= len(taken)
        return b"".join(taken)

    def _adapt_pause(self, left_together: int) -> None:
        """Wait longer for company where there is much of it."""
        if left_together >= GOSSIP_COMPANY:
            self._gossip_pause_s = min(2 * self._gossip_pause_s, GOSSIP_PAUSE_MAX_S)
        elif left_together == 1:
            self._gossip_pause_s = max(self._gossip_pause_s / 2, GOSSIP_PAUSE_S)

    def _drop_one(self) -> Channel:
        channel = next(channel for channel in reversed(Channel) if self._queues[channel])
        frame = self._queues[channel].popleft()
        self._bytes[channel] -= len(frame)
        self.queued_bytes -= len(frame)
        self.queued_frames -= 1
        self.dropped += 1
        return channel
