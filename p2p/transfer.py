"""Questions and answers over a link: numbered, bounded, each with a time-out.

An answer travels in parts, so that a large one does not hold up agreement on a slow link.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum

from p2p.frames import FrameError
from primitives.limits import FRAME_BYTES_MAX

REQUESTS_OPEN_MAX = 64
"""Own questions open at one peer: a node asks a few at a time."""

ANSWERS_WAITING_MAX = 2 * REQUESTS_OPEN_MAX
"""Questions of one peer that wait for their answer; those that timed out there may still be among them."""

ANSWERS_RUNNING_MAX = 4
"""Questions of one peer answered at the same time; 8 MB of answers at most."""

ANSWER_TIMEOUT_S = 30.0
"""Whoever asked has given up long before; a handler that hangs must not hold its place for ever."""

REQUEST_BYTES_MAX = 64 * 1024
"""The ids of a whole batch of 1,000 transactions take 34 kB."""

ANSWER_BYTES_MAX = FRAME_BYTES_MAX
"""Larger answers are paged by whoever asks."""

PART_BYTES = 32 * 1024
"""Agreement waits for one part at most: 0.25 s on a 1 Mbit/s link."""

REASON_BYTES_MAX = 200
"""A reason is one line."""

KIND_MAX = 255
REQUEST_HEADER_BYTES = 9
RESPONSE_HEADER_BYTES = 11


class RequestFailed(Exception):  # noqa: N818  # it reads as what happened
    """No answer: not connected, refused, or too late; one line says which."""


class RequestRefused(Exception):  # noqa: N818  # it reads as what happened
    """Raised by whoever answers: the question cannot be answered; the reason travels to the asker."""


class PartKind(IntEnum):
    """What a response is: the last part of an answer, the reason of a refusal, or a part that others follow."""

    LAST = 0
    REFUSED = 1
    MORE = 2


class _Question:
    """A question of this node that is open."""

    def __init__(self, future: asyncio.Future[bytes]) -> None:
        self.future = future
        self.parts: list[bytes] = []
        self.size = 0


class Requests:
    """The own open questions at one peer."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self._send = send
        self._open: dict[int, _Question] = {}
        self._next = 0
        self._failed: str | None = None

    async def ask(self, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """Return the peer's answer, at most ANSWER_BYTES_MAX.

        Raises:
            RequestFailed: too large, too many are open, the link is gone, the peer refused, or the time is over.
            ValueError: ``kind`` is not in 0..255.

        """
        if not 0 <= kind <= KIND_MAX:
            raise ValueError(f"a question's kind is 0..{KIND_MAX}, not {kind}")
        if len(payload) > REQUEST_BYTES_MAX:
            raise RequestFailed(f"a question has at most {REQUEST_BYTES_MAX} bytes: ask for less at a time")
        if self._failed is not None:
            raise RequestFailed(self._failed)
        if len(self._open) >= REQUESTS_OPEN_MAX:
            raise RequestFailed(f"{REQUESTS_OPEN_MAX} questions are open at this peer: wait for an answer")
        self._next += 1
        number = self._next
        question = self._open[number] = _Question(asyncio.get_running_loop().create_future())
        try:
            if not self._send(encode_request(number, kind, payload)):
                raise RequestFailed("the link is full or gone")
            async with asyncio.timeout(timeout_s):
                return await question.future
        except TimeoutError:
            raise RequestFailed(f"no answer within {timeout_s:g} s") from None
        finally:
            del self._open[number]

    def on_response(self, payload: bytes) -> None:
        """Take a part of an answer; one to a question that is not open any more is ignored.

        Raises:
            FrameError: malformed.

        """
        number, part, index, content = decode_response(payload)
        question = self._open.get(number)
        if question is None or question.future.done():
            return
        if part is PartKind.REFUSED:
            reason = " ".join(content[:REASON_BYTES_MAX].decode("utf-8", "replace").split())
            question.future.set_exception(RequestFailed(f"refused: {reason}"))
            return
        question.size += len(content)
        if index != len(question.parts):
            question.future.set_exception(RequestFailed("a part of the answer was lost: ask again"))
        elif question.size > ANSWER_BYTES_MAX:
            question.future.set_exception(RequestFailed(f"the answer has more than {ANSWER_BYTES_MAX} bytes"))
        else:
            question.parts.append(content)
            if part is PartKind.LAST:
                question.future.set_result(b"".join(question.parts))

    def fail_all(self, reason: str) -> None:
        """Fail every open question, and each one from now on: the link is gone."""
        self._failed = reason
        for question in self._open.values():
            if not question.future.done():
                question.future.set_exception(RequestFailed(reason))


def encode_request(number: int, kind: int, payload: bytes) -> bytes:
    """Return a question: its number (8 bytes), its kind (1), its payload."""
    return number.to_bytes(8, "big") + bytes((kind,)) + payload


def decode_request(payload: bytes) -> tuple[int, int, bytes]:
    """Return (number, kind, payload).

    Raises:
        FrameError: shorter than its header, or longer than REQUEST_BYTES_MAX allows.

    """
    if len(payload) < REQUEST_HEADER_BYTES:
        raise FrameError("a request is shorter than its header")
    if len(payload) > REQUEST_HEADER_BYTES + REQUEST_BYTES_MAX:
        raise FrameError(f"a request is longer than {REQUEST_BYTES_MAX} bytes")
    return int.from_bytes(payload[:8], "big"), payload[8], payload[REQUEST_HEADER_BYTES:]


def encode_answer(number: int, answer: bytes) -> list[bytes]:
    """Return the parts of an answer in order, at least one: the question's number (8 bytes), the part's kind (1),
    its index (2), its content.
    """
    parts = [answer[start : start + PART_BYTES] for start in range(0, len(answer), PART_BYTES)] or [b""]
    last = len(parts) - 1
    return [
        _encode_part(number, PartKind.LAST if index == last else PartKind.MORE, index, part)
        for index, part in enumerate(parts)
    ]


def encode_refusal(number: int, reason: str) -> bytes:
    """Return the refusal of a question."""
    return _encode_part(number, PartKind.REFUSED, 0, reason.encode("utf-8", "replace")[:REASON_BYTES_MAX])


def decode_response(payload: bytes) -> tuple[int, PartKind, int, bytes]:
    """Return (number, kind of part, index of part, content).

    Raises:
        FrameError: shorter than its header, or a part of an unknown kind.

    """
    if len(payload) < RESPONSE_HEADER_BYTES:
        raise FrameError("a response is shorter than its header")
    if payload[8] not in _PART_KINDS:
        raise FrameError(f"a response of an unknown kind {payload[8]}")
    index = int.from_bytes(payload[9:RESPONSE_HEADER_BYTES], "big")
    return int.from_bytes(payload[:8], "big"), PartKind(payload[8]), index, payload[RESPONSE_HEADER_BYTES:]


_PART_KINDS = frozenset(PartKind)


def _encode_part(number: int, part: PartKind, index: int, content: bytes) -> bytes:
    return number.to_bytes(8, "big") + bytes((part,)) + index.to_bytes(2, "big") + content
