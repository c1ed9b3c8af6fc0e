"""Questions and answers over a link: numbered, bounded, each with a time-out."""

import asyncio
from collections.abc import Callable

REQUESTS_OPEN_MAX = 64
"""Own questions open at one peer."""

ANSWERS_RUNNING_MAX = 16
"""Questions of one peer answered at the same time; more are refused by silence and asked again."""

HEADER_BYTES = 9


class RequestFailed(Exception):  # noqa: N818  # it reads as what happened
    """No answer: not connected, refused, or too late; one line says which."""


class RequestRefused(Exception):  # noqa: N818  # it reads as what happened
    """Raised by whoever answers: the question cannot be answered; the reason travels to the asker."""


class Requests:
    """The own open questions at one peer."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self._send = send
        self._open: dict[int, asyncio.Future[bytes]] = {}
        self._next = 0

    async def ask(self, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """Return the peer's answer.

        Raises:
            RequestFailed: too many are open, the link is gone, the peer refused, or the time is over.

        """
        if len(self._open) >= REQUESTS_OPEN_MAX:
            raise RequestFailed("too many questions are open at this peer")
        self._next += 1
        number = self._next
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[number] = future
        try:
            if not self._send(encode_request(number, kind, payload)):
                raise RequestFailed("the link is full or gone")
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise RequestFailed(f"no answer within {timeout_s:g} s") from None
        finally:
            self._open.pop(number, None)

    def on_response(self, payload: bytes) -> None:
        """Take an answer; one to a question that is not open any more is ignored."""
        number, refused, content = decode_response(payload)
        future = self._open.get(number)
        if future is None or future.done():
            return
        if refused:
            future.set_exception(RequestFailed(content.decode("utf-8", "replace")[:200]))
        else:
            future.set_result(content)

    def fail_all(self, reason: str) -> None:
        """Fail every open question: the link is gone."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(RequestFailed(reason))


def encode_request(number: int, kind: int, payload: bytes) -> bytes:
    """Return a question: its number (8 bytes), its kind, its payload."""
    return number.to_bytes(8, "big") + bytes((kind,)) + payload


def decode_request(payload: bytes) -> tuple[int, int, bytes]:
    """Return (number, kind, payload).

    Raises:
        ValueError: shorter than its header.

    """
    if len(payload) < HEADER_BYTES:
        raise ValueError("a request is shorter than its header")
    return int.from_bytes(payload[:8], "big"), payload[8], payload[HEADER_BYTES:]


def encode_response(number: int, payload: bytes, *, refused: bool) -> bytes:
    """Return an answer: the question's number, whether it was refused, and the content or the reason."""
    return number.to_bytes(8, "big") + bytes((int(refused),)) + payload


def decode_response(payload: bytes) -> tuple[int, bool, bytes]:
    """Return (number, refused, content).

    Raises:
        ValueError: shorter than its header.

    """
    number, refused, content = decode_request(payload)
    return number, bool(refused), content
