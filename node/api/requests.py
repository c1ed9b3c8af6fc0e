"""Reading requests: bodies with every bound, parts of addresses with every check."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import web

from node.api.errors import ApiProblem, refuse_busy, refuse_parameter
from primitives.ids import DIGEST_BYTES, Digest
from primitives.limits import BATCH_TRANSACTIONS_MAX

BODY_TIMEOUT_S = 15.0
"""For a whole body: a megabyte at 1 Mbit/s takes 8 s. Who is slower, or stalls, sends less at once."""

BODIES_BYTES_MAX = 16 * 1024 * 1024
"""Bodies being read and worked on at the same time, all connections together: a quarter of an idle node's memory."""

WAIT_MS_MAX = 30_000
"""How long a request may wait for a certificate: below the time-outs of usual proxies."""

BINARY_TYPES = frozenset({"application/octet-stream", "application/msgpack", "application/vnd.msgpack"})
"""What a body of bytes may be called. A browser's form cannot be, so no page can submit for its visitor."""

JSON_TYPES = frozenset({"application/json"})

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_BYTES_ARRAY = msgspec.msgpack.Decoder(list[bytes])


class BodyReader:
    """Reads bodies: at most so many bytes each, so many in all, in so much time."""

    def __init__(self, body_bytes_max: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._body_bytes_max = body_bytes_max
        self._timeout_s = timeout_s
        self._bytes_free = max(BODIES_BYTES_MAX, body_bytes_max)

    @contextmanager
    def reserve(self, request: web.Request, bytes_max: int) -> Iterator[int]:
        """Set aside the memory of a request's body until its work is done; give the size it may have.

        Raises:
            ApiProblem: too large, or too many bodies at the same time.

        """
        limit = min(bytes_max, self._body_bytes_max)
        length = request.content_length
        if length is not None and length > limit:
            raise _refuse_size(limit)
        size = limit if length is None else length
        if size > self._bytes_free:
            raise refuse_busy("too many requests with a body at this moment")
        self._bytes_free -= size
        try:
            yield size
        finally:
            self._bytes_free += size

    async def read(self, request: web.Request, bytes_max: int, kinds: frozenset[str] = BINARY_TYPES) -> bytes:
        """Return the body of a request whose memory is reserved.

        Raises:
            ApiProblem: not called bytes, compressed, larger than said, or too slow.

        """
        check_content_type(request, kinds)
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > bytes_max:
                        raise _refuse_size(bytes_max)
        except TimeoutError:
            problem = ApiProblem(408, "BODY_TOO_SLOW", f"the body did not come within {self._timeout_s:g} s")
            raise problem from None
        except web.RequestPayloadError as error:
            raise ApiProblem(400, "BODY_BROKEN", f"the body cannot be read: {error}") from None
        return bytes(body)


def check_content_type(request: web.Request, kinds: frozenset[str]) -> None:
    """Refuse a body of another kind.

    Raises:
        ApiProblem: 415.

    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ApiProblem(415, "ENCODING_UNSUPPORTED", "send the body as it is, without compression")
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if (
        kind not in kinds
    ):  # not request.content_type, which takes a missing one for bytes: a page can send that
        raise ApiProblem(415, "TYPE_UNSUPPORTED", f"send the body as {' or '.join(sorted(kinds))}")


def decode_array(body: bytes, what: str) -> list[bytes]:
    """Return the byte strings of a MessagePack array.

    Raises:
        ApiProblem: it is none, or has too many elements.

    """
    try:
        values = _BYTES_ARRAY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiProblem(
            400, "BODY_MALFORMED", f"a MessagePack array of {what} is expected: {error}"
        ) from None
    if not 0 < len(values) <= BATCH_TRANSACTIONS_MAX:
        raise ApiProblem(
            400,
            "BODY_MALFORMED",
            f"between 1 and {BATCH_TRANSACTIONS_MAX} {what} are taken, not {len(values)}",
        )
    return values


def parse_digest(text: str) -> Digest:
    """Return the digest of an address.

    Raises:
        ApiProblem: it is not 64 lower-case hexadecimal digits.

    """
    if _HEX_DIGEST.fullmatch(text) is None:
        raise refuse_parameter("id", "64 lower-case hexadecimal digits are expected")
    return Digest(bytes.fromhex(text))


def check_digests(values: list[bytes]) -> list[Digest]:
    """Return ids of a body.

    Raises:
        ApiProblem: one has another length.

    """
    if any(len(value) != DIGEST_BYTES for value in values):
        raise ApiProblem(400, "BODY_MALFORMED", f"an id has {DIGEST_BYTES} bytes")
    return [Digest(value) for value in values]


def parse_number(name: str, text: str) -> int:
    """Return a number of an address.

    Raises:
        ApiProblem: it is none, or far out of every range.

    """
    if _NUMBER.fullmatch(text) is None:
        raise refuse_parameter(name, "a number from 0, in plain digits, is expected")
    return int(text)


def get_number(request: web.Request, name: str, default: int | None = None) -> int:
    """Return a number of the query.

    Raises:
        ApiProblem: it is missing or no number.

    """
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise refuse_parameter(name, "it is given twice")
    if values:
        return parse_number(name, values[0])
    if default is None:
        raise refuse_parameter(name, "it is missing")
    return default


def get_wait_ms(request: web.Request) -> int:
    """Return how long the client wants to wait, milliseconds.

    Raises:
        ApiProblem: longer than anybody may.

    """
    wait_ms = get_number(request, "wait_ms", 0)
    if wait_ms > WAIT_MS_MAX:
        raise refuse_parameter("wait_ms", f"at most {WAIT_MS_MAX} is possible; ask again after that")
    return wait_ms


def _refuse_size(bytes_max: int) -> ApiProblem:
    return ApiProblem(413, "BODY_TOO_LARGE", f"at most {bytes_max} bytes are taken here; send less at once")
