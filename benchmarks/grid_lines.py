"""Simulated computers on access lines: what a validator sends and takes in costs time of its line and of its processor.

Each validator has one line of so many bits a second in each direction, which all its links share, and one core. What
waits for the line is in the outbox of production (`p2p/gossip.py`), one for each link: urgent first, bounded, small
frames together. At most TCP's initial window is on its way on one link; beyond it the sender waits. A line is first
come first served at the far end. What a handler sends leaves when the processor has done the handler's work.
"""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from p2p.frames import Channel, decode_frames, encode_frame
from p2p.gossip import Outbox
from tests.simulation.network import Frame, Kind
from tests.simulation.timeline import Timeline

NUMBER_BYTES = 6
"""Number and kind of a question; a vote has none in production, and is counted with them here."""
RECORD_BYTES = 30
"""A websocket header with its mask (RFC 6455, section 5.2) and a TLS record's header and tag (RFC 8446, 5.2), counted
for every frame, as if none ever shared them."""
SEGMENT_BYTES = 78
"""IP and TCP headers of a segment with timestamps, and half of an acknowledgement."""
SEGMENT_PAYLOAD = 1400
WINDOW_BYTES = 14_600
"""TCP's initial window (RFC 6928), which a link that is idle between blocks comes back to (RFC 2581, 4.1)."""

CHANNELS = {
    Kind.MESSAGE: Channel.CONSENSUS,
    Kind.TRANSACTION: Channel.TRANSACTIONS,
    Kind.QUESTION: Channel.REQUEST,
    Kind.ANSWER: Channel.RESPONSE,
}
KINDS = {channel: kind for kind, channel in CHANNELS.items()}

Handle = Callable[[int, int, Frame], float]
"""Takes a frame from a source to a target and returns the processor's microseconds that it cost."""


class Line(NamedTuple):
    """An access line: bits a second in each direction (0: no limit), and the time to the other end of any link."""

    bits_per_s: float
    latency_ms: int


@dataclass
class Computer:
    """One validator's line and processor. Microseconds of virtual time, as whole milliseconds are too coarse."""

    size: int
    up_free_us: float = 0.0
    down_free_us: float = 0.0
    cpu_free_us: float = 0.0
    cpu_used_us: float = 0.0
    sent: Counter[Kind] = field(default_factory=Counter)
    """Bytes on the line by what they are for, overhead included."""
    frames: Counter[Kind] = field(default_factory=Counter)
    outboxes: dict[int, Outbox] = field(default_factory=dict)
    turn: deque[int] = field(default_factory=deque)
    """Links with something in their outbox, the next one first."""
    on_the_way: Counter[int] = field(default_factory=Counter)
    """Bytes of each link that the other end has not taken yet."""
    arrived: deque[tuple[int, int, list[Frame]]] = field(default_factory=deque)
    """(source, bytes, frames) that wait for the processor."""
    leaving: deque[tuple[float, int, Channel, bytes]] = field(default_factory=deque)
    """(when the processor is done with it, target, channel, frame)."""
    planned_pump_us: float = math.inf
    is_work_planned: bool = False
    is_release_planned: bool = False

    def spend(self, cost_us: float, now_us: float) -> float:
        """Let the processor work; return when it is done."""
        self.cpu_free_us = max(self.cpu_free_us, now_us) + cost_us
        self.cpu_used_us += cost_us
        return self.cpu_free_us


class Lines:
    """The network between computers; it stands where ``tests.simulation.network.Network`` does."""

    def __init__(self, timeline: Timeline, size: int, line: Line, send_us: float, handle: Handle) -> None:
        self.line = line
        self.computers = [Computer(size) for _ in range(size)]
        self.trace = blake2b(digest_size=16)
        self.is_free = True
        """Nothing costs anything: while a network is made ready."""
        self._timeline = timeline
        self._send_us = send_us
        self._handle = handle
        self._packed: tuple[Frame | None, bytes] = None, b""
        """A broadcast's frame is packed once."""

    @property
    def now_us(self) -> float:
        """Return virtual time."""
        return 1000.0 * self._timeline.now_ms

    def carry(self, source: int, target: int, frame: Frame, extra_ms: int = 0) -> None:
        """Send a frame when the processor is done with it."""
        if self.is_free:
            self._timeline.call(1 + extra_ms, self._deliver_free, source, target, frame)
            return
        computer = self.computers[source]
        if self._packed[0] is not frame:
            self._packed = frame, pack(frame)
        done_us = computer.spend(self._send_us, self.now_us)
        computer.leaving.append((done_us, target, CHANNELS[frame.kind], self._packed[1]))
        self._plan_release(source)

    def _deliver_free(self, source: int, target: int, frame: Frame) -> None:
        self._handle(source, target, frame)

    def _plan_release(self, source: int) -> None:
        computer = self.computers[source]
        if computer.leaving and not computer.is_release_planned:
            computer.is_release_planned = True
            self._call_at(computer.leaving[0][0], self._release, source)

    def _release(self, source: int) -> None:
        """Queue what the processor is done with."""
        computer, now_us = self.computers[source], self.now_us
        computer.is_release_planned = False
        while computer.leaving and computer.leaving[0][0] <= now_us:
            _, target, channel, packed = computer.leaving.popleft()
            outbox = computer.outboxes.get(target)
            if outbox is None:
                outbox = computer.outboxes[target] = Outbox()
            if not outbox.queued_frames:
                computer.turn.append(target)
            outbox.put_frame(channel, packed)
        self._plan_release(source)
        self._pump(source)

    def _pump(self, source: int) -> None:
        """Let messages leave, link by link, until the line is taken for longer than this millisecond."""
        computer, now_us = self.computers[source], self.now_us
        rounds = len(computer.turn)
        earliest_us = math.inf
        while rounds and computer.up_free_us < now_us + 1000:
            target = computer.turn.popleft()
            outbox = computer.outboxes[target]
            delay_s = outbox.compute_delay_s(now_us / 1e6)
            if delay_s is None:
                rounds -= 1
                continue
            if computer.on_the_way[target] >= WINDOW_BYTES or delay_s > 0:
                if delay_s > 0:
                    earliest_us = min(earliest_us, now_us + 1e6 * delay_s)
                computer.turn.append(target)
                rounds -= 1
                continue
            self._send(source, target, outbox)
            if outbox.queued_frames:
                computer.turn.append(target)
            else:
                rounds -= 1
        if computer.up_free_us >= now_us + 1000:
            earliest_us = computer.up_free_us
        if computer.turn and earliest_us < computer.planned_pump_us:
            computer.planned_pump_us = earliest_us
            self._call_at(earliest_us, self._pump_planned, source, earliest_us)

    def _pump_planned(self, source: int, planned_us: float) -> None:
        computer = self.computers[source]
        if computer.planned_pump_us == planned_us:
            computer.planned_pump_us = math.inf
            self._pump(source)

    def _send(self, source: int, target: int, outbox: Outbox) -> None:
        computer, now_us = self.computers[source], self.now_us
        message = outbox.take(now_us / 1e6)
        frames = [unpack(channel, packed) for channel, packed in decode_frames(message)]
        size = len(message) + RECORD_BYTES * len(frames)
        size += SEGMENT_BYTES * -(-size // SEGMENT_PAYLOAD)
        for frame in frames:
            computer.frames[frame.kind] += 1
        computer.sent[frames[0].kind] += size
        computer.on_the_way[target] += size
        computer.up_free_us = max(computer.up_free_us, now_us) + self._compute_us(size)
        arrival_us = computer.up_free_us + 1000 * self.line.latency_ms
        self._call_at(arrival_us, self._come_down, source, target, size, frames)

    def _come_down(self, source: int, target: int, size: int, frames: list[Frame]) -> None:
        """Take the target's line as well, after what came before."""
        computer = self.computers[target]
        computer.down_free_us = max(computer.down_free_us, self.now_us) + self._compute_us(size)
        self._call_at(computer.down_free_us, self._arrive, source, target, size, frames)

    def _arrive(self, source: int, target: int, size: int, frames: list[Frame]) -> None:
        self.computers[target].arrived.append((source, size, frames))
        self._work(target)

    def _work(self, target: int) -> None:
        """Let the processor take what has arrived, until it is taken for longer than this millisecond."""
        computer, now_us = self.computers[target], self.now_us
        if computer.is_work_planned:
            return
        while computer.arrived and computer.cpu_free_us < now_us + 1000:
            source, size, frames = computer.arrived.popleft()
            for frame in frames:
                computer.spend(self._handle(source, target, frame), now_us)
            self.computers[source].on_the_way[target] -= size
            if self.computers[source].turn:
                self._pump(source)
        if computer.arrived:
            computer.is_work_planned = True
            self._call_at(computer.cpu_free_us, self._work_planned, target)

    def _work_planned(self, target: int) -> None:
        self.computers[target].is_work_planned = False
        self._work(target)

    def _compute_us(self, size: int) -> float:
        return 8e6 * size / self.line.bits_per_s if self.line.bits_per_s else 0.0

    def _call_at(self, at_us: float, action: Callable[..., None], *arguments: object) -> None:
        self._timeline.call(max(0, math.ceil(at_us / 1000) - self._timeline.now_ms), action, *arguments)


def pack(frame: Frame) -> bytes:
    """Return a frame of the link; a question's number travels with it, as in production."""
    numbers = frame.number.to_bytes(NUMBER_BYTES - 1, "big") + bytes([frame.question])
    return encode_frame(CHANNELS[frame.kind], numbers + frame.payload)


def unpack(channel: Channel, packed: bytes) -> Frame:
    """Return what was packed."""
    number = int.from_bytes(packed[: NUMBER_BYTES - 1], "big")
    return Frame(KINDS[channel], packed[NUMBER_BYTES:], number, packed[NUMBER_BYTES - 1])
