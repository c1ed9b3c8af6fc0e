"""Reading requests: bodies with every bound, parts of addresses with every check."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import web

from node.api.errors import ApiProblem, refuse_busy, refuse_parameter
from primitives.ids import ACCOUNT_BYTES, DIGEST_BYTES, Digest
from primitives.limits import BATCH_TRANSACTIONS_MAX

BODY_TIMEOUT_S = 15.0
"""For a whole body: a megabyte at 1 Mbit/s takes 8 s. Who is slower sends less at once."""

BODY_STALL_S = 5.0
"""For its beginning; each BODY_BYTES_PER_S that come give a second more. Who stalls or dribbles is given up early."""

BODY_BYTES_PER_S = 64 * 1024
"""Half a Mbit/s: less is no link, or no honest client (as mod_reqtimeout of Apache, "MinRate")."""

BODIES_BYTES_MAX = 16 * 1024 * 1024
"""Bodies being read and worked on at the same time, all connections together: a quarter of an idle node's memory.
What has come counts, not what was announced. One address takes half: whoever asks from elsewhere finds room."""

WAIT_MS_MAX = 30_000
"""How long a request may wait for a certificate: below the time-outs of usual proxies."""

BINARY_TYPES = frozenset({"application/octet-stream", "application/msgpack", "application/vnd.msgpack"})
"""What a body of bytes may be called. A browser's form cannot be, so no page can submit for its visitor."""

JSON_TYPES = frozenset({"application/json"})

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEX_ACCOUNT = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_BYTES_ARRAY = msgspec.msgpack.Decoder(list[bytes])


class Share:
    """What one request takes of the memory of all bodies: it grows as its body comes."""

    def __init__(self, bytes_max: int, grow: Callable[[int], bool]) -> None:
        self.bytes_max = bytes_max
        self.bytes_taken = 0
        self._grow = grow

    def grow(self, size: int) -> None:
        """Take more.

        Raises:
            ApiProblem: larger than the request may be, or no room beside the bodies of others.

        """
        if self.bytes_taken + size > self.bytes_max:
            raise _refuse_size(self.bytes_max)
        if not self._grow(size):
            raise refuse_busy("too many requests with a body at this moment")
        self.bytes_taken += size


class BodyReader:
    """Reads bodies: at most so many bytes each, so many in all and per address, in so much time."""

    def __init__(
        self, body_bytes_max: int, timeout_s: float = BODY_TIMEOUT_S, stall_s: float = BODY_STALL_S
    ) -> None:
        self._body_bytes_max = body_bytes_max
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._bytes_max = max(BODIES_BYTES_MAX, 2 * body_bytes_max)
        self._bytes_taken: Counter[str] = Counter()

    @contextmanager
    def reserve(self, request: web.Request, bytes_max: int) -> Iterator[Share]:
        """Give a share of the memory of all bodies until the work on this one is done.

        Raises:
            ApiProblem: the request says that it is too large.

        """
        limit = min(bytes_max, self._body_bytes_max)
        if request.content_length is not None and request.content_length > limit:
            raise _refuse_size(limit)
        address = request.remote or ""
        share = Share(limit, lambda size: self._take(address, size))
        try:
            yield share
        finally:
            self._give_back(address, share.bytes_taken)

    async def read(self, request: web.Request, share: Share, kinds: frozenset[str] = BINARY_TYPES) -> bytes:
        """Return the body of a request that has a share.

        Raises:
            ApiProblem: not called bytes, compressed, larger than it may be, too slow, or no room for it.

        """
        check_content_type(request, kinds)
        body = bytearray()
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began_s + min(self._stall_s, self._timeout_s)) as limit:
                async for chunk in request.content.iter_any():
                    share.grow(len(chunk))
                    body += chunk
                    earned_s = self._stall_s + len(body) / BODY_BYTES_PER_S
                    limit.reschedule(began_s + min(earned_s, self._timeout_s))
        except TimeoutError:
            raise ApiProblem(408, "BODY_TOO_SLOW", "the body stalled, or came too slowly") from None
        except web.RequestPayloadError as error:
            raise ApiProblem(400, "BODY_BROKEN", f"the body cannot be read: {error}") from None
        return bytes(body)

    @contextmanager
    def hold(self, address: str, size: int) -> Iterator[bool]:
        """Count bytes that have come in another way until the work on them is done; tell whether there is room."""
        has_room = self._take(address, size)
        try:
            yield has_room
        finally:
            if has_room:
                self._give_back(address, size)

    def _give_back(self, address: str, size: int) -> None:
        self._bytes_taken[address] -= size
        if not self._bytes_taken[address]:
            del self._bytes_taken[address]

    def _take(self, address: str, size: int) -> bool:
        """Count bytes of an address, if there is room in all and for it."""
        if self._bytes_taken.total() + size > self._bytes_max:
            return False
        if self._bytes_taken[address] + size > self._bytes_max // 2:
            return False
        self._bytes_taken[address] += size
        return True


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


def get_flag(request: web.Request, name: str) -> bool:
    """Tell whether a flag of the query is set.

    Raises:
        ApiProblem: it is neither 0 nor 1.

    """
    value = get_number(request, name, 0)
    if value > 1:
        raise refuse_parameter(name, "0 or 1 is expected")
    return value == 1


def get_account_id(request: web.Request, name: str) -> bytes:
    """Return an account's id of the query; empty when it is not given.

    Raises:
        ApiProblem: it is none.

    """
    text = request.query.get(name, "")
    if text and _HEX_ACCOUNT.fullmatch(text) is None:
        raise refuse_parameter(
            name, f"an account's id is expected, {2 * ACCOUNT_BYTES} lower-case hexadecimal digits"
        )
    return bytes.fromhex(text)


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
